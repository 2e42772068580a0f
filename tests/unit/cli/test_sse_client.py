"""The SSE parser: whole, byte by byte, and at random cuts."""

import random

import pytest

from local.cli import sse_client
from local.cli.sse_client import Frame, FrameTooLong, SseParser

STREAM = (
    b"\xef\xbb\xbfretry: 1000\n\n"
    b'id: 1\ndata: {"a":"\xe2\x80\xa8"}\n\n'
    b": keep-alive\n\n"
    b"id: 2\r\ndata: x\r\ndata:y\r\n\r\n"
    b"id: 3\rdata: z\revent: ignored\r\r"
    b"data\n\n"
    b"id: bad\0\nretry: soon\ndata:  two\n\n"
    b"id: 4\ndata: cut off\n"
)
FRAMES = [
    Frame(id="1", data='{"a":"\u2028"}'),
    Frame(id="2", data="x\ny"),
    Frame(id="3", data="z"),
    Frame(id="3", data=""),
    Frame(id="3", data=" two"),
]


def parsed(pieces: list[bytes]) -> list[Frame]:
    parser = SseParser()
    frames = [frame for piece in pieces for frame in parser.feed(piece)]
    assert (parser.retry, parser.comments) == (1000, 1)
    return frames


def test_whole() -> None:
    assert parsed([STREAM]) == FRAMES


def test_byte_by_byte() -> None:
    assert parsed([STREAM[i : i + 1] for i in range(len(STREAM))]) == FRAMES


@pytest.mark.parametrize("at", range(len(STREAM)))
def test_cut_in_two(at: int) -> None:
    assert parsed([STREAM[:at], b"", STREAM[at:]]) == FRAMES


@pytest.mark.parametrize("seed", range(50))
def test_random_cuts(seed: int) -> None:
    cuts = sorted(random.Random(seed).choices(range(len(STREAM) + 1), k=12))
    pieces = [STREAM[a:b] for a, b in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    assert parsed(pieces) == FRAMES


def test_frame_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_client, "MAX_FRAME_BYTES", 10)
    parser = SseParser()
    assert parser.feed(b"data: 12345\n") == []
    with pytest.raises(FrameTooLong):
        parser.feed(b"data: 6")
