"""The model client: one streamed call at a time, by the openai SDK, its bytes read by ourselves.

The SDK opens the stream, retries and raises. The path of a delta leaves it: its chunk objects cost ten
times what reading the bytes does.
"""

import asyncio
import gc
import importlib
import logging
import random
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from rill.errors import (
    InvalidOutput,
    ModelRefused,
    ModelTimeout,
    ModelTruncated,
    RillError,
    UpstreamError,
)
from rill.events import Usage
from rill.models.catalogue import Model, Tier
from rill.models.failures import from_event, from_sdk
from rill.models.settings import ModelSettings
from rill.models.wire import DONE, Delta, EventSplitter, Tokens, delta, plain_text
from rill.tls import tls_context

if TYPE_CHECKING:
    from openai import AsyncAPIResponse, AsyncOpenAI

logger = logging.getLogger(__name__)
Message = dict[str, str]
CONNECT_SECONDS = 10.0
LEISURE: ContextVar[float] = ContextVar("rill_leisure", default=0.0)
"""Seconds between two reads of an answer that nobody watches: ten words at once cost what one does."""

_SECRETS = "aws_lambda_powertools.utilities.parameters"
_UNCOMPRESSED = {"Accept-Encoding": "identity"}
CHARACTERS_PER_TOKEN = 4
"""For estimates where a provider counts nothing. https://help.openai.com/en/articles/4936856"""


