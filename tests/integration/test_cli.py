"""The command line tool as its users start it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local.cli.emulator import binary
from local.cli.problems import Problem
from local.stack import ROOT
from tests.support.commands import COFFEE, ENV, MAIN, Dev, rill, running


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that somebody works with, and another worker's tests, stay out of it."""
    path = tmp_path_factory.mktemp("state")
    ENV["RILL_STATE_DIR"] = str(path)
    return path


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with running("--pace", "0", "--port", "20800") as up:
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
