"""litellm behind FastAPI's own SSE."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from common import COMPLETE, MESSAGES, START, base_url, fastapi_app, serve


async def text():
    yield START
    stream = await litellm.acompletion(
        model="openai/bench", messages=MESSAGES, stream=True, api_base=base_url(), api_key="none"
    )
    async for chunk in stream:
        if content := chunk.choices[0].delta.content:
            yield {"type": "chunk", "content": content}
    yield COMPLETE


app = fastapi_app(text)

if __name__ == "__main__":
    serve(app)
