"""Lambda's Runtime API over h11: the trailers of a failed stream are what httpx cannot send.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
from collections.abc import Iterable

import h11

from rill.runtime.connection import Answer, ApiError, Connection
from rill.runtime.context import Invocation
from rill.runtime.failure import Failure
from rill.runtime.wire import CONTENT_TYPE

PREFIX = "/2018-06-01/runtime"
Headers = Iterable[tuple[bytes, bytes]]


class RuntimeApi:
    """One process's side of the Runtime API.

    The connection for `next` is kept; a response gets one of its own, since the API may cut a response
    short with an answer of its own, and what was in flight then must not meet the next invocation.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._kept: Connection | None = None

    async def next(self) -> Invocation:
        """Wait for an invocation, as long as it takes.

        Raises:
            ApiError: there is none to be had.
        """
        answer = await self._get("/invocation/next")
        try:
            return Invocation(
                request_id=answer.headers["lambda-runtime-aws-request-id"],
                deadline_ms=int(answer.headers["lambda-runtime-deadline-ms"]),
                function_arn=answer.headers.get("lambda-runtime-invoked-function-arn", ""),
                trace_id=answer.headers.get("lambda-runtime-trace-id") or None,
                event=answer.body,
            )
        except (KeyError, ValueError) as error:
            raise ApiError(f"the answer to next has no valid {error}") from error

    async def restore(self) -> None:
        """Say that the process is ready for its snapshot; returns when it has been restored from it.

        Raises:
            ApiError: the environment cannot be restored.
        """
        await self._get("/restore/next")

    async def respond(self, request_id: str, body: bytes) -> None:
        """A buffered response.

        Raises:
            ApiError: it was not taken.
        """
        await self._post(f"/invocation/{request_id}/response", body)

    async def stream(self, request_id: str) -> "Post":
        """Begin a streamed response. Nothing is sent before the first `write`.

        Raises:
            ApiError: there is no connection to be had.
        """
        connection = await Connection.open(self._address)
        target = f"{PREFIX}/invocation/{request_id}/response"
        headers = [
            (b"Host", connection.host),
            (b"Content-Type", CONTENT_TYPE),
            (b"Lambda-Runtime-Function-Response-Mode", b"streaming"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Trailer", b"Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
        ]
        return Post(connection, h11.Request(method="POST", target=target, headers=headers))

    async def error(self, request_id: str, failure: Failure) -> None:
        """Report an invocation that failed before its first byte.

        Raises:
            ApiError: the report was not taken.
        """
        await self._post(f"/invocation/{request_id}/error", failure.body(), failure)

    async def init_error(self, failure: Failure) -> None:
        """Report that the function cannot start. Raises as `error` does."""
        await self._post("/init/error", failure.body(), failure)

    async def restore_error(self, failure: Failure) -> None:
        """Report that the hooks after the restore failed. Raises as `error` does."""
        await self._post("/restore/error", failure.body(), failure)

    async def close(self) -> None:
        """Close the kept connection; the next request opens another one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            await kept.close()

    async def _get(self, path: str) -> Answer:
        if self._kept is None or not self._kept.usable:
            await self.close()
            self._kept = await Connection.open(self._address)
        connection = self._kept
        request = h11.Request(method="GET", target=PREFIX + path, headers=[(b"Host", connection.host)])
        await connection.write(connection.encoded(request, h11.EndOfMessage()))
        answer = await connection.answer()
        if answer.status != 200:
            raise ApiError(f"GET {path} was answered with {answer.status}: {answer.text}")
        connection.next_cycle()
        return answer

    async def _post(self, path: str, body: bytes, failure: Failure | None = None) -> None:
        connection = await Connection.open(self._address)
        try:
            headers = [
                (b"Host", connection.host),
                (b"Content-Type", b"application/json"),
                (b"Content-Length", str(len(body)).encode()),
            ]
            if failure is not None:
                headers.append((b"Lambda-Runtime-Function-Error-Type", failure.kind.encode()))
            request = h11.Request(method="POST", target=PREFIX + path, headers=headers)
            await connection.write(connection.encoded(request, h11.Data(data=body), h11.EndOfMessage()))
            _accepted(await connection.answer())
        finally:
            await connection.close()


class Post:
    """A streamed response on its way.

    Every `write` returns when the operating system has all of it: a reader that stops stops the app.
    """

    def __init__(self, connection: Connection, request: h11.Request) -> None:
        self._connection = connection
        self._unsent: list[h11.Event] = [request]
        self._answer = asyncio.create_task(self._listen(), name="rill.runtime answer")

    async def _listen(self) -> Answer:
        """An answer before our end is a refusal: the connection is cut, which wakes a `write` that waits."""
        try:
            return await self._connection.answer()
        finally:
            if not self._connection.sent_all:
                self._connection.abort()

    async def write(self, data: bytes) -> None:
        """Send a piece; the request's head goes with the first one.

        Raises:
            ApiError: the API does not want any more of it.
        """
        if self._unsent:
            await self._send(h11.Data(data=data))
        elif data:  # h11 would write the same, and its state stays as it is
            await self._put(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, trailers: Headers = ()) -> None:
        """Finish, and wait until the API has taken it all. Raises as `write` does."""
        if not self._connection.sent_all:  # it is where an `end` was cancelled before this one
            await self._send(h11.EndOfMessage(headers=list(trailers)))
        _accepted(await asyncio.shield(self._answer))

    async def _send(self, event: h11.Event) -> None:
        events, self._unsent = [*self._unsent, event], []
        # Encoded is sent, for h11: not where it is answered already.
        await self._put(b"" if self._answer.done() else self._connection.encoded(*events))

    async def _put(self, data: bytes) -> None:
        if not self._answer.done() and not self._connection.push(data):
            try:
                await self._connection.drained()
            except ApiError:
                if not self._answer.done():
                    raise
        if self._answer.done() and not self._connection.sent_all:
            answer = self._answer.result()
            raise ApiError(f"cut off with {answer.status}: {answer.text}")

    async def close(self) -> None:
        """Free the connection, whatever state the response is in."""
        self._answer.cancel()
        await asyncio.wait([self._answer])
        if not self._answer.cancelled():
            self._answer.exception()  # looked at, or asyncio complains: `_send` and `end` have raised it
        await self._connection.close()


def _accepted(answer: Answer) -> None:
    if not 200 <= answer.status < 300:
        raise ApiError(f"refused with {answer.status}: {answer.text}")
