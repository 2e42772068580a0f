"""The OpenAPI document: as it is published, with everything that a route answers."""

import json
from pathlib import Path
from typing import Any

import pytest
from results.api import document

PUBLISHED = Path(__file__).resolve().parents[3] / "docs/results.openapi.json"
PROBLEM = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

# What a route answers besides its success and what `default` covers.
ANSWERS = {
    "GET /health": set[str](),
    "POST /sessions": {"400", "409", "413"},
    "GET /sessions": {"304", "400"},
    "GET /sessions/{session_id}": {"304", "404"},
    "DELETE /sessions/{session_id}": {"404"},
    "GET /sessions/{session_id}/line-ratings": {"304", "400", "404", "409"},
    "GET /runs": {"304", "400"},
    "GET /runs/export": {"400"},
    "GET /runs/{run_id}": {"304", "400", "404"},
    "GET /analytics": {"304", "400"},
}


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_published_as_it_is() -> None:
    assert json.loads(PUBLISHED.read_text()) == document(), "docs are behind the code: make schema"


def test_every_route_documents_its_errors(operations: dict[str, dict[str, Any]]) -> None:
    found = {
        name: {status for status in operation["responses"] if not status.startswith("2")}
        for name, operation in operations.items()
    }
    assert found == {name: {*statuses, "default"} for name, statuses in ANSWERS.items()}


def test_every_error_is_a_problem_and_a_304_has_no_body(operations: dict[str, dict[str, Any]]) -> None:
    for operation in operations.values():
        for status, response in operation["responses"].items():
            assert response["description"]
            if status == "304":
                assert "content" not in response
            elif not status.startswith("2"):
                assert response["content"] == PROBLEM


def test_every_success_says_what_it_is(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert operation["summary"]
        assert operation["tags"]
        [success] = [status for status in operation["responses"] if status.startswith("2")]
        kinds = set(operation["responses"][success].get("content", {}))
        if name.startswith("DELETE"):
            assert (success, kinds) == ("204", set())
        elif name == "GET /runs/export":
            assert kinds == {"application/x-ndjson", "text/csv"}
        else:
            assert kinds == {"application/json"}
