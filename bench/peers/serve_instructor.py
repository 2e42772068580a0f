"""instructor behind FastAPI's own SSE: its partial answers by the model's JSON schema."""

import instructor
from common import COMPLETE, MESSAGES, START, Sections, fastapi_app, serve
from openai import AsyncOpenAI

from grading.models import GradingResult

client = instructor.from_openai(AsyncOpenAI(), mode=instructor.Mode.JSON_SCHEMA)


async def structured():
    yield START
    sections, partial = Sections(), {}
    stream = client.create_partial(model="bench", messages=MESSAGES, response_model=GradingResult)
    async for output in stream:
        partial = {name: value for name in GradingResult.model_fields if (value := getattr(output, name))}
        for event in sections.take(partial):
            yield event
    for event in sections.take(partial, last=True):
        yield event
    yield COMPLETE


app = fastapi_app(structured=structured)

if __name__ == "__main__":
    serve(app)
