"""ASGI's `receive` and `send` for one invocation: what may come when stands here, and nowhere else.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Literal

from rill.runtime.connection import ApiError
from rill.runtime.failure import Failure
from rill.runtime.response import Head, Response

Message = MutableMapping[str, Any]
State = Literal["expecting start", "expecting body", "complete"]

LEGAL: dict[State, str | None] = {
    "expecting start": "http.response.start",
    "expecting body": "http.response.body",
    "complete": None,
}


class OutOfOrder(RuntimeError):
    """The app sent a message that its response has no place for."""


class Exchange:
    """One request and its response.

    Attributes:
        broken: done when the Runtime API no longer takes the response; the app is to be cancelled then.
    """

    def __init__(self, body: bytes, response: Response) -> None:
        self.broken: asyncio.Future[ApiError] = asyncio.get_running_loop().create_future()
        self._response = response
        self._body: bytes | None = body
        self._state: State = "expecting start"
        self._head: Head = (0, [])
        self._over = asyncio.Event()
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether the Runtime API has the whole response."""
        return self._complete

    def disconnect(self) -> None:
        """Let `receive` say that nobody is there any more."""
        self._over.set()

    async def receive(self) -> Message:
        """The whole body at once; then nothing until the response is complete: Lambda does not tell a
        function that its client went away."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Returns when the message is on the wire.

        Raises:
            OutOfOrder: it is not this message's turn.
        """
        if message["type"] != LEGAL[self._state]:
            raise OutOfOrder(f"{message['type']} came while {self._state}")
        if self._state == "expecting start":
            headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
            self._head = (message["status"], headers)
            self._state = "expecting body"
            return
        last = not message.get("more_body", False)
        if last:
            self._state = "complete"
        try:
            await self._response.write(self._head, bytes(message.get("body", b"")), last=last)
        except ApiError as error:
            await self._break(error)
        if last:
            self._complete = True
            self._over.set()

    async def fail(self, failure: Failure) -> None:
        """Report an app that ended without having completed its response.

        Raises:
            ApiError: the report was not taken.
        """
        self._state = "complete"
        self._over.set()
        await self._response.fail(failure)

    async def _break(self, error: ApiError) -> None:
        """The app has done nothing wrong and gets no error: it waits here until it is cancelled."""
        if not self.broken.done():
            self.broken.set_result(error)
        await asyncio.get_running_loop().create_future()
