"""The command line tool as its users start it: a process, its streams and its exit code."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx2
import pytest

from local.cli.emulator import binary
from local.cli.problems import Problem
from local.stack import ROOT
from tests.support.cutting import cutting

SAMPLES = ROOT / "local" / "samples"
COFFEE = SAMPLES / "coffee-order.json"

KEPT_OUT = ("_API_KEY", "RILL_", "AWS_")
ENV = {name: value for name, value in os.environ.items() if not name.endswith(KEPT_OUT[0])}
ENV = {name: value for name, value in ENV.items() if not name.startswith(KEPT_OUT[1:])}

MAIN = "import sys; from local.cli import main; sys.exit(main())"


def rill(
    *arguments: str, given: bytes = b"", state: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", MAIN, *arguments]
    env = ENV if state is None else {**ENV, "RILL_STATE_DIR": str(state)}
    return subprocess.run(
        command, input=given, capture_output=True, env=env, cwd=ROOT, timeout=100, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that somebody works with, and another worker's tests, stay out of it."""
    path = tmp_path_factory.mktemp("state")
    ENV["RILL_STATE_DIR"] = str(path)
    return path


class Dev:
    """A `rill dev` that is up."""

    def __init__(self, process: "subprocess.Popen[str]", page: str, grading: str) -> None:
        self.process = process
        self.page = page
        self.grading = grading


def addresses(out: IO[str]) -> dict[str, str]:
    """What `rill dev` says of where it is, up to the line that it prints last."""
    found: dict[str, str] = {}
    for line in out:
        name, _, url = line.strip().partition(" ")
        if url.strip().startswith("http://"):
            found[name] = url.strip()
        if "Ctrl-C ends it" in line:
            break
    return found


