"""An SQS or DynamoDB that refuses some calls: a proxy in front of moto's server."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

SECONDS = 30


@contextmanager
def failing(
    endpoint: str, times: Mapping[str, int], status: int = 503, code: str = "ServiceUnavailable"
) -> Iterator[str]:
    """Refuses the first calls of an operation, and passes on what comes after; yields its URL.

    Args:
        endpoint: of what is behind it.
        times: how many calls fail, by operation.
        status: of the refusal.
        code: of the refusal, as AWS names it.
    """
    left = dict(times)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            if left.get(operation, 0) > 0:
                left[operation] -= 1
                self._answer(status, json.dumps({"__type": code}).encode(), "application/x-amz-json-1.0")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            request = urllib.request.Request(f"{endpoint}{self.path}", body, headers)  # noqa: S310
            try:
                answer = opener.open(request, timeout=SECONDS)
            except urllib.error.HTTPError as error:  # an answer too
                answer = error
            with answer:
                self._answer(answer.status, answer.read(), answer.headers["Content-Type"])

        def _answer(self, code: int, body: bytes, content_type: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
