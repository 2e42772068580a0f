"""Chunked bodies: at every cut, with what is optional, and what is no chunk."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rill.chunked import MAX_LINE_BYTES, BadChunk, ChunkedDecoder

BODY = b"5;name=value\r\nhello\r\n1 \r\n,\r\n00B\r\n world\r\n\r\n!\r\n0\r\nTrailer: x\r\n\r\n"
DECODED = b"hello, world\r\n\r\n!"


def decoded(pieces: list[bytes]) -> tuple[bytes, ChunkedDecoder]:
    decoder = ChunkedDecoder()
    return b"".join(decoder.feed(piece) for piece in pieces), decoder


def test_what_came_together_is_one_piece() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(BODY) == DECODED
    assert (decoder.done, decoder.rest) == (True, b"")


def test_byte_by_byte() -> None:
    body, decoder = decoded([BODY[at : at + 1] for at in range(len(BODY))])
    assert (body, decoder.done) == (DECODED, True)


def test_a_chunk_at_a_time() -> None:
    decoder = ChunkedDecoder()
    chunks = [b"x", b"\r\n", b"1\r\n", b"y" * 4096, b"5\r\nhello\r\n"]
    assert [decoder.feed(b"%X\r\n%b\r\n" % (len(chunk), chunk)) for chunk in chunks] == chunks
    assert not decoder.done
    assert decoder.feed(b"0\r\n\r\n") == b""
    assert decoder.done


@pytest.mark.parametrize("at", range(len(BODY) + 1))
def test_every_cut(at: int) -> None:
    decoder = ChunkedDecoder()
    first = decoder.feed(BODY[:at])
    assert DECODED.startswith(first)
    assert decoder.done is (at == len(BODY))
    assert first + decoder.feed(BODY[at:]) == DECODED
    assert decoder.done


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 400), max_size=6))
def test_any_body_at_any_cuts(chunks: list[bytes], cuts: list[int]) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\nnext"
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    found, decoder = decoded([body[a:b] for a, b in itertools.pairwise(places)])
    assert (found, decoder.done, decoder.rest) == (b"".join(chunks), True, b"next")


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"x\r\n", "instead of its size"),
        (b"\r\n", "instead of its size"),
        (b"-1\r\n", "instead of its size"),
        (b"0x5\r\n", "instead of its size"),
        (b"5_0\r\n", "instead of its size"),
        (b"f" * 16 + b"\r\n", "instead of its size"),
        (b"2\r\nabc\r\n", "longer than it says"),
        (b"1" * (MAX_LINE_BYTES + 1), "too long"),
        (b"0\r\nTrailer: " + b"x" * MAX_LINE_BYTES, "too long"),
    ],
)
def test_what_is_no_chunk_is_refused(body: bytes, match: str) -> None:
    with pytest.raises(BadChunk, match=match):
        decoded([body])
    with pytest.raises(BadChunk, match=match):
        decoded([body[at : at + 1] for at in range(len(body))])
