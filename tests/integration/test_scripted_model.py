"""The scripted model over real sockets: with the openai SDK, and with bytes where the SDK hides too much."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import openai
import pytest
from openai.types.chat import ChatCompletion

from local.model import BadFault, ScriptedModel
from tests.unit.model.support import GOOD, POOR, SECTIONS, Row, messages, obj, response_format, transcript

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedModel]:
    with ScriptedModel() as model:
        yield model


@pytest.fixture
def model(shared: ScriptedModel) -> ScriptedModel:
    shared.clear()
    shared.set_pace(0)
    return shared


@pytest.fixture
def client(model: ScriptedModel) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=model.openai_base_url, api_key="any", max_retries=0, timeout=10) as client:
        yield client


def asked(name: str | None = None, rows: tuple[Row, ...] = GOOD, **rest: Any) -> dict[str, Any]:
    form = {"response_format": response_format(name, obj(**{name: SECTIONS[name]}))} if name else {}
    return {"model": "scripted-small", "messages": messages(transcript(rows)), **form, **rest}


def answer(client: openai.OpenAI, **given: Any) -> ChatCompletion:
    completion: ChatCompletion = client.chat.completions.create(**given)
    return completion


def streamed(client: openai.OpenAI, **given: Any) -> list[Any]:
    given["stream_options"] = {"include_usage": True}
    with client.chat.completions.create(**given, stream=True) as stream:
        return list(stream)


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def call(model: ScriptedModel, method: str, path: str, body: str | None = None) -> Any:
    data = body.encode() if body is not None else None
    with urlopen(Request(model.base_url + path, data, method=method), timeout=10) as response:  # noqa: S310
        return json.loads(response.read())


def test_a_streamed_section(model: ScriptedModel, client: openai.OpenAI) -> None:
    chunks = streamed(client, **asked("scores"))
    assert json.loads(text_of(chunks))["scores"]["overall"] > 75
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "stop"]
    assert {chunk.system_fingerprint for chunk in chunks} == {"scripted"}
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    record = model.wait_for()
    assert chunks[-1].usage.completion_tokens == record.deltas == len(chunks) - 3
    assert (record.schema, record.status, record.finish_reason, record.disconnected) == (
        "scores",
        200,
        "stop",
        False,
    )
    assert record.body is not None
    assert record.body["stream"] is True


def test_streamed_and_whole_answers_are_the_same(client: openai.OpenAI) -> None:
    for name in (*SECTIONS, None):
        whole = answer(client, **asked(name))
        assert whole.choices[0].message.content == text_of(streamed(client, **asked(name)))
        assert whole.usage is not None
        assert whole.usage.prompt_tokens > 100


def test_a_poor_call_scores_lower(client: openai.OpenAI) -> None:
    poor, good = (
        json.loads(text_of(streamed(client, **asked("scores", rows))))["scores"] for rows in (POOR, GOOD)
    )
    assert all(poor[name] < good[name] for name in poor)


def test_a_shard_of_the_lines(client: openai.OpenAI) -> None:
    given = asked("line_ratings") | {
        "messages": messages(transcript(POOR, after="Rate only these line numbers: 3, 7"))
    }
    ratings = json.loads(text_of(streamed(client, **given)))["line_ratings"]
    assert [rating["line_number"] for rating in ratings] == [3, 7]


def test_plain_text_and_its_limit(client: openai.OpenAI) -> None:
    given = {"model": "any", "messages": messages("What is a mast?", "A mast carries the sails of a boat.")}
    assert "carries the sails" in str(answer(client, **given).choices[0].message.content)
    chunks = streamed(client, **given, max_completion_tokens=3)
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == 3


def test_a_schema_that_is_not_strict_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        answer(
            client, **asked(response_format=response_format("loose", {"type": "object", "properties": {}}))
        )


def test_a_rate_limit_is_retried_by_the_sdk(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("429:2:retry=0.01")
    retrying = client.with_options(max_retries=2)
    assert answer(retrying, **asked()).choices[0].finish_reason == "stop"
    assert [record.status for record in model.requests] == [429, 429, 200]


@pytest.mark.parametrize(
    ("fault", "raised", "status"),
    [
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("503", openai.InternalServerError, 503),
        ("401", openai.AuthenticationError, 401),
        ("404", openai.NotFoundError, 404),
    ],
)
def test_a_status(
    model: ScriptedModel, client: openai.OpenAI, fault: str, raised: type[openai.APIStatusError], status: int
) -> None:
    for given in (asked(stream=True), asked()):
        with pytest.raises(raised) as caught:
            answer(client, **given, extra_headers={"X-Scripted-Fault": fault})
        assert caught.value.response.headers.get("retry-after") == ("1" if status in {429, 503} else None)
    assert [(record.status, record.fault, record.deltas) for record in model.requests] == [
        (status, fault, 0)
    ] * 2


def test_a_cut(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("cut@20")
    got = []
    with pytest.raises(openai.APIConnectionError):  # noqa: PT012
        for chunk in client.chat.completions.create(**asked("scores"), stream=True):
            got.append(chunk)
    assert len(got) == 21  # the first one carries the role
    assert model.wait_for().deltas == 20
    with pytest.raises(openai.APIConnectionError):
        answer(client, **asked())


def test_a_malformed_event(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("malformed@5")
    with pytest.raises(json.JSONDecodeError):
        streamed(client, **asked("scores"))
    assert model.wait_for().deltas == 5
    with pytest.raises((json.JSONDecodeError, openai.APIError)):
        answer(client, **asked())


def test_an_error_in_the_stream(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("error@5")
    with pytest.raises(openai.APIError, match="fault error"):
        streamed(client, **asked("scores"))
    with pytest.raises(openai.InternalServerError):
        answer(client, **asked())


@pytest.mark.parametrize(("fault", "reason"), [("truncated@20", "length"), ("filtered@20", "content_filter")])
def test_an_early_end(model: ScriptedModel, client: openai.OpenAI, fault: str, reason: str) -> None:
    model.set_faults(fault)
    chunks = streamed(client, **asked("scores"))
    assert chunks[-2].choices[0].finish_reason == reason
    assert chunks[-1].usage.completion_tokens == 20
    assert answer(client, **asked("scores")).choices[0].finish_reason == reason


def test_a_refusal(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("refusal")
    chunks = streamed(client, **asked("scores"))
    assert text_of(chunks) == ""
    refusal = "".join(chunk.choices[0].delta.refusal or "" for chunk in chunks if chunk.choices)
    message = answer(client, **asked("scores")).choices[0].message
    assert (message.content, message.refusal) == (None, refusal)


def test_broken_and_wrong_content_only_for_one_schema(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("scores=broken@9:once,scores=wrong:once")
    assert json.loads(text_of(streamed(client, **asked("coaching"))))
    with pytest.raises(json.JSONDecodeError):
        json.loads(text_of(streamed(client, **asked("scores"))))
    assert json.loads(text_of(streamed(client, **asked("scores"))))["scores"]["overall"] == {
        "scripted": "wrong"
    }
    assert json.loads(text_of(streamed(client, **asked("scores"))))["scores"]["overall"] > 0


@pytest.mark.parametrize("given", [asked("scores", stream=True), asked("scores")])
@pytest.mark.parametrize("fault", ["stall@20", "hang"])
def test_a_client_that_gives_up_is_noticed(
    model: ScriptedModel, client: openai.OpenAI, fault: str, given: dict[str, Any]
) -> None:
    model.set_faults(fault)
    with pytest.raises(openai.APITimeoutError):
        for _ in client.with_options(timeout=0.2).chat.completions.create(**given):
            pass
    record = model.wait_for(lambda record: record.disconnected)
    assert (record.fault, record.finish_reason) == (fault, None)
    assert record.status == (200 if fault == "stall@20" and "stream" in given else None)


def test_a_stall_goes_on_when_released(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_faults("stall@20")
    with client.chat.completions.create(**asked("scores"), stream=True) as stream:
        before = [next(stream) for _ in range(21)]
        assert model.requests == []
        model.release()
        after = list(stream)
    assert json.loads(text_of([*before, *after]))["scores"]


def test_the_pace_and_a_disconnect_in_the_middle(model: ScriptedModel, client: openai.OpenAI) -> None:
    started = time.monotonic()
    with client.chat.completions.create(
        **asked("scores"), stream=True, extra_headers={"X-Scripted-Pace": "200"}
    ) as stream:
        for _ in range(21):
            next(stream)
    assert 20 / 200 <= time.monotonic() - started < 5
    record = model.wait_for(lambda record: record.disconnected)
    assert 20 <= record.deltas < 60
    assert record.finish_reason is None


def test_markers_in_the_system_message(model: ScriptedModel, client: openai.OpenAI) -> None:
    model.set_pace(0.001)
    given = asked() | {"messages": messages(transcript(GOOD), "[scripted pace=0 fault=truncated@2]")}
    assert answer(client, **given).choices[0].finish_reason == "length"


def test_bad_faults_and_paces_are_told(model: ScriptedModel, client: openai.OpenAI) -> None:
    for header in ({"X-Scripted-Fault": "boom"}, {"X-Scripted-Pace": "-1"}, {"X-Scripted-Pace": "fast"}):
        with pytest.raises(openai.BadRequestError):
            answer(client, **asked(), extra_headers=header)
    with pytest.raises(BadFault):
        model.set_faults("boom")


def test_the_endpoints_to_steer_it(model: ScriptedModel, client: openai.OpenAI) -> None:
    assert {entry.id for entry in client.models.list()} == {"scripted-small", "scripted-large"}
    assert call(model, "GET", "/health") == {"status": "ok", "model": "scripted"}
    assert call(model, "POST", "/faults", '{"faults": "500:once"}') == {"faults": "500:once"}
    assert call(model, "GET", "/faults") == {"faults": "500:once"}
    with pytest.raises(openai.InternalServerError):
        answer(client, **asked("scores"))
    assert [(entry["schema"], entry["status"]) for entry in call(model, "GET", "/requests")] == [
        ("scores", 500)
    ]
    assert call(model, "PUT", "/faults", "429") == {"faults": "429"}
    assert call(model, "DELETE", "/faults") == {"faults": ""}
    call(model, "DELETE", "/requests")
    call(model, "POST", "/release")
    assert call(model, "GET", "/requests") == []
    for bad in ('{"faults": 1}', "{", "boom"):
        with pytest.raises(OSError, match="400"):
            call(model, "POST", "/faults", bad)
    with pytest.raises(OSError, match="404"):
        call(model, "GET", "/v2")


def test_it_stops_at_once_with_a_stalled_answer_under_way() -> None:
    with (
        ScriptedModel(faults="stall@2") as model,
        openai.OpenAI(base_url=model.openai_base_url, api_key="any", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(**asked("scores"), stream=True)
        for _ in range(3):
            next(stream)
        started = time.monotonic()
        model.stop()
        assert time.monotonic() - started < 5
        with pytest.raises(openai.APIConnectionError):
            next(stream)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(model.base_url.rsplit(":", 1)[1])), timeout=1)


def test_the_command_prints_its_url_and_logs(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "local.model", "--port", "0", "--fault", "cut@3:once", "--log", str(log)]
    environment = os.environ | {"RILL_SCRIPTED_PACE": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base_url = process.stdout.readline().strip()
            with openai.OpenAI(base_url=f"{base_url}/v1", api_key="any", max_retries=0) as client:
                with pytest.raises(openai.APIConnectionError):
                    answer(client, **asked("scores"))
                answer(client, **asked("scores"))
        finally:
            process.send_signal(signal.SIGTERM)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["schema"], entry["fault"], entry["status"]) for entry in entries] == [
        ("scores", "cut@3:once", 200),
        ("scores", None, 200),
    ]


def test_the_command_refuses_what_it_cannot_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for arguments, code in (
            (["--port", str(taken.getsockname()[1])], 1),
            (["--fault", "boom"], 2),
            (["--pace", "x"], 2),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "local.model", *arguments],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == code, done.stderr
            assert done.stderr