class Call:
    """One call to a model, its answer being read. Iterate once; `usage()` tells what it has used so far."""

    def __init__(self, model: Model, messages: Sequence[Message], pieces: AsyncIterable[bytes]) -> None:
        self.model = model
        self._sent = sum(len(message["content"]) for message in messages)
        self._received = 0
        self._tokens: Tokens | None = None
        self._finish: str | None = None
        self._refusal = ""
        self._texts = self._read(pieces)

    def __aiter__(self) -> AsyncGenerator[str, None]:
        """The pieces of the answer, as they come; what arrived together is one piece.

        Raises:
            ModelRefused: the model declined, or a filter stopped it.
            ModelTruncated: the answer reached its limit of tokens.
            ModelTimeout: nothing came for too long.
            ModelError: anything else.
        """
        return self._texts

    async def begun(self) -> None:
        """Wait for the first of the answer; it stays there for who iterates. Raises as iterating does."""
        await anext(self._texts)

    async def close(self) -> None:
        """Stop reading."""
        await self._texts.aclose()

    async def _read(self, pieces: AsyncIterable[bytes]) -> AsyncGenerator[str, None]:
        """Nothing, once the answer has begun, and then what it says; events that say nothing (a role, an
        empty piece) are passed over."""
        import httpx2
        import openai

        splitter, pause, begun = EventSplitter(), LEISURE.get(), False
        try:
            async for piece in pieces:
                events = splitter.feed(piece)
                if begun and len(events) == 1 and (text := plain_text(events[0])) is not None:
                    self._received += len(text)
                    yield text  # nearly every one, at a model's pace
                    if pause:
                        await asyncio.sleep(pause)
                    continue
                if done := DONE in events:
                    del events[events.index(DONE) :]
                found = delta(events)
                if found.text or found.refusal or found.finish or found.tokens:
                    if not begun:
                        begun = True
                        yield ""
                    self._take(found)
                    if found.text:
                        yield found.text
                if found.error is not None:
                    raise from_event(found.error)
                if found.broken is not None:
                    raise found.broken
                if done:
                    break
                if pause:
                    await asyncio.sleep(pause)
        except (openai.APIError, httpx2.HTTPError) as error:
            raise from_sdk(error) from error
        if not begun:
            raise UpstreamError(detail="the model's answer was empty")
        _check_end(self._finish, self._refusal)

    def _take(self, piece: Delta) -> None:
        self._received += len(piece.text)
        if piece.tokens is not None:
            self._tokens = piece.tokens
        if piece.finish is not None:
            self._finish = piece.finish
        if piece.refusal:
            self._received += len(piece.refusal)
            self._refusal += piece.refusal

    def usage(self, step: str) -> Usage:
        """The tokens as the provider counted them, or estimated by length where it has not (yet)."""
        tokens = self._tokens or Tokens(
            input_tokens=-(-self._sent // CHARACTERS_PER_TOKEN),
            output_tokens=-(-self._received // CHARACTERS_PER_TOKEN),
            cached_tokens=0,
        )
        price = self.model.price
        if price is None:
            cost = None
        else:
            cost = price.cost(tokens.input_tokens, tokens.output_tokens, tokens.cached_tokens)
        return Usage(
            step=step,
            model=self.model.name,
            input_tokens=tokens.input_tokens,
            output_tokens=tokens.output_tokens,
            cached_tokens=tokens.cached_tokens or None,
            cost_usd=cost,
            certainty="unknown" if cost is None else "exact" if self._tokens else "estimated",
        )


def _check_end(finish: str | None, refusal: str) -> None:
    if refusal:
        raise ModelRefused(detail=f"the model said: {refusal[:500]}")
    if finish == "content_filter":
        raise ModelRefused(detail="the provider's content filter ended the answer")
    if finish == "length":
        raise ModelTruncated(detail="finish_reason length")
    if finish is None:
        raise UpstreamError(detail="the model's stream ended without a finish_reason")
    if finish != "stop":
        raise InvalidOutput(detail=f"finish_reason {finish!r}")


class ModelClient:
    """Calls the models of `settings`. The SDK is imported, and the key read, with the first call."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._sdk: AsyncOpenAI | None = None

    def connect(self) -> "AsyncOpenAI":
        """The SDK's client. The first call imports the SDK (half a second): make it in a thread."""
        with self._lock:
            if self._sdk is None:
                with _uncollected():
                    self._sdk = _build(self.settings)
            return self._sdk

    async def ready(self) -> "AsyncOpenAI":
        """`connect`, off the event loop where it has something to do."""
        return self._sdk if self._sdk is not None else await asyncio.to_thread(self.connect)

    async def load(self, *, key: bool = True) -> None:
        """Import and make what the first call would.

        Args:
            key: also read the key where it is in Secrets Manager. A snapshot would hold it for weeks.
        """
        if key or self.settings.api_key or not self.settings.secret_arn:
            await self.ready()
        else:
            await asyncio.to_thread(self._import)

    def _import(self) -> None:
        with self._lock, _uncollected():
            for name in ("openai.resources.chat", "rill.transport", _SECRETS):
                importlib.import_module(name)
            if self.settings.base_url.startswith("https:"):
                tls_context()

    async def close(self) -> None:
        """Close the connections."""
        if self._sdk is not None:
            await self._sdk.close()

    @asynccontextmanager
    async def open(
        self, *, tier: Tier, messages: Sequence[Message], response_format: dict[str, Any] | None = None
    ) -> AsyncIterator[Call]:
        """A call whose first piece has come. Leaving the context closes the connection at once.

        Until the first piece, failures that a retry may help with are retried unseen: the SDK does it
        until the answer's headers, by the provider's Retry-After, and we do it from there.

        Args:
            tier: which of the settings' models answers.
            messages: `role` and `content` of each.
            response_format: as the chat completions API takes it.

        Raises:
            RillError: what went wrong; its class says whether a retry helps.
        """
        sdk = await self.ready()
        model = self.settings.tiers[tier]
        options: dict[str, Any] = {
            "model": model.name,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_completion_tokens": self.settings.max_output_tokens,
        }
        if response_format is not None:
            options["response_format"] = response_format
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self.settings.first_token_timeout):
                    call = await self._begin(sdk, options, model, stack)
            except TimeoutError as error:
                detail = f"no token in {self.settings.first_token_timeout:g} s"
                raise ModelTimeout(detail=detail) from error
            yield call

    async def _begin(
        self, sdk: "AsyncOpenAI", options: dict[str, Any], model: Model, stack: AsyncExitStack
    ) -> Call:
        """A call whose answer has begun; `stack` closes it, and its connection."""
        tries = 0
        while True:
            async with AsyncExitStack() as trying:
                call = Call(model, options["messages"], await _request(sdk, options, trying))
                trying.push_async_callback(call.close)
                try:
                    await call.begun()
                except RillError as error:
                    if not error.retryable or tries == self.settings.retries:
                        raise
                    logger.warning("model call failed before its first token, trying again: %s", error)
                else:
                    stack.push_async_callback(trying.pop_all().aclose)
                    return call
            tries += 1
            await asyncio.sleep(random.uniform(0.5, 1) * 0.25 * 2**tries)  # noqa: S311 - jitter


@contextmanager
def _uncollected() -> Iterator[None]:
    """The SDK's types stay: looking through them for garbage takes a fifth of their import."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _build(settings: ModelSettings) -> "AsyncOpenAI":
    import httpx2
    from openai import AsyncOpenAI

    from rill.transport import http_client

    key = settings.api_key or _secret(settings.secret_arn)
    tls = tls_context() if settings.base_url.startswith("https:") else None
    timeout = httpx2.Timeout(settings.idle_timeout, connect=CONNECT_SECONDS)
    http = http_client(timeout=timeout, tls=tls)
    sdk = AsyncOpenAI(
        api_key=key or "none",
        base_url=settings.base_url,
        timeout=timeout,
        max_retries=settings.retries,
        http_client=http,
    )
    _ = sdk.chat.completions  # imported by being looked at: here, in the thread, and not in the first call
    return sdk


def _secret(arn: str) -> str:
    """The key as Secrets Manager has it; empty where there is no secret.

    Raises:
        UpstreamError: it could not be read.
    """
    if not arn:
        return ""
    from aws_lambda_powertools.utilities.parameters import GetParameterError, get_secret

    try:
        return str(get_secret(arn))
    except GetParameterError as error:
        raise UpstreamError(detail=f"the model's key could not be read from {arn}: {error}") from error


async def _request(
    sdk: "AsyncOpenAI", options: dict[str, Any], stack: AsyncExitStack
) -> AsyncIterable[bytes]:
    """The body of the answer; `stack` closes its connection."""
    import httpx2
    import openai

    create = sdk.chat.completions.with_streaming_response.create
    try:
        response = await stack.enter_async_context(create(**options, extra_headers=_UNCOMPRESSED))
    except (openai.APIError, httpx2.HTTPError) as error:
        raise from_sdk(error) from error
    return _pieces(response)


def _pieces(response: "AsyncAPIResponse[Any]") -> AsyncIterable[bytes]:
    """The body: as the transport gives it, past the layers that would decode it, where it is as we asked."""
    from rill.transport import BODY

    if response.headers.get("content-encoding", "identity") == "identity":
        whole = response.http_response
        return cast(AsyncIterable[bytes], whole.extensions.get(BODY, whole.stream))
    return response.iter_bytes()
