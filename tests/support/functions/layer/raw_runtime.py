"""The least that speaks Lambda's Runtime API: the other side of the emulator's tests.

Written against the API's description and with plain sockets, so that a mistake in Rill's own runtime
cannot hide one in the emulator.
"""

import base64
import importlib
import json
import os
import signal
import sys
from http.client import HTTPConnection
from typing import Any

HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
PREFIX = "/2018-06-01/runtime"


class Out:
    """The response of one invocation."""

    def __init__(self, request_id: str, deadline_ms: int) -> None:
        self.request_id = request_id
        self.deadline_ms = deadline_ms
        self._connection = HTTPConnection(HOST, int(PORT))
        self._path = f"{PREFIX}/invocation/{request_id}"

    def start(self, prelude: dict[str, Any] | None, content_type: str | None = None) -> None:
        """Begin a streaming response."""
        c = self._connection
        c.putrequest("POST", self._path + "/response")
        c.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
        c.putheader("Transfer-Encoding", "chunked")
        c.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
        c.putheader("Content-Type", content_type or "application/vnd.awslambda.http-integration-response")
        c.endheaders()
        if prelude is not None:
            self.write(json.dumps(prelude).encode() + bytes(8))

    def write(self, data: bytes) -> None:
        self._connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self, error_type: str | None = None, error: dict[str, str] | None = None) -> int:
        trailers = b""
        if error_type is not None:
            encoded = base64.b64encode(json.dumps(error or {}).encode())
            trailers = b"Lambda-Runtime-Function-Error-Type: %b\r\n" % error_type.encode()
            trailers += b"Lambda-Runtime-Function-Error-Body: %b\r\n" % encoded
        self._connection.send(b"0\r\n%b\r\n" % trailers)
        return self._status()

    def post(self, what: str, value: Any, error_type: str | None = None) -> int:
        """A buffered response, or an error."""
        headers = {} if error_type is None else {"Lambda-Runtime-Function-Error-Type": error_type}
        self._connection.request("POST", f"{self._path}/{what}", json.dumps(value), headers)
        return self._status()

    def _status(self) -> int:
        response = self._connection.getresponse()
        response.read()
        return response.status


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    module, name = os.environ["_HANDLER"].split(".")
    try:
        handler = getattr(importlib.import_module(module), name)
    except Exception as error:  # noqa: BLE001  # whatever the code's import raises is what is reported
        connection = HTTPConnection(HOST, int(PORT))
        body = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
        headers = {"Lambda-Runtime-Function-Error-Type": "Runtime.ImportError"}
        connection.request("POST", f"{PREFIX}/init/error", body, headers)
        connection.getresponse().read()
        sys.exit(1)
    while True:
        connection = HTTPConnection(HOST, int(PORT))
        connection.request("GET", f"{PREFIX}/invocation/next")
        response = connection.getresponse()
        event = json.loads(response.read())
        out = Out(
            response.headers["Lambda-Runtime-Aws-Request-Id"],
            int(response.headers["Lambda-Runtime-Deadline-Ms"]),
        )
        handler(event, out)


if __name__ == "__main__":
    main()
