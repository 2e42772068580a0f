"""Asks a function: one request, one connection. What was lost is told apart from what was refused."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2

from local.cli.problems import BadInput, Problem, Unreachable
from local.cli.sse_client import FrameTooLong, SseParser
from local.cli.target import Target, signed

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A function sends a comment after ten silent seconds; a cold start comes before the first one."""

_BAD_INPUT = frozenset({400, 409, 413, 415, 422})
_NOT_THERE = frozenset({401, 403, 404, 405})
_MAY_PASS = frozenset({429, 500, 502, 503, 504})

Event = Mapping[str, Any]
Numbered = tuple[int | None, Event]


class Dropped(Exception):
    """No whole answer came, and the same request may bring one: `str()` says why.

    Attributes:
        reached: whether anybody answered.
        wait: seconds that the function wants to be left alone, or 0.
        problem: the function's own words, where it had some.
    """

    def __init__(
        self, why: str, *, reached: bool = True, wait: float = 0.0, problem: Problem | None = None
    ) -> None:
        super().__init__(why)
        self.reached = reached
        self.wait = wait
        self.problem = problem


class NotFound(Unreachable):
    """There is nothing at this address of the function's."""


class Conflict(BadInput):
    """The run's state does not allow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request to a function."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Client:
    """Connections to one function. Open it with `async with`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        # A proxy of this machine's must not see what stays on it.
        self._http = httpx2.AsyncClient(timeout=timeout, trust_env=not target.is_local)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def document(self, ask: Ask) -> dict[str, Any]:
        """A JSON object for an answer.

        Raises:
            Dropped: it may come another time.
            Problem: the function refuses.
        """
        async with self._answer(ask, "application/json") as answer:
            body = await answer.aread()
            if not 200 <= answer.status_code < 300:
                raise refused(self.target, answer, body)
            value = _object(body)
            if value is None:
                raise Unreachable(f"{self.target.url} does not answer with JSON: is it a function of Rill's?")
            return value

    @asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[tuple[str, AsyncGenerator[Numbered, None]]]:
        """The run's id as the answer's header has it, or "", and its events with their numbers.

        Raises:
            Dropped: the connection was not made, or broke; it may have done so anywhere.
            Problem: the function refuses, or what it sends is no stream of events.
        """
        async with self._answer(ask, "text/event-stream") as answer:
            if not _is_stream(answer):
                raise refused(self.target, answer, await answer.aread())
            yield answer.headers.get("x-run-id", ""), _events(answer)

    @asynccontextmanager
    async def _answer(self, ask: Ask, accept: str) -> AsyncIterator[httpx2.Response]:
        url = self.target.path(ask.path)
        headers = {"Accept": accept, "Accept-Encoding": "identity", **ask.headers}
        if ask.body:
            headers["Content-Type"] = "application/json"
        if self.target.iam:
            headers = signed(ask.method, url, headers, ask.body)
        try:
            async with self._http.stream(ask.method, url, headers=headers, content=ask.body) as answer:
                yield answer
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Dropped(str(error) or "no connection", reached=False) from error
        except httpx2.TimeoutException:
            raise Dropped(f"nothing came for {SILENCE_SECONDS:.0f} s") from None
        except httpx2.HTTPError as error:
            raise Dropped(str(error) or type(error).__name__) from error


def _is_stream(answer: httpx2.Response) -> bool:
    kind: str = answer.headers.get("content-type", "")
    return answer.status_code == 200 and kind.partition(";")[0].strip() == "text/event-stream"


async def _events(answer: httpx2.Response) -> AsyncGenerator[Numbered, None]:
    parser = SseParser()
    async for piece in answer.aiter_raw():
        try:
            frames = parser.feed(piece)
        except FrameTooLong as error:
            raise Unreachable(f"an event of the stream is {error}") from error
        for frame in frames:
            try:
                event = json.loads(frame.data)
            except ValueError as error:
                raise Unreachable(f"event {frame.id or '?'} of the stream is not JSON: {error}") from error
            if not isinstance(event, dict):
                raise Unreachable(f"event {frame.id or '?'} of the stream is no object")
            number = int(frame.id) if frame.id.isascii() and frame.id.isdigit() else None
            yield number, event


def refused(target: Target, answer: httpx2.Response, body: bytes) -> Exception:
    """What an answer with another status than was wished for means."""
    status, value = answer.status_code, _object(body) or {}
    said = value.get("message") or value.get("Message") or "it does not say why"
    if status in _BAD_INPUT:
        kind = Conflict if status == 409 else BadInput
        return kind(f"the function refuses the request ({status}): {said}")
    if status == 404 and value.get("code") == "not_found":
        return NotFound(str(said))
    if status in _NOT_THERE:
        hint = "; a URL with IAM needs --iam" if status == 403 and not target.iam else ""
        return Unreachable(f"{target.url} answers {status}: {said}{hint}")
    if status == 200:
        return Unreachable(f"{target.url} does not answer with an event stream: is it a function of Rill's?")
    problem = Problem(f"the function failed ({status}): {said}")
    if status in _MAY_PASS and value.get("code") != "budget_exceeded":
        wait = _seconds(answer.headers.get("retry-after", ""))
        return Dropped(str(problem), wait=wait, problem=problem)
    return problem


def _seconds(text: str) -> float:
    """Of a `Retry-After`; its other form, a date, is not used by what answers here."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value < math.inf else 0.0


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
