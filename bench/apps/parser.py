"""Measures Rill's section parser over a whole text, and a decoder that sees the text once: µs per delta."""

import json
import sys
import time

import jiter

from rill.sections import Member, SectionParser


def rill(deltas: list[str]) -> tuple[float, int]:
    """Items given one by one, as the grading function asks for them."""
    parser = SectionParser({"line_ratings"})
    members = 0
    began = time.process_time()
    for delta in deltas:
        for found in parser.feed(delta):
            members += isinstance(found, Member)
    parser.close()
    return time.process_time() - began, members


def once(deltas: list[str]) -> float:
    """The floor: the pieces joined and decoded at the end."""
    began = time.process_time()
    jiter.from_json("".join(deltas).encode())
    return time.process_time() - began


def main() -> None:
    deltas = json.load(sys.stdin)["deltas"]
    rill(deltas)  # the first run fills caches, which a warm function has
    took, members = rill(deltas)
    floor = once(deltas)
    per = 1e6 / len(deltas)
    print(json.dumps({"us": took * per, "found": members, "floor": floor * per}))


if __name__ == "__main__":
    main()
