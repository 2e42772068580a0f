"""The results API over the template's tables: runs, line ratings, figures and exports."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from rill.stores.runs import RunStore, Unwritten
from tests.support.dynamodb import dynamodb_server
from tests.support.results import Api, allowed, rating, run, tables

pytestmark = pytest.mark.dynamodb

START = 1_769_990_400_000  # 2026-02-02T00:00:00Z, a Monday
DAY = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with dynamodb_server() as url:
        yield url


@pytest.fixture
async def api(server: str) -> AsyncIterator[Api]:
    with tables(server):
        async with Api() as made:
            yield made
        assert set(made.dynamo.calls) <= allowed()


def ids(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [run["run_id"] for run in answer.json()["runs"]]


async def pages(api: Api, **query: Any) -> list[list[str]]:
    """The runs' ids page by page, until the cursors end."""
    found, cursor = [], None
    while True:
        answer = await api.get("/runs", cursor=cursor, **query)
        found.append(ids(answer))
        if (cursor := answer.json()["next_cursor"]) is None:
            return found


async def test_runs_by_session_workflow_and_state(api: Api) -> None:
    await api.keep_all(
        [
            run("r-1", START, rep="Zoë", line_ratings_count=2),
            run("r-2", START + 1, state="failed", result=None, cost_usd=None),
            run("r-3", START + 2, workflow="coach"),
            run("r-4", START + 3, session_id="s-2", state="running", ended_at=None, result=None),
        ]
    )
    assert ids(await api.get("/runs", session_id="s-1")) == ["r-3", "r-2", "r-1"]
    assert ids(await api.get("/runs", workflow="grading")) == ["r-4", "r-2", "r-1"]
    assert ids(await api.get("/runs", session_id="s-1", workflow="grading")) == ["r-2", "r-1"]
    assert ids(await api.get("/runs", workflow="grading", state="complete")) == ["r-1"]
    assert ids(await api.get("/runs", session_id="nobody")) == []
    [shown] = (await api.get("/runs", session_id="s-1", state="complete", workflow="grading")).json()["runs"]
    assert shown == {
        "run_id": "r-1",
        "session_id": "s-1",
        "workflow": "grading",
        "mode": "multi",
        "state": "complete",
        "created_at": START,
        "ended_at": START + 1000,
        "rep": "Zoë",
        "cost_usd": 0.01,
        "line_ratings_count": 2,
    }


async def test_a_run_whose_lease_ran_out_has_failed(api: Api) -> None:
    """Nobody has written it: the process that ran it is gone, and nobody has followed it since."""
    running = {"state": "running", "ended_at": None, "result": None}
    await api.keep_all(
        [
            run("r-1", START, state="failed", result=None),
            run("r-2", START + 1, **running, cost_usd=0.5, lease_until=START + 5000),
            run("r-3", START + 2, **running),
            run("r-4", START + 3),
        ]
    )
    answer = await api.get("/runs", workflow="grading")
    assert {one["run_id"]: one["state"] for one in answer.json()["runs"]} == {
        "r-4": "complete",
        "r-3": "running",
        "r-2": "failed",
        "r-1": "failed",
    }
    lost = answer.json()["runs"][2]
    assert (lost["ended_at"], lost["cost_usd"]) == (START + 5000, 0.5)
    assert ids(await api.get("/runs", session_id="s-1", state="failed")) == ["r-2", "r-1"]
    assert ids(await api.get("/runs", session_id="s-1", state="running")) == ["r-3"]
    # The one that runs was read for it: a page may be empty and still have a next one.
    assert await pages(api, session_id="s-1", state="failed", limit=1) == [[], ["r-2"], ["r-1"]]

    shown = await api.get("/runs/r-2")
    assert (shown.json()["state"], shown.json()["ended_at"]) == ("failed", START + 5000)
    assert shown.json()["error"] == {
        "type": "error",
        "code": "internal",
        "message": "The run was interrupted. It can be resumed.",
        "retryable": True,
        "request_id": "q",
    }
    assert (await api.get("/runs/r-2", etag=shown.headers["etag"])).status_code == 304
    exported = await api.get("/runs/export", state="failed")
    assert [json.loads(one)["run_id"] for one in exported.text.splitlines()] == ["r-1", "r-2"]


async def test_a_page_may_be_larger_than_one_answer_of_dynamodb(api: Api) -> None:
    await api.keep_all([run(f"r-{number:03d}", START + number, rep="é" * 6000) for number in range(150)])
    expected = [f"r-{number:03d}" for number in range(149, -1, -1)]
    assert await pages(api, session_id="s-1", limit=100) == [expected[:100], expected[100:]]
    # 100 such runs are over DynamoDB's 1 MB for an answer, so the first page took two queries or more.
    assert api.dynamo.calls.count(("Runs/index/by_session", "Query")) >= 3
    first = await api.get("/runs", session_id="s-1", limit=100)
    assert len(first.content) > 1_048_576
    again = await api.get("/runs", session_id="s-1", limit=100, etag=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"")


