"""sse-starlette over the openai SDK."""

from common import COMPLETE, MESSAGES, START, dumps, serve
from openai import AsyncOpenAI
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.routing import Route

client = AsyncOpenAI()


async def text():
    number = 1
    yield {"id": str(number), "data": dumps(START)}
    stream = await client.chat.completions.create(model="bench", messages=MESSAGES, stream=True)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            number += 1
            event = {"type": "chunk", "content": chunk.choices[0].delta.content}
            yield {"id": str(number), "data": dumps(event)}
    yield {"id": str(number + 1), "data": dumps(COMPLETE)}


async def runs(request):
    await request.json()
    return EventSourceResponse(text())


app = Starlette(routes=[Route("/runs", runs, methods=["POST"])])

if __name__ == "__main__":
    serve(app)
