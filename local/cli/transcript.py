"""A call to grade out of a file: a request, a list of lines, a recorded call, or plain text. Pure."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.cli.problems import BadInput

REP_NAMES = frozenset({"rep", "sales rep", "representative", "agent", "seller", "salesperson", "sales"})
CUSTOMER_NAMES = frozenset({"customer", "client", "prospect", "buyer", "caller", "lead", "user"})

# "[00:12] Sales Rep: Good morning", the time being optional.
_SPOKEN = re.compile(
    r"\s*(?:\[?\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?\]?\s+)?"
    r"(?P<name>[^\W\d_][\w.'’-]*(?: [\w.'’-]+){0,3}) ?:(?:\s+(?P<text>.*)|$)"
)
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says about a file.

    Attributes:
        rep: the rep's name in a transcript with names; everybody else is the customer then.
        line: which line of a JSON Lines file, counted from 1.
    """

    rep: str | None = None
    line: int | None = None
    mode: str | None = None
    session_id: str | None = None


def read_request(raw: bytes, name: str, options: Options) -> dict[str, Any]:
    """The grading request that a file stands for.

    Args:
        raw: the file's content.
        name: how messages name it.

    Raises:
        BadInput: naming what is wrong, and where.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text: byte {error.start} is {raw[error.start]:#04x}") from None
    if not text.strip():
        raise BadInput(f"{name} is empty")
    request = _finish(_document(text, name, options), name, options)
    if not any(
        isinstance(line, dict) and str(line.get("text", "")).strip() for line in request["transcript"]
    ):
        raise BadInput(f"{name}: the transcript is empty, no line has any text")
    return request


def _document(text: str, name: str, options: Options) -> dict[str, Any]:
    if options.line is not None or name.endswith(".jsonl"):
        text, name = _chosen(text, name, options.line)
    opening = text.lstrip()[0]
    if opening not in "{[":
        return {"transcript": _spoken(text, name, options)}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if opening == "[" and _SPOKEN.match(text):  # a plain transcript that begins with a time
            return {"transcript": _spoken(text, name, options)}
        more = "; a file with one call a line needs --line N" if error.msg == "Extra data" else ""
        raise BadInput(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}{more}"
        ) from None
    except RecursionError:
        raise BadInput(f"{name} is nested too deep") from None
    if isinstance(value, list):
        value = {"transcript": value}
    lines = value.get("transcript")
    if isinstance(lines, str):
        return {**value, "transcript": _spoken(lines, name, options)}
    if not isinstance(lines, list):
        raise BadInput(f'{name}: there is no list "transcript" in it')
    if not lines:
        raise BadInput(f"{name}: the transcript is empty, it has no lines")
    return {**value, "transcript": _lines(lines, name, options)}


def _chosen(text: str, name: str, number: int | None) -> tuple[str, str]:
    # Not splitlines: U+2028 may stand inside a JSON text.
    rows = [row for row in text.split("\n") if row.strip()]
    if number is None and len(rows) == 1:
        return rows[0], name
    if number is None:
        raise BadInput(f"{name} holds {len(rows)} calls: choose one with --line N, from 1 to {len(rows)}")
    if not 1 <= number <= len(rows):
        raise BadInput(f"{name} has no line {number}: it holds {len(rows)} calls")
    return rows[number - 1], f"{name} line {number}"


def _lines(entries: Sequence[Any], name: str, options: Options) -> list[Any]:
    """Lines of a JSON list: strings such as "Rep: …", or objects, numbered where they are not."""
    if all(isinstance(entry, str) for entry in entries):
        return _spoken("\n".join(" ".join(entry.split("\n")) for entry in entries), name, options)
    made: list[Any] = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise BadInput(f"{name}: transcript entry {number} is neither an object nor all are texts")
        missing = [key for key in ("speaker", "text") if not isinstance(entry.get(key), str)]
        if missing:
            raise BadInput(f'{name}: transcript entry {number} has no text "{missing[0]}"')
        speaker = _role(entry["speaker"], options.rep)
        if speaker is None:
            raise BadInput(_unknown(name, [entry["speaker"]], f"transcript entry {number}: "))
        made.append({"line_number": number, **entry, "speaker": speaker})
    return made


def _role(name: str, rep: str | None) -> str | None:
    folded = name.strip().casefold()
    if rep is not None and folded == rep.strip().casefold():
        return "rep"
    if rep is not None:
        return "customer"
    if folded in REP_NAMES:
        return "rep"
    return "customer" if folded in CUSTOMER_NAMES else None


def _spoken(text: str, name: str, options: Options) -> list[dict[str, Any]]:
    """A plain transcript: `Name: text`, and lines without a name go on with the one before."""
    rows = [(number, row.strip()) for number, row in enumerate(text.split("\n"), 1) if row.strip()]
    found = {number: match for number, row in rows if (match := _SPOKEN.match(row))}
    names = list(dict.fromkeys(match["name"] for match in found.values()))
    known = [each for each in names if _role(each, options.rep) is not None]
    if names and not known:
        raise BadInput(_unknown(name, names))
    if options.rep is not None and not any(_role(each, options.rep) == "rep" for each in names):
        listed = ", ".join(names[:6]) or "none"
        raise BadInput(f"{name}: nobody is named {options.rep!r} there; the speakers are: {listed}")
    lines: list[dict[str, Any]] = []
    for number, row in rows:
        match = found.get(number)
        # "One question: …" inside a line of "Rep" and "Customer" is no speaker.
        if match is not None and match["name"] in known:
            role = _role(match["name"], options.rep)
            lines.append({"line_number": len(lines) + 1, "speaker": role, "text": match["text"] or ""})
        elif lines:
            lines[-1]["text"] = f"{lines[-1]['text']} {row}".strip()
        else:
            raise BadInput(f"{name} line {number}: a transcript starts with “Rep: …” or “Customer: …”")
    return lines


def _unknown(name: str, names: Sequence[str], where: str = "") -> str:
    listed = ", ".join(map(repr, names[:6]))
    return f"{name}: {where}who is the rep among {listed}? Say it with --rep NAME"


def _finish(request: dict[str, Any], name: str, options: Options) -> dict[str, Any]:
    if options.mode is not None:
        request["mode"] = options.mode
    if options.session_id is not None:
        request["session_id"] = options.session_id
    elif "session_id" not in request:
        digest = hashlib.sha256(json.dumps(request["transcript"]).encode()).hexdigest()[:8]
        stem = _NOT_IN_AN_ID.sub("-", name.rpartition("/")[2].partition(".")[0]).strip("-")[:60]
        request["session_id"] = f"{stem or 'call'}-{digest}"
    return request
