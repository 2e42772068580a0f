"""Lambda function URLs on one machine: the Runtime API, execution environments, and the HTTP front.

::

    client --HTTP--> front --Invocation--> pool --> environment --Runtime API--> the function's process
    client <-HTTP--- front <-----bytes, at once, under backpressure------------- the function's process
"""
