"""Event-time windows: samples in, closed windows out; a pure state machine for each machine.

A row is the mean of what a channel measured within `row_ms` of event time. It closes when the
watermark, the newest event time less `lateness_ms`, has passed its end. Every sample is counted in
exactly one window: in time, `late` (its row had closed), or `bad` (quality, range or clock).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import COARSEN_MAX, Stream
from andon.gateway.quantise import Quantiser
from andon.gateway.reading import BAD, Sample
from andon.gateway.units import conversion

NEVER = -1
SEED_DIGEST = bytes(32)
TIME_MS_MAX = 2**53


class Line(msgspec.Struct, array_like=True):
    """What is remembered of one machine; written with every batch that changed it."""

    machine: str
    stream: str
    top_ms: int = NEVER
    closed_ms: int = NEVER
    """Rows that begin before this are closed."""
    arrived_ms: int = 0
    open: dict[int, list[float]] = {}
    """Begin of row to sums of the columns, then their counts."""
    rows: list[list[float | None]] = []
    since: int = 0
    """Rows closed since the last window."""
    start_ms: int = NEVER
    count: int = 0
    late: int = 0
    bad: int = 0
    digest: bytes = SEED_DIGEST
    """Chained over all samples in order of arrival, across windows."""
    sequence: int = 0


class Window(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What goes on chain. `count` covers all samples since the window before."""

    stream: str
    machine: str
    sequence: int
    start_ms: int
    end_ms: int
    count: int
    late: int
    bad: int
    rows: int
    digest: bytes
    window: bytes
    """Input of the model; empty while too few rows are there, or without a model."""


@dataclass(frozen=True, slots=True)
class _Column:
    index: int
    factor: float
    offset: float
    low: float
    high: float


class Windower:
    """The rules of one stream."""

    def __init__(self, stream: Stream, quantiser: Quantiser | None) -> None:
        self.stream = stream
        self._quantiser = quantiser
        names = tuple(stream.channels) if quantiser is None else quantiser.columns
        units = () if quantiser is None else quantiser.units
        self._columns = _columns(stream, names, units)
        self._width = len(names)
        self._rows_max = 1 if quantiser is None else quantiser.rows

    def matches(self, machine: str) -> bool:
        """Tell whether a machine belongs to this stream."""
        return any(fnmatchcase(machine, pattern) for pattern in self.stream.machines)

    def add(
        self, line: Line, sample: Sample, identity: bytes, now_ms: int, factor: int
    ) -> Iterator[Window]:
        """Count one sample, then close what its time allows."""
        line.digest = hashlib.sha256(line.digest + identity).digest()
        line.count += 1
        line.arrived_ms = max(line.arrived_ms, now_ms)
        time_ms = sample.time_ms
        if sample.quality == BAD or not 0 <= time_ms <= min(
            now_ms + self.stream.future_ms, TIME_MS_MAX
        ):
            line.bad += 1
            return
        begin = time_ms - time_ms % self.stream.row_ms
        if line.closed_ms == NEVER:
            line.closed_ms = max(0, begin - self.stream.lateness_ms)
            line.closed_ms -= line.closed_ms % self.stream.row_ms
            line.start_ms = line.closed_ms
        if begin < line.closed_ms:
            line.late += 1
            return
        if not self._put(line, begin, sample):
            line.bad += 1
            return
        if time_ms > line.top_ms:
            line.top_ms = time_ms
            yield from self.close_to(line, time_ms - self.stream.lateness_ms, factor)

    def flush(self, line: Line) -> Iterator[Window]:
        """Close everything of a machine that has fallen silent; what comes later is late."""
        if line.open:
            yield from self.close_to(line, max(line.open) + self.stream.row_ms, COARSEN_MAX + 1)
        if line.count:
            yield self._emit(line)

    def close_to(self, line: Line, watermark_ms: int, factor: int) -> Iterator[Window]:
        """Close the rows that end at or before the watermark; a gap counts as missing rows."""
        row_ms = self.stream.row_ms
        while line.closed_ms + row_ms <= watermark_ms:
            if not line.open:
                return
            first = min(line.open)
            gap = (min(first, watermark_ms - row_ms + 1) - line.closed_ms) // row_ms
            if gap > self._rows_max:  # A long silence: more empty rows than a window holds.
                line.closed_ms += (gap - self._rows_max) * row_ms
            sums = line.open.pop(line.closed_ms, None)
            line.closed_ms += row_ms
            if sums is None and not line.rows:
                continue  # Before the first reading there is nothing to miss.
            line.rows.append(self._mean(sums))
            del line.rows[: -self._rows_max]
            line.since += 1
            if line.since >= self.stream.stride * factor:
                yield self._emit(line)

    def _put(self, line: Line, begin: int, sample: Sample) -> bool:
        sums = line.open.get(begin)
        is_used = False
        for name, value in sample.values.items():
            column = self._columns.get(name)
            if column is None or value is None:
                continue
            converted = value * column.factor + column.offset
            if not column.low <= converted <= column.high:  # NaN is refused here too
                continue
            if sums is None:
                sums = line.open[begin] = [0.0] * (2 * self._width)
            sums[column.index] += converted
            sums[self._width + column.index] += 1.0
            is_used = True
        return is_used

    def _mean(self, sums: list[float] | None) -> list[float | None]:
        width = self._width
        if sums is None:
            return [None] * width
        return [sums[i] / sums[width + i] if sums[width + i] else None for i in range(width)]

    def _emit(self, line: Line) -> Window:
        line.sequence += 1
        is_full = self._quantiser is not None and len(line.rows) == self._rows_max and line.since
        data = self._quantiser.window(line.rows) if is_full and self._quantiser else b""
        window = Window(
            stream=self.stream.name,
            machine=line.machine,
            sequence=line.sequence,
            start_ms=max(0, line.start_ms),
            end_ms=max(0, line.closed_ms),
            count=line.count,
            late=line.late,
            bad=line.bad,
            rows=line.since,
            digest=line.digest,
            window=data,
        )
        line.start_ms = line.closed_ms
        line.count = line.late = line.bad = line.since = 0
        return window


def coarsening(waiting: int, above: int) -> int:
    """How many strides a window covers when so many wait: doubles with the backlog, up to 1024."""
    return int(min(COARSEN_MAX, 2 ** min(10, waiting // above)))


def _columns(stream: Stream, names: tuple[str, ...], units: tuple[str, ...]) -> dict[str, _Column]:
    unknown = [name for name in stream.channels if name not in names]
    if unknown or not names:
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"stream {stream.name}: the package has no channel {unknown or 'at all'}",
            hint="its channels: " + " ".join(names[:64]),
        )
    columns: dict[str, _Column] = {}
    for index, name in enumerate(names):
        channel = stream.channels.get(name)
        unit = units[index] if index < len(units) else ""
        if channel is None:
            columns[name] = _Column(index, 1.0, 0.0, -math.inf, math.inf)
            continue
        factor, offset = conversion(channel.unit, unit) if units else (1.0, 0.0)
        low = -math.inf if channel.low is None else channel.low
        high = math.inf if channel.high is None else channel.high
        columns[channel.source or name] = _Column(index, factor, offset, low, high)
    return columns
