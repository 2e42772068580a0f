"""What a client heard of one streamed answer, with the time of each piece."""

import asyncio
import re
import time
from dataclasses import dataclass, field

from bench.stats import percentile

_STAMP = re.compile(rb"t(\d{9,});")
_OUTPUT_TOKENS = re.compile(rb'"type":"usage".*?"output_tokens":(\d+)')
_END = b"0\r\n\r\n"


class AnswerError(Exception):
    """The answer is not what it has to be; the message has its end."""


@dataclass(slots=True)
class Heard:
    """The pieces of one answer as they were read; times are nanoseconds of the monotonic clock."""

    asked: int = field(default_factory=time.monotonic_ns)
    pieces: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    def first(self, pattern: bytes) -> int:
        """When the piece with the first match was read: nanoseconds of the monotonic clock.

        Raises:
            AnswerError: none had one.
        """
        for at, data in self.pieces:
            if re.search(pattern, data):
                return at
        raise AnswerError(f"the answer has no {pattern!r}: {self.body[-300:]!r}")

    def when_each(self, text: bytes) -> list[float]:
        """Milliseconds from the request to every piece that had `text`, once for each time it had it."""
        return [(at - self.asked) / 1e6 for at, data in self.pieces for _ in range(data.count(text))]

    def delays(self) -> list[float]:
        """Microseconds from each stamp's making to its piece's reading."""
        return [(at - int(stamp)) / 1e3 for at, data in self.pieces for stamp in _STAMP.findall(data)]

    def percentiles(self, deltas: int) -> dict[str, float]:
        """`p50` and `p99` of the delays of so many deltas, in microseconds.

        What comes behind them does not count: Rill's last event has the whole text once more.

        Raises:
            AnswerError: fewer came.
        """
        delays = self.delays()[:deltas]
        if len(delays) < deltas:
            raise AnswerError(f"{len(delays)} of {deltas} deltas came")
        return {"p50": percentile(delays, 50), "p99": percentile(delays, 99)}

    def output_tokens(self) -> list[int]:
        """Of each call to the model; the scripted one counts a token for each delta it sends."""
        return [int(tokens) for tokens in _OUTPUT_TOKENS.findall(self.body)]

    def check(self) -> "Heard":
        """Itself.

        Raises:
            AnswerError: it did not end well.
        """
        body = self.body
        if b'"type":"complete"' not in body.replace(b'"type": "', b'"type":"'):
            raise AnswerError(f"not complete: {body[-500:]!r}")
        return self


async def read_answer(reader: asyncio.StreamReader, heard: Heard) -> None:
    """Read a chunked body to its end, noting the time of every piece."""
    tail = b""
    while data := await reader.read(256 * 1024):
        heard.pieces.append((time.monotonic_ns(), data))
        tail = (tail + data)[-len(_END) :]
        if tail == _END:
            return


async def ask(host: str, port: int, path: str, body: bytes, **headers: str) -> Heard:
    """POST over a connection of its own, and read the whole answer."""
    heard = Heard()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Accept: text/event-stream\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        )
        writer.write(head.encode() + body)
        await read_answer(reader, heard)
    finally:
        writer.close()
    return heard
