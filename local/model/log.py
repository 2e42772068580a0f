"""What the scripted model was asked, and how each answer went."""

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = 1000  # requests; older ones are in the file only


@dataclass(slots=True)
class RequestRecord:
    """One request. It is logged when its answer has ended, however it ended."""

    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    model: str | None = None
    schema: str | None = None
    stream: bool = False
    status: int | None = None
    """None when the client left before there was one."""
    fault: str | None = None
    deltas: int = 0
    finish_reason: str | None = None
    prompt_tokens: int = 0
    disconnected: bool = False
    duration_ms: float = 0.0
    body: dict[str, Any] | None = None
    """The request as it came, kept only where asked for; never in the file."""

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "body"}


class RequestLog:
    """Safe to read from another thread than the server's."""

    def __init__(self, path: Path | None = None, *, keep_bodies: bool = False) -> None:
        self._path = path
        self._keep_bodies = keep_bodies
        self._records: deque[RequestRecord] = deque(maxlen=KEPT)
        self._changed = threading.Condition()

    def add(self, record: RequestRecord) -> None:
        if not self._keep_bodies:
            record.body = None
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record.as_dict(), ensure_ascii=False) + "\n")
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def records(self) -> list[RequestRecord]:
        with self._changed:
            return list(self._records)

    def clear(self) -> None:
        with self._changed:
            self._records.clear()

    def wait_for(self, wanted: Callable[[RequestRecord], bool], timeout: float) -> RequestRecord:
        """The first record that fits, as soon as there is one.

        Raises:
            TimeoutError: none came in time.
        """

        def find() -> RequestRecord | None:
            return next((record for record in self._records if wanted(record)), None)

        with self._changed:
            found = self._changed.wait_for(find, timeout)
        if found is None:
            raise TimeoutError(f"no such request within {timeout:g} s")
        return found
