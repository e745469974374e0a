"""The event log of a run: one JSON object a line, with milliseconds since opening.

Several processes may append to one log, so that only `time_ms` orders all of its lines.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec


class EventLog:
    """Appends events to a file, flushed line by line; use as a context manager."""

    def __init__(self, path: Path, *, appends: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab" if appends else "wb")
        self._began_ns = time.monotonic_ns()
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, event: str, **fields: object) -> None:
        """Add one event; names are noun.verb as in the nodes' logs."""
        at_ms = (time.monotonic_ns() - self._began_ns) // 1_000_000
        self.counts[event] = self.counts.get(event, 0) + 1
        times = {"at_ms": at_ms, "time_ms": time.time_ns() // 1_000_000}
        self._file.write(msgspec.json.encode({**times, "event": event, **fields}) + b"\n")
        self._file.flush()
