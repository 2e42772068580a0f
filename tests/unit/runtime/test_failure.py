"""Errors as the Runtime API takes them."""

import base64
import json

import pytest

from rill.runtime.failure import MAX_BYTES, Failure, function_kind


def raised(message: str, depth: int = 1) -> ValueError:
    try:
        _raise(message, depth)
    except ValueError as error:
        return error
    raise AssertionError("unreachable")


def _raise(message: str, depth: int) -> None:
    if depth == 1:
        raise ValueError(message)
    _raise_again(message, depth - 1)


def _raise_again(message: str, depth: int) -> None:
    _raise(message, depth)


def test_of_an_exception() -> None:
    failure = Failure.of(raised("no ☃"))
    value = json.loads(failure.body())
    assert (failure.kind, value["errorType"], value["errorMessage"]) == (
        "Function.ValueError",
        "ValueError",
        "no ☃",
    )
    assert "in _raise\n" in "".join(value["stackTrace"])
    assert value["stackTrace"][-1] == "ValueError: no ☃\n"
    assert Failure.of(raised(""), "Runtime.InitError").kind == "Runtime.InitError"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ValueError", "Function.ValueError"),
        ("bad_request", "Function.BadRequest"),
        ("Http404Error", "Function.HttpError"),
        ("Fehler_ä", "Function.Fehler"),
        ("_", "Function.Unknown"),
        ("E", "Function.Unknown"),
        ("a\r\nb: c", "Function.ABC"),
    ],
)
def test_kind(name: str, kind: str) -> None:
    assert function_kind(name) == kind


@pytest.mark.parametrize("message", ["short", "☃" * 100_000, "x" * 100_000, '"' * 9000])
def test_trailers_fit_into_what_lambda_reads(message: str) -> None:
    """4 kB is Go's read buffer, which the trailers of a request must fit in."""
    failure = Failure.of(raised(message, depth=400))
    trailers = dict(failure.trailers())
    assert sum(len(name) + len(value) + 4 for name, value in trailers.items()) < 4090
    value = json.loads(base64.b64decode(trailers[b"Lambda-Runtime-Function-Error-Body"]))
    assert message.startswith(value["errorMessage"])
    assert value["errorMessage"]
    assert trailers[b"Lambda-Runtime-Function-Error-Type"] == b"Function.ValueError"


def test_body_is_capped() -> None:
    assert MAX_BYTES // 2 < len(Failure.of(raised("☃" * 100_000, depth=400)).body()) <= MAX_BYTES


def test_trace_keeps_its_end() -> None:
    failure = Failure(kind="Runtime.A", error_type="E", message="m", trace=("a" * 2600, "b" * 100))
    assert json.loads(failure.body(2700))["stackTrace"] == ["b" * 100]
