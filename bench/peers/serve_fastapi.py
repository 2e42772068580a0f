"""FastAPI's own SSE over the openai SDK, with boto3 and Powertools as a function of today has them.

BENCH_API chooses chat completions or the Responses API; BENCH_TABLE, a DynamoDB table to put an item into
before the first event. The sections are found by jiter's partial parse of the whole text at each delta.
"""

import os
import uuid

import boto3
import jiter
from aws_lambda_powertools import Logger, Tracer
from common import COMPLETE, MESSAGES, PROMPT, START, Sections, fastapi_app, serve
from openai import AsyncOpenAI

logger = Logger(service="bench")
tracer = Tracer(service="bench", disabled=True)
client = AsyncOpenAI()
database = boto3.resource("dynamodb")
TABLE = os.environ.get("BENCH_TABLE")


async def deltas():
    if os.environ.get("BENCH_API") == "responses":
        stream = await client.responses.create(model="bench", input=PROMPT, stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta
        return
    stream = await client.chat.completions.create(model="bench", messages=MESSAGES, stream=True)
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def begin():
    if TABLE:
        from starlette.concurrency import run_in_threadpool

        item = {"run_id": uuid.uuid4().hex, "sk": "META", "state": "running"}
        await run_in_threadpool(database.Table(TABLE).put_item, Item=item)
    logger.info("run")


async def text():
    await begin()
    yield START
    async for delta in deltas():
        yield {"type": "chunk", "content": delta}
    yield COMPLETE


async def structured():
    await begin()
    yield START
    sections, buffer = Sections(), b""
    async for delta in deltas():
        buffer += delta.encode()
        for event in sections.take(jiter.from_json(buffer, partial_mode=True)):
            yield event
    for event in sections.take(jiter.from_json(buffer), last=True):
        yield event
    yield COMPLETE


app = fastapi_app(text, structured)

if __name__ == "__main__":
    serve(app)
