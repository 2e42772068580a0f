"""The peers, in their recommended set-up: each in an environment and a script of its own."""

from bench.places import own_versions, versions
from bench.serving import Peer

FLOOR = Peer("floor", "", "serve_floor", {})

FASTAPI = Peer("FastAPI SSE + openai SDK chat", "fastapi", "serve_fastapi", {})
FASTAPI_RESPONSES = Peer(
    "FastAPI SSE + openai SDK responses", "fastapi", "serve_fastapi", {"BENCH_API": "responses"}
)
SSE_STARLETTE = Peer("sse-starlette + openai SDK", "sse-starlette", "serve_sse_starlette", {})
PYDANTIC_AI = Peer("pydantic-ai", "pydantic-ai", "serve_pydantic_ai", {})
PYDANTIC_AI_EACH = Peer(
    "pydantic-ai, every delta", "pydantic-ai", "serve_pydantic_ai", {"BENCH_DEBOUNCE": "none"}
)
LANGCHAIN = Peer("langchain", "langchain", "serve_langchain", {})
LANGGRAPH = Peer("langgraph", "langchain", "serve_langgraph", {})
INSTRUCTOR = Peer("instructor", "instructor", "serve_instructor", {})
LITELLM = Peer("litellm", "litellm", "serve_litellm", {})

STRUCTURED = (FASTAPI, FASTAPI_RESPONSES, PYDANTIC_AI, PYDANTIC_AI_EACH, LANGCHAIN, INSTRUCTOR)
TEXT = (FASTAPI, FASTAPI_RESPONSES, PYDANTIC_AI_EACH, LANGCHAIN, LANGGRAPH, LITELLM)

_PACKAGES = {
    "fastapi": ("fastapi", "uvicorn", "uvloop", "openai", "jiter", "boto3", "aws-lambda-powertools"),
    "sse-starlette": ("sse-starlette",),
    "pydantic-ai": ("pydantic-ai-slim",),
    "langchain": ("langchain-core", "langchain-openai", "langgraph"),
    "instructor": ("instructor",),
    "litellm": ("litellm",),
}


def versions_of(*peers: Peer) -> dict[str, str]:
    """The versions of what these peers stand on, and of Rill's own."""
    found = own_versions("starlette", "openai", "jiter", "pydantic", "boto3", "h11")
    for peer in peers:
        found |= versions(peer.environment, *_PACKAGES.get(peer.environment, ()))
    return found
