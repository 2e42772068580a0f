"""What nobody can go under in Python: a socket, jiter for each event of the model's, one event out for it."""

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
        writer.write(HEAD + chunk(1, b'{"type":"start"}'))
        await pump(writer)
        await writer.drain()
    finally:
        writer.close()


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


asyncio.run(main())
