"""pydantic-ai behind FastAPI's own SSE: text, and structured output by the model's JSON schema.

BENCH_DEBOUNCE=none gives every partial answer; without it pydantic-ai's own default groups those of 0.1 s.
"""

import os

from common import COMPLETE, PROMPT, START, Sections, fastapi_app, serve
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from grading.models import GradingResult

model = OpenAIChatModel("gpt-4o", provider=OpenAIProvider())
writer = Agent(model)
grader = Agent(model, output_type=NativeOutput(GradingResult))
DEBOUNCE = {"debounce_by": None} if os.environ.get("BENCH_DEBOUNCE") == "none" else {}


async def text():
    yield START
    async with writer.run_stream(PROMPT) as result:
        async for delta in result.stream_text(delta=True, **DEBOUNCE):
            yield {"type": "chunk", "content": delta}
    yield COMPLETE


async def structured():
    yield START
    sections, partial = Sections(), {}
    async with grader.run_stream(PROMPT) as result:
        async for output in result.stream_output(**DEBOUNCE):
            partial = dict(output)
            for event in sections.take(partial):
                yield event
    for event in sections.take(partial, last=True):
        yield event
    yield COMPLETE


app = fastapi_app(text, structured)

if __name__ == "__main__":
    serve(app)
