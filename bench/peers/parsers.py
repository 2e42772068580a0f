"""Measures one way to get the sections out of a growing JSON text: CPU µs per delta.

`parsers.py WAY`, with {"deltas": [...], "samples": n} on standard input. A way that parses again from the
start is timed at `samples` evenly spread deltas, since all of them would take minutes; one that goes on
where it stopped is timed over the whole text.
"""

import json
import re
import sys
import time

SECTIONS = ("session_analysis", "scores", "feedback", "objection_handling", "coaching", "line_ratings")


def pattern(name):
    """What people write: a section is what stands between its name's bracket and the next one."""
    inside = r"(\[[^\[\]]*\])" if name == "line_ratings" else r"(\{[^{}]*\})"
    return re.compile(rf'"{name}"\s*:\s*{inside}', re.DOTALL)


PATTERNS = {name: pattern(name) for name in SECTIONS}


def regex(buffer):
    found = {}
    for name, compiled in PATTERNS.items():
        if match := compiled.search(buffer):
            found[name] = match[1]
    return {name: json.loads(text) for name, text in found.items()}


def again(way):
    if way == "regex":
        return regex
    if way == "jiter partial":
        import jiter

        return lambda buffer: jiter.from_json(buffer.encode(), partial_mode="trailing-strings")
    if way == "pydantic-core partial":
        import pydantic_core

        return lambda buffer: pydantic_core.from_json(buffer, allow_partial="trailing-strings")
    if way == "partial-json-parser":
        import partial_json_parser

        return partial_json_parser.loads
    raise SystemExit(f"unknown way {way}")


def ijson_push(deltas, way):
    """The whole members, as a section parser gives them; or bare events, with nothing built of them."""
    import ijson

    events = ijson.sendable_list()
    coroutine = ijson.kvitems_coro(events, "") if way == "ijson push" else ijson.basic_parse_coro(events)
    began = time.process_time()
    for delta in deltas:
        coroutine.send(delta.encode())
        del events[:]
    coroutine.close()
    return time.process_time() - began


def main():
    way, given = sys.argv[1], json.load(sys.stdin)
    deltas = given["deltas"]
    if way.startswith("ijson"):
        ijson_push(deltas, way)  # the first run loads things
        took, count, found = ijson_push(deltas, way), len(deltas), len(SECTIONS)
    else:
        parse, took, count = again(way), 0.0, given["samples"]
        parse("".join(deltas[:100]))  # the first run loads things
        for sample in range(1, count + 1):
            buffer = "".join(deltas[: len(deltas) * sample // count])
            began = time.process_time()
            parse(buffer)
            took += time.process_time() - began
        found = sum(name in parse("".join(deltas)) for name in SECTIONS)
    print(json.dumps({"us": took / count * 1e6, "found": found}))


main()
