"""What nobody can go under in Python: a socket, jiter for each event of the model's, one event out for it.

BENCH_TABLE, as with the peers: a DynamoDB table to put an item into before the first event, unsigned.
"""

import asyncio
import json
import os
import socket
import sys
from urllib.parse import urlsplit

import jiter

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(number, event):
    data = b"id: %d\ndata: %s\n\n" % (number, event)
    return b"%x\r\n%s\r\n" % (len(data), data)


async def relay(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if table := os.environ.get("BENCH_TABLE"):
            await put(table)
        writer.write(HEAD + chunk(1, b'{"type":"start"}'))
        await pump(writer)
        await writer.drain()
    finally:
        writer.close()


async def put(table):
    url = urlsplit(os.environ["AWS_ENDPOINT_URL_DYNAMODB"])
    reader, database = await asyncio.open_connection(url.hostname, url.port)
    item = {"run_id": {"S": os.urandom(16).hex()}, "sk": {"S": "META"}, "state": {"S": "running"}}
    body = json.dumps({"TableName": table, "Item": item}).encode()
    credential = b"local/20260101/us-east-1/dynamodb/aws4_request"
    database.write(
        b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Type: application/x-amz-json-1.0\r\n"
        b"X-Amz-Target: DynamoDB_20120810.PutItem\r\nContent-Length: %d\r\n"
        b"Authorization: AWS4-HMAC-SHA256 Credential=%b, SignedHeaders=host, Signature=0\r\n\r\n%b"
        % (url.netloc.encode(), len(body), credential, body)
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise OSError(head.decode())
    database.close()


async def pump(writer):
    url = urlsplit(os.environ["OPENAI_BASE_URL"])
    reader, model = await asyncio.open_connection(url.hostname, url.port)
    model.write(b"POST %s/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" % url.path.encode())
    rest, number = b"", 1
    while piece := await reader.read(65536):
        *events, rest = (rest + piece).split(b"\n\n")
        out = []
        for event in events:
            _, found, data = event.partition(b"data: {")
            if not found:
                continue
            choices = jiter.from_json(b"{" + data)["choices"]
            if choices and (text := choices[0]["delta"].get("content")):
                number += 1
                out.append(chunk(number, b'{"type":"chunk","content":%s}' % json.dumps(text).encode()))
        writer.write(b"".join(out))
    writer.write(chunk(number + 1, b'{"type":"complete"}') + b"0\r\n\r\n")
    model.close()


async def main():
    server = await asyncio.start_server(relay, sock=socket.socket(fileno=int(sys.argv[1])))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
