"""Sends one answer: at its pace, with its fault, counting what went out."""

import asyncio
import hashlib
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from local.model.faults import Fault
from local.model.log import RequestRecord
from local.model.plan import Plan, plan
from local.model.request import BadRequest, CompletionRequest
from local.model.wire import DONE, Frames, dumps, error, usage, whole

_YIELD_EVERY = 16  # deltas at full speed between two looks at the other connections
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def parse_pace(text: str | None, default: float) -> float:
    """Raises BadRequest."""
    if text is None:
        return default
    try:
        pace = float(text)
    except ValueError:
        pace = -1.0
    if not (0 <= pace < math.inf):
        raise BadRequest(f"The pace is a number of tokens per second, or 0 for no limit, not {text!r}.")
    return pace


class Connection:
    """The sending side of one request."""

    def __init__(self, send: Callable[[MutableMapping[str, Any]], Awaitable[None]]) -> None:
        self._send = send
        self.status: int | None = None

    async def start(self, status: int, content_type: str, *extra: tuple[str, str]) -> None:
        self.status = status
        headers = [("content-type", content_type), ("x-scripted", "true"), *extra]
        encoded = [(name.encode(), value.encode()) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def body(self, data: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, data: bytes, *extra: tuple[str, str]) -> None:
        await self.start(status, "application/json", ("content-length", str(len(data))), *extra)
        await self.body(data, more=False)


class _Pacer:
    """Times deltas against the start, so that a late one does not delay those after it."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._start = self._loop.time()

    async def next(self) -> None:
        self._count += 1
        if self._pace:
            await asyncio.sleep(max(0.0, self._start + self._count / self._pace - self._loop.time()))
        elif self._count % _YIELD_EVERY == 0:
            await asyncio.sleep(0)

    def restart(self) -> None:
        """Goes on at the same pace after a pause instead of catching up."""
        self._count, self._start = 0, self._loop.time()


class Answering:
    def __init__(
        self,
        request: CompletionRequest,
        fault: Fault | None,
        pace: float,
        record: RequestRecord,
        connection: Connection,
        release: asyncio.Event,
    ) -> None:
        self._request = request
        self._fault = fault
        self._record = record
        self._connection = connection
        self._release = release
        self._pacer = _Pacer(pace)
        digest = hashlib.sha256(dumps(request.body)).hexdigest()
        self._frames = Frames(
            f"chatcmpl-scripted-{digest[:20]}", request.model, int(time.time()), request.with_usage
        )

    async def run(self) -> None:
        """Answers; returns early, with the answer incomplete, to have the server drop the connection."""
        self._record.prompt_tokens = self._usage()["prompt_tokens"]
        fault = self._fault
        if fault and fault.kind == "status":
            wait = () if fault.retry_after is None else (("retry-after", f"{fault.retry_after:g}"),)
            message = f"Scripted model: fault {fault.text} was asked for."
            await self._connection.answer(
                fault.status, dumps(error(fault.status, message, _CODES.get(fault.status))), *wait
            )
            return
        answer = plan(self._request, fault)
        if answer.interruption == "hang":
            await self._release.wait()
        await (self._stream(answer) if self._request.stream else self._whole(answer))

    async def _stream(self, answer: Plan) -> None:
        await self._connection.start(200, "text/event-stream; charset=utf-8", ("cache-control", "no-cache"))
        await self._connection.body(self._frames.first())
        for index, delta in enumerate(answer.content):
            if answer.interruption and index == answer.at and not await self._interrupt(answer):
                return
            await self._delta(self._frames.delta(delta))
        if answer.interruption and answer.at == len(answer.content) and not await self._interrupt(answer):
            return
        for delta in answer.refusal:
            await self._delta(self._frames.delta(delta, "refusal"))
        self._record.finish_reason = answer.reason
        end = self._frames.last(answer.reason)
        if self._request.with_usage:
            end += self._frames.usage(self._usage())
        await self._connection.body(end + DONE, more=False)

    async def _delta(self, frame: bytes) -> None:
        await self._pacer.next()
        await self._connection.body(frame)
        self._record.deltas += 1

    async def _interrupt(self, answer: Plan) -> bool:
        """Shows the fault; False when the answer ends with it."""
        match answer.interruption:
            case "stall":
                await self._release.wait()
                self._pacer.restart()
                return True
            case "error":
                frame = dumps(error(500, "Scripted model: fault error was asked for.", "server_error"))
                await self._connection.body(b"data: " + frame + b"\n\n", more=False)
                return False
            case "malformed":
                frame = self._frames.delta("malformed")
                await self._connection.body(frame[: len(frame) // 2] + b"\n\n" + DONE, more=False)
                return False
            case "cut":
                return False
        return True

    async def _whole(self, answer: Plan) -> None:
        for _ in (*answer.content, *answer.refusal):
            await self._pacer.next()
            self._record.deltas += 1
        content, refusal = "".join(answer.content) or None, "".join(answer.refusal) or None
        data = whole(self._frames, content, refusal, answer.reason, self._usage())
        match answer.interruption:
            case "stall":
                await self._release.wait()
            case "error":
                await self._connection.answer(
                    500, dumps(error(500, "Scripted model: fault error was asked for."))
                )
                return
            case "malformed":
                await self._connection.answer(200, data[: len(data) // 2])
                return
            case "cut":
                await self._connection.start(200, "application/json", ("content-length", str(len(data))))
                await self._connection.body(data[: len(data) // 2])
                return
        self._record.finish_reason = answer.reason
        await self._connection.answer(200, data)

    def _usage(self) -> dict[str, Any]:
        return usage(self._request.prompt.characters, self._record.deltas)
