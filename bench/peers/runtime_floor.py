"""What no Python runtime of Lambda's can go under: a socket to the Runtime API, and the floor's relay.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

import asyncio
import os

from serve_floor import chunk, pump

PATH = b"/2018-06-01/runtime/invocation"
PRELUDE = b'{"statusCode":200,"headers":{"content-type":"text/event-stream"}}' + b"\0" * 8


async def invocation(host, port):
    """The next one's id; its event is read and not looked at."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET %b/next HTTP/1.1\r\nHost: %b\r\n\r\n" % (PATH, host.encode()))
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
    await reader.readexactly(int(fields[b"content-length"]))
    writer.close()
    return fields[b"lambda-runtime-aws-request-id"]


async def respond(host, port, which):
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(
        b"POST %b/%b/response HTTP/1.1\r\nHost: %b\r\nTransfer-Encoding: chunked\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        b"Content-Type: application/vnd.awslambda.http-integration-response\r\n\r\n"
        % (PATH, which, host.encode())
    )
    writer.write(b"%x\r\n%b\r\n" % (len(PRELUDE), PRELUDE) + chunk(1, b'{"type":"start"}'))
    await pump(writer)
    await writer.drain()
    await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def main():
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    while True:
        await respond(host, int(port), await invocation(host, int(port)))


asyncio.run(main())
