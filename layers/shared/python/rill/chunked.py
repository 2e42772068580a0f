"""Decoder of HTTP's chunked transfer coding that gives what has come in one piece. Pure.

Source: https://www.rfc-editor.org/rfc/rfc9112#section-7.1
"""

MAX_LINE_BYTES = 16 * 1024
_HEX = frozenset(b"0123456789abcdefABCDEF")


class BadChunk(ValueError):
    """The body is not coded as it says."""


class ChunkedDecoder:
    """Takes a chunked body in pieces.

    Attributes:
        done: whether the body has ended, trailers included; `rest` is then what came after it.
    """

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self._left = 0  # bytes of the current chunk that have not come yet
        self._state = self._size
        self._pending = b""  # a line that has not ended
        self._between = True  # two chunks: the next byte is one of a size

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; returns the body's bytes among them.

        Raises:
            BadChunk: what came is no chunk.
        """
        # The common case: one chunk, whole, from a server that sends each in a write of its own.
        if (
            self._between
            and (end := piece.find(b"\r\n", 0, 16)) > 0
            and _HEX.issuperset(digits := piece[:end])
            and 0 < int(digits, 16) == len(piece) - end - 4
            and piece.endswith(b"\r\n")
        ):
            return piece[end + 2 : -2]
        if self._pending:
            piece, self._pending = self._pending + piece, b""
        found: list[bytes] = []
        at = 0
        while at < len(piece) and not self.done:
            at = self._state(piece, at, found)
        if self.done:
            self.rest += piece[at:]
        self._between = self._state == self._size and not self._pending
        return found[0] if len(found) == 1 else b"".join(found)

    def _size(self, piece: bytes, at: int, found: list[bytes]) -> int:
        end = self._line(piece, at)
        if end < 0:
            return len(piece)
        digits = piece[at:end].partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or not _HEX.issuperset(digits):
            raise BadChunk(f"a chunk begins with {piece[at : at + 40]!r} instead of its size")
        self._left = int(digits, 16)
        self._state = self._data if self._left else self._trailer
        return end + 2

    def _data(self, piece: bytes, at: int, found: list[bytes]) -> int:
        data = piece[at : at + self._left]
        found.append(data)
        self._left -= len(data)
        if not self._left:
            self._state = self._end
        return at + len(data)

    def _end(self, piece: bytes, at: int, found: list[bytes]) -> int:
        if len(piece) - at < 2:
            self._pending = piece[at:]
            return len(piece)
        if piece[at : at + 2] != b"\r\n":
            raise BadChunk("a chunk is longer than it says")
        self._state = self._size
        return at + 2

    def _trailer(self, piece: bytes, at: int, found: list[bytes]) -> int:
        end = self._line(piece, at)
        if end < 0:
            return len(piece)
        self.done = end == at
        return end + 2

    def _line(self, piece: bytes, at: int) -> int:
        """Where the line that begins at `at` ends; -1 where it has not ended yet."""
        end = piece.find(b"\r\n", at)
        if (end if end >= 0 else len(piece)) - at > MAX_LINE_BYTES:
            raise BadChunk("a line of the chunked coding is too long")
        if end < 0:
            self._pending = piece[at:]
        return end
