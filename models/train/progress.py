"""A line of progress for a person: on a terminal only, so that logs and tests hold none of it."""

from __future__ import annotations

import sys
import time
from typing import TextIO

WIDTH = 24
REDRAW_S = 0.1


class Bar:
    """`label [####....] 3/10 loss 0.12 8 s left` on stderr, redrawn in place.

    Silent where `stream` is not a terminal. `clear` before writing other lines.
    """

    def __init__(
        self, label: str, total: int, *, done: int = 0, stream: TextIO | None = None
    ) -> None:
        self._label, self._total = label, total
        self._stream = sys.stderr if stream is None else stream
        self._is_live = self._stream.isatty()
        self._began, self._first, self._drawn = time.monotonic(), done, 0.0

    def show(self, done: int, note: str = "") -> None:
        """Draw `done` of the total, at most every `REDRAW_S`."""
        now = time.monotonic()
        if not self._is_live or (done < self._total and now - self._drawn < REDRAW_S):
            return
        self._drawn = now
        full = WIDTH * done // max(self._total, 1)
        speed = (done - self._first) / max(now - self._began, 1e-9)
        left = f"{(self._total - done) / speed:.0f} s left" if speed > 0 else ""
        line = f"{self._label} [{'#' * full:.<{WIDTH}}] {done}/{self._total}  {note}  {left}"
        self._stream.write(f"\r\x1b[K{line}")
        self._stream.flush()

    def clear(self) -> None:
        """Leave the line as if nothing had been drawn."""
        if self._is_live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
