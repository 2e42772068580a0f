"""Starts a run at a function's URL and follows its events: the transport, and nothing of the looks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from local.cli.problems import BadInput, Problem, Unreachable
from local.cli.render import Renderer
from local.cli.sse_client import FrameTooLong, SseParser

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A function sends a comment after ten silent seconds; a cold start comes before the first one."""

TERMINAL = frozenset({"complete", "cancelled", "error"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BAD_INPUT = frozenset({400, 413, 415, 422})
_NOT_THERE = frozenset({401, 403, 404, 405})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A function's URL. With `iam`, requests are signed by the AWS credentials of this machine."""

    url: str
    iam: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{self.url!r} is not an http or https URL")

    def path(self, path: str) -> str:
        return f"{self.url.rstrip('/')}/{path}"

    @property
    def is_local(self) -> bool:
        return urlsplit(self.url).hostname in _LOOPBACK


async def grade(target: Target, request: Mapping[str, Any], renderer: Renderer) -> dict[str, Any]:
    """Start a run and show it until its end; returns the terminal event.

    Raises:
        BadInput: the function refuses the request, with its own words.
        Unreachable: nobody answers, or the connection was lost before the run's end.
        Problem: the function failed before it sent anything.
    """
    body = json.dumps(request).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
    }
    url = target.path("runs")
    if target.iam:
        headers = signed("POST", url, headers, body)
    timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
    run = ""
    try:
        # A proxy of this machine's must not see what stays on it.
        async with (
            httpx2.AsyncClient(timeout=timeout, trust_env=not target.is_local) as client,
            client.stream("POST", url, headers=headers, content=body) as answer,
        ):
            if not _is_stream(answer):
                raise _refused(target, answer.status_code, await answer.aread())
            run = answer.headers.get("x-run-id", "")
            terminal = await _follow(answer, renderer)
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise Unreachable(f"nobody answers at {target.url}: {error or 'no connection'}") from error
    except httpx2.TimeoutException:
        raise Unreachable(f"{_lost(run)}: nothing came for {SILENCE_SECONDS:.0f} s") from None
    except FrameTooLong as error:
        raise Unreachable(f"{_lost(run)}: an event {error}") from error
    except httpx2.HTTPError as error:
        raise Unreachable(f"{_lost(run)}: {error or type(error).__name__}") from error
    if terminal is None:
        raise Unreachable(f"{_lost(run)}: the stream has no end")
    return terminal


def _lost(run: str) -> str:
    if not run:
        return "the connection was lost before the run began"
    return f"the connection to run {run} was lost before its end; the run may go on without it"


def _is_stream(answer: httpx2.Response) -> bool:
    kind: str = answer.headers.get("content-type", "")
    return answer.status_code == 200 and kind.partition(";")[0].strip() == "text/event-stream"


async def _follow(answer: httpx2.Response, renderer: Renderer) -> dict[str, Any] | None:
    parser = SseParser()
    async for piece in answer.aiter_raw():
        for frame in parser.feed(piece):
            try:
                event = json.loads(frame.data)
            except ValueError as error:
                raise Unreachable(f"event {frame.id or '?'} of the stream is not JSON: {error}") from error
            if not isinstance(event, dict):
                raise Unreachable(f"event {frame.id or '?'} of the stream is no object")
            try:
                renderer.event(event)
            except (KeyError, TypeError, AttributeError) as error:
                raise Unreachable(f"event {frame.id or '?'} of the stream is not of the protocol") from error
            if event.get("type") in TERMINAL:
                return event
    return None


def _refused(target: Target, status: int, body: bytes) -> Problem:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    said = (value.get("message") or value.get("Message")) if isinstance(value, dict) else None
    if status in _BAD_INPUT:
        return BadInput(f"the function refuses the request ({status}): {said or 'it does not say why'}")
    if status in _NOT_THERE:
        hint = "; a URL with IAM needs --iam" if status == 403 and not target.iam else ""
        return Unreachable(f"{target.url} answers {status}: {said or 'it does not say why'}{hint}")
    if status == 200:
        return Unreachable(f"{target.url} does not answer with an event stream: is it a function of Rill's?")
    return Problem(f"the function failed ({status}): {said or 'it does not say why'}")


def signed(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers with a SigV4 signature for a function URL.

    Raises:
        Problem: this machine has no AWS credentials or region.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session()
    try:
        credentials = session.get_credentials()
        region = _region(url) or session.get_config_variable("region")
    except BotoCoreError as error:
        raise BadInput(f"--iam: {error}") from error
    if credentials is None:
        raise BadInput("--iam: there are no AWS credentials; set AWS_PROFILE or AWS_ACCESS_KEY_ID")
    if not region:
        raise BadInput("--iam: no region; set AWS_REGION")
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    SigV4Auth(credentials, "lambda", region).add_auth(request)
    return dict(request.headers.items())


def _region(url: str) -> str | None:
    """`eu-west-1` of `https://….lambda-url.eu-west-1.on.aws/`."""
    parts = (urlsplit(url).hostname or "").split(".")
    return parts[2] if len(parts) == 5 and parts[1] == "lambda-url" else None
