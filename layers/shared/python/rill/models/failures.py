"""The openai SDK's errors, as Rill's: the one place where they are told apart."""

from collections.abc import Mapping
from typing import Any

from rill.errors import (
    BadRequest,
    BudgetExceeded,
    ModelError,
    ModelOverloaded,
    ModelRefused,
    ModelTimeout,
    RillError,
    UpstreamError,
)

_OVERLOADED = frozenset({429, 503, 529})  # 529 is Anthropic's word for it
_CODES: dict[str, type[RillError]] = {
    "insufficient_quota": BudgetExceeded,
    "content_filter": ModelRefused,
    "content_policy_violation": ModelRefused,
    "context_length_exceeded": BadRequest,
    "rate_limit_exceeded": ModelOverloaded,
    "server_error": UpstreamError,
    "overloaded_error": ModelOverloaded,
}
_MESSAGES = {
    "context_length_exceeded": "This is more text than the model can take.",
    "insufficient_quota": "The account with the model's provider has no budget left.",
}


def from_sdk(error: Exception) -> RillError:
    """The error of an SDK or HTTP exception. Import the SDK before; its classes are looked at by it."""
    import httpx2
    import openai

    detail = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, openai.APIStatusError):
        body = error.body if isinstance(error.body, dict) else {}
        return from_status(error.status_code, body, error.response.headers, detail)
    if isinstance(error, (openai.APITimeoutError, httpx2.TimeoutException)):
        return ModelTimeout(detail=detail)
    if isinstance(error, (openai.APIConnectionError, httpx2.HTTPError)):
        return UpstreamError(detail=detail)
    return ModelError(detail=detail)


def from_status(status: int, body: dict[str, Any], headers: Mapping[str, str], detail: str) -> RillError:
    """The error of an answer that is an HTTP error."""
    code = body.get("code") or body.get("type")
    if isinstance(code, str) and code in _CODES and status < 500:
        kind = _CODES[code]
    elif status in _OVERLOADED:
        kind = ModelOverloaded
    elif status >= 500 or status in (408, 409):
        kind = UpstreamError
    else:
        kind = ModelError
    return kind(_MESSAGES.get(str(code)), detail=detail, retry_after=_retry_after(headers))


def from_event(error: dict[str, Any]) -> RillError:
    """The error of an error object inside a stream."""
    code = error.get("code") or error.get("type")
    kind = _CODES.get(code, UpstreamError) if isinstance(code, str) else UpstreamError
    return kind(_MESSAGES.get(str(code)), detail=f"in the stream: {str(error)[:500]}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds; the header's other form, a date, is not worth the parsing: no provider sends it."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return None
