"""What the peers' servers share: the request, the sections of a partial answer, and how they are served."""

import json
import os
import socket
import sys

PROMPT = "Grade this call."
MESSAGES = [{"role": "user", "content": PROMPT}]
SECTIONS = ("session_analysis", "scores", "feedback", "objection_handling", "coaching", "line_ratings")
START = {"type": "start"}
COMPLETE = {"type": "complete"}


class Sections:
    """Finds the complete sections and items in each partial answer, and validates them once.

    A section is complete when the next one has begun, an item of the list when the next item has.
    """

    def __init__(self):
        from pydantic import TypeAdapter

        from grading.models import GradingResult, LineRating

        self._adapters = {
            name: TypeAdapter(field.annotation) for name, field in GradingResult.model_fields.items()
        }
        self._item = TypeAdapter(LineRating)
        self._done = 0
        self._items = 0

    def take(self, partial, last=False):
        """The events of what became complete with this partial answer, a dict."""
        found = []
        names = len(partial)
        if names == len(SECTIONS):
            ratings = partial["line_ratings"] or []
            ready = len(ratings) - (not last)
            while self._items < ready:
                value = self._item.validate_python(ratings[self._items])
                found.append({"type": "item", "index": self._items, "data": value.model_dump(mode="json")})
                self._items += 1
        ready = names - (not last)
        while self._done < ready:
            name = SECTIONS[self._done]
            adapter = self._adapters[name]
            value = adapter.dump_python(adapter.validate_python(partial[name]), mode="json")
            found.append({"type": "section", "section": name, "data": value})
            self._done += 1
        return found


def fastapi_app(text=None, structured=None):
    """`POST /runs` with {"mode": "text" | "structured"}: FastAPI's own SSE over the given generators."""
    from collections.abc import AsyncIterable

    from fastapi import FastAPI
    from fastapi.sse import EventSourceResponse, ServerSentEvent
    from pydantic import BaseModel

    app = FastAPI()

    class Asked(BaseModel):
        mode: str

    @app.post("/runs", response_class=EventSourceResponse)
    async def runs(asked: Asked) -> AsyncIterable[ServerSentEvent]:
        number = 0
        async for event in {"text": text, "structured": structured}[asked.mode]():
            number += 1
            yield ServerSentEvent(data=event, id=str(number))

    @app.get("/health")
    async def health():
        return {"ok": True}

    return app


def base_url():
    return os.environ["OPENAI_BASE_URL"]


def serve(app):
    """Serves with uvicorn on the listening socket that the benchmark handed over, or on PORT."""
    import uvicorn

    config = uvicorn.Config(app, access_log=False, log_level="warning", port=int(os.environ.get("PORT", 0)))
    sockets = [socket.socket(fileno=int(sys.argv[1]))] if len(sys.argv) > 1 else None
    uvicorn.Server(config).run(sockets=sockets)


def dumps(value):
    return json.dumps(value, separators=(",", ":"))
