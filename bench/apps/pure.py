"""The pure path of a delta, over and over: the model's bytes in, the client's bytes out, no socket between.

`pure.py WAY PASSES` is counted by callgrind; it prints how many deltas it had.
"""

import json
import sys
from collections.abc import Callable

import jiter

from bench.answer import answer
from bench.wire import chat
from rill.events import Chunk, Item, Section
from rill.models.wire import EventSplitter, plain_text
from rill.sections import Element, SectionParser
from rill.sse import encode


def text(pieces: list[bytes]) -> int:
    """A text: an event for each delta."""
    splitter, number = EventSplitter(), 0
    for piece in pieces:
        for data in splitter.feed(piece):
            number += 1
            encode(number, Chunk(step="answer", content=plain_text(data) or ""))
    return number


def structured(pieces: list[bytes]) -> int:
    """A grading: an event for each section and item that is complete; validation is not in it."""
    splitter, parser, number, events = EventSplitter(), SectionParser({"line_ratings"}), 0, 0
    for piece in pieces:
        for data in splitter.feed(piece):
            number += 1
            for found in parser.feed(plain_text(data) or ""):
                events += 1
                if isinstance(found, Element):
                    part: Item | Section = Item(
                        step="grading", section=found.name, index=found.index, data=found.value
                    )
                else:
                    part = Section(step="grading", section=found.name, data=found.value)
                encode(events, part)
    parser.close()
    return number


def least(pieces: list[bytes]) -> int:
    """The floor: split, jiter, an event out."""
    rest, number = b"", 0
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            _, _, data = event.partition(b"data: {")
            said = jiter.from_json(b"{" + data)["choices"][0]["delta"]["content"]
            number += 1
            b"id: %d\ndata: %b\n\n" % (number, b'{"type":"chunk","content":%b}' % json.dumps(said).encode())
    return number


def partial(pieces: list[bytes]) -> int:
    """What is done instead for a grading: jiter parses all of the text again at each delta."""
    rest, number, buffer = b"", 0, b""
    for piece in pieces:
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            _, _, data = event.partition(b"data: {")
            buffer += jiter.from_json(b"{" + data)["choices"][0]["delta"]["content"].encode()
            number += 1
            jiter.from_json(buffer, partial_mode=True)
    return number


WAYS: dict[str, Callable[[list[bytes]], int]] = {
    "text": text,
    "structured": structured,
    "floor": least,
    "partial": partial,
}


def main() -> None:
    run, passes = WAYS[sys.argv[1]], int(sys.argv[2])
    deltas = answer().deltas
    pieces = [chat(deltas).delta(delta) for delta in deltas]
    print(sum(run(pieces) for _ in range(passes)))


if __name__ == "__main__":
    main()
