"""The page of a stack: its own list, or the built web app and nothing beside it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from local.page import Page, listing


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    page = Page({"grading": "http://127.0.0.1:9/"}, tmp_path / "dist")
    async with httpx2.AsyncClient(trust_env=False, base_url=await page.start()) as client:
        yield client
    await page.close()


async def test_list_of_urls(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/?x=1")
    assert (answer.status_code, answer.text) == (200, listing({"grading": "http://127.0.0.1:9/"}))
    assert "curl -N http://127.0.0.1:9/runs" in answer.text
    assert (await client.get("/urls.json")).json() == {"grading": "http://127.0.0.1:9/"}
    assert (await client.get("/other")).status_code == 404
    head = await client.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert (await client.post("/", content=b"x")).headers["allow"] == "GET, HEAD"


async def test_built_app(client: httpx2.AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "dist/assets").mkdir(parents=True)
    (tmp_path / "dist/index.html").write_text("<p>app")
    (tmp_path / "dist/assets/app.js").write_text("run()")
    (tmp_path / "dist/link").symlink_to(tmp_path / "secret")
    assert (await client.get("/")).text == "<p>app"
    script = await client.get("/assets/app.js")
    assert (script.text, script.headers["content-type"]) == ("run()", "text/javascript; charset=utf-8")
    assert (await client.get("/runs/abc")).text == "<p>app"
    assert (await client.get("/assets/none.js")).status_code == 404
    assert (await client.get("/link")).status_code == 404
    assert (await client.get("/urls.json")).status_code == 200


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/assets/../../secret", "/%00"])
async def test_nothing_outside_of_it(client: httpx2.AsyncClient, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.html").write_text("<p>app")
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    # By hand: a client library would tidy the path up.
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_names_are_escaped() -> None:
    assert "<td>&lt;b&gt;<td>" in listing({"<b>": "http://x/"})
