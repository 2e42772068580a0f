"""Server-Sent Events from bytes: a pure parser, fed at any chunk boundary.

Lines end with LF, CRLF or CR and with nothing else: `str.splitlines` also splits on U+2028, which may
stand inside a JSON text.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re
from dataclasses import dataclass

MAX_FRAME_BYTES = 16 * 1024 * 1024

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class FrameTooLong(Exception):
    """A frame is longer than any that a function sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One event; `id` is the last one that was sent, as a browser keeps it."""

    id: str
    data: str


class SseParser:
    """Feed it bytes; it gives the frames that are whole.

    Attributes:
        retry: milliseconds before a reconnect, as the stream last said; None where it did not.
        comments: how many comment lines came, which is what keep-alives are.
    """

    def __init__(self) -> None:
        self.retry: int | None = None
        self.comments = 0
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._id = ""
        self._after_cr = False
        self._first = True

    def feed(self, piece: bytes) -> list[Frame]:
        """Take some bytes.

        Raises:
            FrameTooLong: a frame has no end within 16 MB.
        """
        frames: list[Frame] = []
        # CRLF cut in two: the CR has ended its line already.
        start = 1 if self._after_cr and piece.startswith(b"\n") else 0
        if piece:
            self._after_cr = piece.endswith(b"\r")
        for end in _LINE_END.finditer(piece, start):
            self._line += piece[start : end.start()]
            start = end.end()
            frame = self._end_line()
            if frame is not None:
                frames.append(frame)
        self._line += piece[start:]
        if self._size + len(self._line) > MAX_FRAME_BYTES:
            raise FrameTooLong(f"over {MAX_FRAME_BYTES} bytes without an end")
        return frames

    def _end_line(self) -> Frame | None:
        line = bytes(self._line)
        self._line.clear()
        if self._first:
            self._first, line = False, line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            self.comments += 1
            return None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value)
        return None

    def _dispatch(self) -> Frame | None:
        if not self._data:
            return None
        frame = Frame(id=self._id, data=b"\n".join(self._data).decode(errors="replace"))
        self._data, self._size = [], 0
        return frame
