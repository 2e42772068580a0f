"""The page of a stack: the built web app where there is one, or else the functions' URLs."""

import html
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from local.functions.http import Exchange, Server

_HTML = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Rill on this machine</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem; }}
  pre {{ padding: 1rem; overflow-x: auto; background: #f2f4f7; color: #16202c; border-radius: 6px; }}
  td {{ padding-right: 1.5rem; }}
</style>
<h1>Rill on this machine</h1>
<p>One address for each function, as a function URL serves it:</p>
<table>{rows}</table>
{example}
<p>In a terminal: <code>rill grade FILE</code>. The addresses as JSON: <a href="/urls.json">urls.json</a>.
</html>
"""
_EXAMPLE = """<p>A call, graded while you watch:</p>
<pre>{command}</pre>
"""
_CALL = {
    "session_id": "first-try",
    "transcript": [
        {"line_number": 1, "speaker": "rep", "text": "Hi, what brings you to us today?"},
        {
            "line_number": 2,
            "speaker": "customer",
            "text": "We need a faster line, but yours looks expensive.",
        },
        {"line_number": 3, "speaker": "rep", "text": "I understand. What does a slow day cost you now?"},
    ],
}


class Page:
    """Serves `dist` if it holds an index.html, or a page of its own.

    Args:
        urls: of the functions, by name.
        dist: the directory of the built web app.
    """

    def __init__(self, urls: Mapping[str, str], dist: Path) -> None:
        self._urls = urls
        self._dist = dist.resolve()
        self._server = Server(self._handle)

    async def start(self, port: int = 0) -> str:
        """Listen, and return the URL.

        Raises:
            OSError: the port is taken.
        """
        await self._server.start(port)
        return self._server.url

    async def close(self) -> None:
        await self._server.close()

    async def _handle(self, exchange: Exchange) -> None:
        async for _ in exchange.chunks():
            pass
        if exchange.method not in ("GET", "HEAD"):
            await exchange.respond(405, [("Allow", "GET, HEAD")])
            return
        path = unquote(exchange.target.partition("?")[0])
        if path == "/urls.json":
            headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
            await exchange.respond(200, headers, json.dumps(self._urls, indent=2).encode())
        elif (found := self._file(path)) is not None:
            kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
            text = kind.startswith("text/") or kind == "application/json"
            kind = f"{kind}; charset=utf-8" if text else kind
            headers = [("Content-Type", kind), ("Cache-Control", "no-cache")]
            await exchange.respond(200, headers, found.read_bytes())
        elif path == "/":
            await exchange.respond(200, _HTML, listing(self._urls).encode())
        else:
            await exchange.respond(404, _HTML, b"<!doctype html><title>Not found</title><p>Not found.")

    def _file(self, path: str) -> Path | None:
        """A file of the built app; its own routes, which name no file, get its index."""
        index = self._dist / "index.html"
        if not index.is_file() or "\0" in path:
            return None
        wanted = (self._dist / path.lstrip("/")).resolve()
        if not wanted.is_relative_to(self._dist):
            return None
        if wanted.is_file():
            return wanted
        return index if not wanted.suffix else None


def listing(urls: Mapping[str, str]) -> str:
    """The page that names the functions, with a command to paste where grading is among them."""
    rows = "".join(
        f'<tr><td>{html.escape(name)}<td><a href="{html.escape(url)}health">{html.escape(url)}</a>'
        for name, url in urls.items()
    )
    example = ""
    if (url := urls.get("grading")) is not None:
        command = (
            f"curl -N {url}runs \\\n  -H 'Accept: text/event-stream' -H 'Content-Type: application/json' \\\n"
            f"  -d '{json.dumps(_CALL)}'"
        )
        example = _EXAMPLE.format(command=html.escape(command, quote=False))
    return _PAGE.format(rows=rows, example=example)
