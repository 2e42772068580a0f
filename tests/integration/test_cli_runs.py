"""Runs whose connection is lost, and runs that are left, followed, cancelled and taken up, by their users."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from local.stack import ROOT
from tests.support.commands import COFFEE, ENV, MAIN, Dev, rill, running
from tests.support.cutting import cutting


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack that somebody works with, and another worker's tests, stay out of it."""
    path = tmp_path_factory.mktemp("state")
    ENV["RILL_STATE_DIR"] = str(path)
    return path


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    with running("--pace", "0", "--port", "20830") as up:
        yield up


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dev]:
    """A stack of its own, whose model takes longer than any test."""
    monkeypatch.setitem(ENV, "RILL_STATE_DIR", str(tmp_path))
    with running("--pace", "1", "--port", "20850") as up:
        yield up


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
