"""SQS on this machine: the template's queues, and what Lambda does between a queue and a function."""
