"""langgraph behind FastAPI's own SSE: one node that asks the model, its messages streamed."""

from common import COMPLETE, PROMPT, START, fastapi_app, serve
from langchain_openai import ChatOpenAI
from langgraph.graph import END, MessagesState, StateGraph
from langgraph.graph import START as ENTRY

model = ChatOpenAI(model="bench")


async def answer(state):
    return {"messages": [await model.ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(ENTRY, "answer")
builder.add_edge("answer", END)
graph = builder.compile()


async def text():
    yield START
    asked = {"messages": [{"role": "user", "content": PROMPT}]}
    async for message, _ in graph.astream(asked, stream_mode="messages"):
        if message.content:
            yield {"type": "chunk", "content": message.content}
    yield COMPLETE


app = fastapi_app(text)

if __name__ == "__main__":
    serve(app)
