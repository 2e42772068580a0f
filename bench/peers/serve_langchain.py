"""langchain behind FastAPI's own SSE: the text of a chat model, and its JSON parser over the stream."""

from common import COMPLETE, PROMPT, START, Sections, fastapi_app, serve
from langchain_core.output_parsers import JsonOutputParser
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model="bench")
chain = model | JsonOutputParser()


async def text():
    yield START
    async for chunk in model.astream(PROMPT):
        if chunk.content:
            yield {"type": "chunk", "content": chunk.content}
    yield COMPLETE


async def structured():
    yield START
    sections, partial = Sections(), {}
    async for partial in chain.astream(PROMPT):
        for event in sections.take(partial):
            yield event
    for event in sections.take(partial, last=True):
        yield event
    yield COMPLETE


app = fastapi_app(text, structured)

if __name__ == "__main__":
    serve(app)