@contextmanager
def running(*options: str) -> Iterator[Dev]:
    """A `rill dev`, interrupted at the end, as its user does; nothing of it is left."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "dev", *options],
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        found = addresses(process.stdout)
        yield Dev(process, found["page"], found["grading"])
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest) == (0, "Stopped.\n")
    for url in found.values():
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(url, trust_env=False)


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with running("--pace", "0", "--port", "20800") as up:
        yield up


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dev]:
    """A stack of its own, whose model takes longer than any test."""
    monkeypatch.setitem(ENV, "RILL_STATE_DIR", str(tmp_path))
    with running("--pace", "1", "--port", "20850") as up:
        yield up


def test_help_is_there_and_light() -> None:
    script = (
        "import sys; from local.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'boto3', 'rich', 'httpx2', 'moto'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT)
    assert b"rill grade call.txt" in done.stdout
    assert done.stdout.endswith(b"[]\n")


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (("grade", "no/such.json"), b"", "rill: there is no file no/such.json\n"),
        (("grade", "local"), b"", "rill: cannot read local: Is a directory\n"),
        (("grade", "-"), b"", "rill: - is empty\n"),
        (("grade", "-"), b'{"a" 1}', "rill: - is not JSON: Expecting ':' delimiter at line 1, column 6\n"),
        (("grade", "-", "--url", "nowhere"), b"Rep: Hi", "rill: 'nowhere' is not an http or https URL\n"),
        (
            ("grade", "-", "--iam"),
            b"Rep: Hi",
            "rill: --iam signs requests to a deployed function: it needs --url\n",
        ),
        (("invoke", "none", "-"), b"{}", "rill: the template has no function 'none'; it has grading"),
        (("invoke", "grading", "-"), b"{", "rill: - is not JSON: "),
    ],
)
def test_bad_input(arguments: tuple[str, ...], given: bytes, said: str) -> None:
    done = rill(*arguments, given=given)
    assert done.stderr.decode().startswith(said)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("command", [("attach",), ("cancel",), ("resume",)])
def test_no_stack_to_ask(command: tuple[str, ...], tmp_path: Path) -> None:
    done = rill(*command, "r-1", state=tmp_path)
    said = b"rill: no stack is up to ask: `rill dev` starts one, --url names a function\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", said)


def test_nobody_to_leave_a_run_to(tmp_path: Path) -> None:
    done = rill("grade", str(COFFEE), "--async", state=tmp_path)
    assert done.stderr.startswith(b"rill: --async leaves the run to a stack that stays up")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("fly",),
        ("demo", "--pace", "-1"),
        ("dev", "--fault", "fire"),
        ("dev", "--port", "0"),
        ("attach",),
        ("cancel", "../x"),
        ("resume", "r", "--step", "a/b"),
        ("attach", "r", "--after", "-1"),
    ],
)
def test_usage(arguments: tuple[str, ...]) -> None:
    done = rill(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"usage: rill" in done.stderr


def test_nobody_at_the_url() -> None:
    done = rill("grade", str(COFFEE), "--url", "http://127.0.0.1:1/")
    assert done.stderr.startswith(b"rill: nobody answers at http://127.0.0.1:1/")
    assert done.returncode == 3


def test_json_is_the_result_alone(dev: Dev) -> None:
    done = rill("grade", str(COFFEE), "--url", dev.grading, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    result = json.loads(done.stdout)
    rep = [
        each["line_number"]
        for each in json.loads(COFFEE.read_text())["transcript"]
        if each["speaker"] == "rep"
    ]
    assert [each["line_number"] for each in result["line_ratings"]] == rep
    assert 0 <= result["scores"]["overall"] <= 100


@pytest.mark.parametrize("mode", ["multi", "single"])
def test_lines_in_a_pipe_from_a_stack_that_is_up(dev: Dev, mode: str) -> None:
    done = rill("grade", "-", "--mode", mode, given=b"Rep: What do you need?\nCustomer: It is too expensive.")
    lines = done.stdout.decode().split("\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[0].startswith("run ")
    assert f"grading ({mode})" in lines[0]
    assert any(line.startswith("line 1: ") for line in lines)
    assert lines[-2].startswith("complete: ")
    assert b"\x1b" not in done.stdout


def test_refusal_in_the_functions_words(dev: Dev) -> None:
    call = {"session_id": "not valid!", "transcript": [{"speaker": "rep", "text": "Hi"}]}
    done = rill("grade", "-", "--url", dev.grading, given=json.dumps(call).encode())
    assert done.stderr.startswith(b"rill: the function refuses the request (400): session_id: ")
    assert done.returncode == 2


def test_failed_run() -> None:
    done = rill("demo", "--fault", "refusal")
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\nerror: model_refused: " in done.stdout


def test_page_and_addresses(dev: Dev, state: Path) -> None:
    with httpx2.Client(trust_env=False, base_url=dev.page) as client:
        urls = client.get("urls.json").json()
        assert urls["grading"] == dev.grading
        assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
        assert client.post("/").status_code == 405
    assert json.loads((state / "urls.json").read_text()) == urls


def test_demo() -> None:
    done = rill("demo", "--pace", "0")
    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert said.startswith("The model is scripted")
    assert "\ncomplete: " in said
    assert "`make dev`" in said


def test_interrupted_demo_leaves_nothing() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "demo", "--pace", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=ENV,
        cwd=ROOT,
    )
    assert process.stdout is not None
    url = next(line.split()[-1] for line in process.stdout if "answers at" in line)
    assert any(line.startswith("step ") for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(url, trust_env=False)


def outline(said: bytes) -> list[str]:
    """The lines of a run, but for what differs from run to run: its id, times, and the order of steps."""
    lines = re.sub(r"^run \w+|[\d.]+ s\b", "", said.decode(), flags=re.MULTILINE).split("\n")
    return sorted(lines)


async def test_cut_connections_come_back_and_show_the_same(dev: Dev) -> None:
    uncut = rill("grade", str(COFFEE), "--url", dev.grading)
    cuts = [b'"type":"start"', b'"type":"section"', b'"type":"section"', b'"type":"step_complete"']
    async with cutting(dev.grading, cuts) as proxy:
        done = await asyncio.to_thread(rill, "grade", str(COFFEE), "--url", proxy.url)
    assert proxy.left == []
    said = done.stderr.decode().split("\n")[:-1]
    assert {*said} == {"connection lost, reattaching…"}
    assert len(said) <= len(cuts)
    assert (done.returncode, outline(done.stdout)) == (0, outline(uncut.stdout))
    heads = [request.partition(b" HTTP/")[0] for request in proxy.requests]
    run_id = done.stdout.split()[1].rstrip(b":")
    assert heads[0] == b"POST /runs"
    assert all(re.fullmatch(rb"GET /runs/%b/events\?after=\d+" % run_id, head) for head in heads[1:])
    assert len(heads) == 1 + len(cuts)


async def test_request_whose_answer_is_cut_off_starts_one_run(dev: Dev) -> None:
    async with cutting(dev.grading, [b"HTTP/1.1 200"]) as proxy:
        done = await asyncio.to_thread(rill, "grade", str(COFFEE), "--url", proxy.url)
    assert done.returncode == 0
    first, second = proxy.requests
    keys = [re.search(rb"(?i)idempotency-key: (\S+)", each) for each in (first, second)]
    assert keys[0] is not None
    assert keys[1] is not None
    assert keys[0][1] == keys[1][1]
    assert len(proxy.runs) == 1


def test_run_that_is_left_to_the_queue(dev: Dev) -> None:
    left = rill("grade", str(COFFEE), "--async")
    assert (left.returncode, left.stderr) == (0, b"")
    head, attach, cancel, _ = left.stdout.decode().split("\n")
    run_id = head.split()[1]
    assert head == f"Run {run_id} is queued."
    assert attach.split()[:3] == ["rill", "attach", run_id]
    assert cancel.split()[:3] == ["rill", "cancel", run_id]
    shown = rill("attach", run_id)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.startswith(f"run {run_id}: grading (multi): ".encode())
    assert shown.stdout.split(b"\n")[-2].startswith(b"complete: ")
    result = rill("attach", run_id, "--url", dev.grading, "--after", "5", "--json")
    assert "line_ratings" in json.loads(result.stdout)
    over = rill("cancel", run_id)
    said = f"rill: run {run_id} has ended already: it is complete\n".encode()
    assert (over.returncode, over.stderr) == (1, said)
    again = rill("resume", run_id)
    assert again.returncode == 2
    assert b"The run is complete" in again.stderr


def test_step_done_again(dev: Dev) -> None:
    run_id = json.loads(rill("grade", str(COFFEE), "--async", "--json").stdout)["run_id"]
    assert rill("attach", run_id).returncode == 0
    done = rill("resume", run_id, "--step", "scores")
    lines = done.stdout.decode().split("\n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert [line for line in lines if line.startswith("step ") and "done" not in line] == [
        "step scores: starts again, forget what it said: This step runs again.",
        "step scores: started, attempt 2",
    ]
    assert len([line for line in lines if line.startswith("scores.overall: ")]) == 1
    assert lines[-2].startswith("complete: ")
    nothing = rill("resume", run_id, "--step", "none")
    assert (nothing.returncode, nothing.stderr[:40]) == (3, b"rill: The run has no step 'none'; it has")


def test_unknown_run(dev: Dev) -> None:
    for command in ("attach", "cancel", "resume"):
        done = rill(command, "none", "--url", dev.grading)
        assert (done.returncode, done.stderr) == (3, b"rill: There is no run 'none'.\n")


def test_run_that_is_left_goes_on_and_can_be_cancelled(slow: Dev) -> None:
    grading = subprocess.Popen(
        [sys.executable, "-c", MAIN, "grade", str(COFFEE), "--url", slow.grading],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
        cwd=ROOT,
    )
    assert grading.stdout is not None
    run_id = next(line.split()[1].rstrip(":") for line in grading.stdout)
    assert any(line.startswith("step ") for line in grading.stdout)
    grading.send_signal(signal.SIGINT)
    _, said = grading.communicate(timeout=30)
    assert grading.returncode == 130
    assert [" ".join(line.split()) for line in said.strip().split("\n")] == [
        f"Run {run_id} goes on without you.",
        f"rill attach {run_id} --url {slow.grading} follows it",
        f"rill cancel {run_id} --url {slow.grading} ends it",
    ]
    state = httpx2.get(f"{slow.grading}runs/{run_id}", trust_env=False).json()["state"]
    assert state == "running"
    assert rill("cancel", run_id, "--url", slow.grading).returncode == 0
    end = rill("attach", run_id, "--url", slow.grading)
    assert end.returncode == 1
    assert b"\ncancelled: " in end.stdout
    assert end.stderr.decode().endswith(f"\n  rill resume {run_id} --url {slow.grading}\n")
    over = rill("cancel", run_id, "--url", slow.grading)
    assert (over.returncode, over.stdout.decode()) == (0, f"Run {run_id} is cancelled.\n")


@pytest.fixture(scope="module")
def _emulator() -> None:
    try:
        binary()
    except Problem as problem:
        pytest.skip(str(problem))


@pytest.mark.usefixtures("_emulator")
def test_invoke(tmp_path: Path) -> None:
    event = ROOT / "events" / "grading" / "url-stream.json"
    done = rill("invoke", "grading", str(event))
    assert done.returncode == 0
    status, _, body = done.stdout.partition(b"\n")
    assert status == b"HTTP 200, text/event-stream; charset=utf-8"
    assert body.startswith(b"retry: 1000\n\nid: 1\ndata: ")
    assert b'"type":"complete"' in body
    raw = rill("invoke", "GradingFunction", str(event.with_name("health.json")), "--raw")
    prelude, _, health = raw.stdout.partition(b"\0" * 8)
    assert (json.loads(prelude)["statusCode"], json.loads(health)["status"]) == (200, "ok")


@pytest.mark.usefixtures("_emulator")
def test_invoke_of_what_no_function_takes() -> None:
    done = rill("invoke", "grading", "-", given=b"[1]")
    assert done.returncode == 1
    assert "errorType" in json.loads(done.stdout)