async def test_pages_are_full_although_a_filter_drops_nearly_all(api: Api) -> None:
    await api.keep_all(
        [
            run(f"r-{number:04d}", START + number, state="failed" if number % 100 == 0 else "complete")
            for number in range(700)
        ]
    )
    found = await pages(api, workflow="grading", state="failed", limit=3)
    assert found == [["r-0600", "r-0500", "r-0400"], ["r-0300", "r-0200", "r-0100"], ["r-0000"]]


async def test_a_page_ends_after_so_much_work_and_the_next_goes_on(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.keep_all(
        [
            run(f"r-{number:04d}", START + number, state="failed" if number < 3 else "complete")
            for number in range(2300)
        ]
    )
    found = await pages(api, workflow="grading", state="failed", limit=2)
    assert found == [[], ["r-0002", "r-0001"], ["r-0000"]]
    assert (await api.get("/runs/export", state="failed")).text.count("\n") == 3
    monkeypatch.setattr("results.reading._PAGES", 1)
    assert (await api.get("/runs/export", state="failed")).status_code == 400
    figures = (await api.get("/analytics", rep="nobody")).json()
    assert (figures["runs"], figures["limited"]) == (0, True)


async def test_runs_of_one_moment_are_all_listed(api: Api) -> None:
    await api.keep_all([run(f"r-{number}", START) for number in range(7)])
    found = await pages(api, session_id="s-1", limit=2)
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert sorted(id_ for page in found for id_ in page) == [f"r-{number}" for number in range(7)]


async def test_a_run_is_followed_without_reading_its_result(api: Api) -> None:
    runs = RunStore(api.filler, "Runs")
    result = {"scores": {"overall": 7}, "text": "é" * 450_000}
    begun = run("r-1", START, state="running", ended_at=None, result=None, owner="me")
    await runs.begin(begun)
    running = await api.get("/runs/r-1")
    assert (running.json()["state"], running.json()["result"]) == ("running", None)
    assert (await api.get("/runs/r-1", etag=running.headers["etag"])).status_code == 304
    await runs.finish(replace(begun, state="complete", ended_at=START + 9, result=result))

    complete = await api.get("/runs/r-1", etag=running.headers["etag"])
    assert complete.status_code == 200
    assert complete.json()["result"] == result
    assert complete.headers["etag"].startswith('W/"')
    api.dynamo.calls.clear()
    for known in (complete.headers["etag"], complete.headers["etag"].removeprefix("W/"), "*"):
        same = await api.get("/runs/r-1", etag=known)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == complete.headers["etag"]
    assert api.dynamo.calls == [("Runs", "GetItem")] * 3

    found = await runs.get("r-1")
    assert found is not None
    claimed = await runs.claim(found, "again")
    assert (await api.get("/runs/r-1", etag=complete.headers["etag"])).json()["state"] == "running"
    again = replace(claimed, state="complete", ended_at=START + 9, result=result | {"text": "new"})
    await runs.finish(again)
    assert (await api.get("/runs/r-1", etag=complete.headers["etag"])).json()["result"]["text"] == "new"


async def test_a_tag_changes_with_what_is_shown_and_not_with_the_lease(api: Api) -> None:
    runs = RunStore(api.filler, "Runs")
    begun = run("r-1", START, state="running", ended_at=None, result=None, owner="me")
    await runs.begin(begun)
    tag = (await api.get("/runs/r-1")).headers["etag"]
    await runs.append(replace(begun, last_seq=9, progress=0.5), Unwritten())
    assert (await api.get("/runs/r-1", etag=tag)).status_code == 304
    await runs.append(replace(begun, cost_usd=0.02), Unwritten())
    assert (await api.get("/runs/r-1", etag=tag)).json()["cost_usd"] == 0.02


async def test_line_ratings_of_the_newest_complete_grading(api: Api) -> None:
    await api.keep(run("r-1", START), rating(1), rating(2))
    await api.keep(run("r-2", START + 1), rating(1), rating(3, "poor"), rating(10, text="é"))
    await api.keep(run("r-3", START + 2, state="failed"), rating(5))
    await api.keep(run("r-4", START + 3, workflow="coach"), rating(6))
    await api.keep(run("r-20", START, session_id="s-2"), rating(7))

    async def lines(**query: Any) -> tuple[str, list[int]]:
        answer = await api.get("/sessions/s-1/line-ratings", **query)
        assert answer.status_code == 200, answer.text
        shown = answer.json()
        return shown["run_id"], [one["line_number"] for one in shown["line_ratings"]]

    assert await lines() == ("r-2", [1, 3, 10])
    assert await lines(effectiveness="good") == ("r-2", [1, 10])
    assert await lines(effectiveness="excellent") == ("r-2", [])
    assert await lines(run_id="r-1") == ("r-1", [1, 2])
    answer = await api.get("/sessions/s-1/line-ratings", run_id="r-3")
    assert answer.status_code == 409
    assert answer.json()["message"] == "Run 'r-3' is failed; only complete runs have line ratings."
    for path, query in (("s-1", {"run_id": "r-20"}), ("s-1", {"run_id": "no"}), ("s-9", {})):
        assert (await api.get(f"/sessions/{path}/line-ratings", **query)).status_code == 404


async def test_analytics(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = rating(4, "missed_opportunity", "Bye.")
    await api.keep(run("r-1", START, rep="Ada"), rating(1), missed)
    await api.keep(run("r-2", START + 7 * DAY, rep="Ben", result={"scores": {"overall": 61}}), missed)
    await api.keep(run("r-3", START, state="failed", rep="Ada"), missed)
    whole = (await api.get("/analytics")).json()
    assert (whole["runs"], whole["scores"], whole["lines"], whole["limited"]) == (
        2,
        {"overall": 55.5},
        3,
        False,
    )
    assert [week["week"] for week in whole["weeks"]] == ["2026-W06", "2026-W07"]
    assert [rep["rep"] for rep in whole["reps"]] == ["Ada", "Ben"]
    assert [(one["count"], one["latest"]["run_id"]) for one in whole["missed_opportunities"]] == [(2, "r-2")]
    week = (await api.get("/analytics", from_="2026-02-02", to="2026-02-08")).json()
    assert (week["runs"], week["from_ms"], week["to_ms"]) == (1, START, START + 7 * DAY - 1)
    assert (await api.get("/analytics", rep="Ben")).json()["scores"] == {"overall": 61.0}
    assert (await api.get("/analytics", workflow="coach")).json()["runs"] == 0
    monkeypatch.setattr("results.figures.MAX_RUNS", 1)
    newest = (await api.get("/analytics")).json()
    assert (newest["runs"], newest["scores"], newest["limited"]) == (1, {"overall": 61.0}, True)


async def test_exports(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await api.keep_all([run(f"r-{number}", START + number * DAY, rep="=1+1") for number in range(3)])
    lines = await api.get("/runs/export")
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert lines.headers["content-disposition"] == 'attachment; filename="runs.jsonl"'
    documents = [json.loads(line) for line in lines.text.splitlines()]
    assert [one["run_id"] for one in documents] == ["r-0", "r-1", "r-2"]
    assert documents[0] == (await api.get("/runs/r-0")).json()
    table = await api.get("/runs/export", format="csv", from_="2026-02-03", to="2026-02-03")
    assert table.headers["content-type"].startswith("text/csv")
    assert [row.split(",")[:4] for row in table.text.split("\r\n")[1:-1]] == [
        ["r-1", "s-1", "grading", "'=1+1"]
    ]
    monkeypatch.setattr("results.runs.MAX_RUNS", 2)
    over = await api.get("/runs/export")
    assert over.status_code == 400
    assert over.json()["message"].startswith("An export takes at most 2 runs")
    assert (await api.get("/runs/export", to="2026-02-03")).status_code == 200


async def test_an_export_too_large_to_send_ends_reading_early(api: Api) -> None:
    result = {"scores": {"overall": 1}, "text": "x" * 300_000}
    await api.keep_all([run(f"r-{number:02d}", START + number, result=result) for number in range(40)])
    over = await api.get("/runs/export")
    assert over.status_code == 400
    assert over.json()["message"].endswith("6000000 bytes; narrow `from` and `to`.")
    # Twenty of them and a bit are over 6 MB; eight are read at a time.
    assert api.dynamo.calls.count(("Runs", "GetItem")) == 24
    table = await api.get("/runs/export", format="csv")
    assert len(table.text.splitlines()) == 41


async def test_a_run_too_large_to_send_says_where_it_is(api: Api) -> None:
    runs = RunStore(api.filler, "Runs")
    begun = run("r-1", START, state="running", ended_at=None, result=None, owner="me")
    await runs.begin(begun)
    await runs.finish(replace(begun, state="complete", result={"text": "x" * 6_000_000}))
    answer = await api.get("/runs/r-1")
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("bytes; its workflow's own address streams it.")
