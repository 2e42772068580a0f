"""The SDK's errors as Rill's."""

from typing import Any

import httpx2
import openai
import pytest

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
from rill.models.failures import from_event, from_sdk

REQUEST = httpx2.Request("POST", "http://127.0.0.1/")


def status_error(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Exception:
    response = httpx2.Response(status, request=REQUEST, headers=headers)
    return openai.APIStatusError("said", response=response, body=body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status_error(429), ModelOverloaded),
        (status_error(529), ModelOverloaded),
        (status_error(503, {"code": "server_error"}), ModelOverloaded),
        (status_error(500), UpstreamError),
        (status_error(408), UpstreamError),
        (status_error(401), ModelError),
        (status_error(404, "no object"), ModelError),
        (status_error(429, {"code": "insufficient_quota"}), BudgetExceeded),
        (status_error(400, {"code": "content_filter"}), ModelRefused),
        (status_error(400, {"code": "context_length_exceeded"}), BadRequest),
        (openai.APITimeoutError(REQUEST), ModelTimeout),
        (httpx2.ReadTimeout("slow"), ModelTimeout),
        (openai.APIConnectionError(request=REQUEST), UpstreamError),
        (httpx2.RemoteProtocolError("cut"), UpstreamError),
        (openai.OpenAIError("else"), ModelError),
    ],
)
def test_every_error_has_its_class(error: Exception, kind: type[RillError]) -> None:
    assert type(from_sdk(error)) is kind


def test_retry_after_is_kept_and_messages_give_nothing_away() -> None:
    error = from_sdk(status_error(429, {"message": "org-123 is over"}, {"retry-after": "2.5"}))
    assert error.retry_after == 2.5
    assert "org-123" not in error.message
    assert from_sdk(status_error(429, None, {"retry-after": "soon"})).retry_after is None


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"code": "rate_limit_exceeded"}, ModelOverloaded),
        ({"type": "overloaded_error"}, ModelOverloaded),
        ({"code": 500, "message": "x"}, UpstreamError),
        ({}, UpstreamError),
    ],
)
def test_an_error_inside_a_stream_has_its_class(given: dict[str, Any], kind: type[RillError]) -> None:
    assert type(from_event(given)) is kind
