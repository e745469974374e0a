"""The intake: batches of messages become windows, on disk before anything is acknowledged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from andon.gateway.outbox import Outbox, Strayed, Writer
from andon.gateway.reading import (
    MACHINE_CHARACTERS_MAX,
    VALUES_MAX,
    Arrival,
    Decoder,
    Sample,
    Stray,
)
from andon.gateway.windows import Line, Windower, coarsening

MACHINES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Committed:
    """What one batch did."""

    samples: int
    duplicates: int
    strays: int
    windows: int


class Intake:
    """Owns the state of all machines; one thread calls it."""

    def __init__(
        self, outbox: Outbox, windowers: Sequence[Windower], decoders: Mapping[int, Decoder]
    ) -> None:
        self._outbox = outbox
        self._windowers = {windower.stream.name: windower for windower in windowers}
        self._decoders = decoders
        self._lines: dict[str, Line] = {}
        self.reload()

    def reload(self) -> None:
        """Go back to what is on disk: at the start, and after a transaction that failed."""
        self._lines = self._outbox.lines()
        notes = self._outbox.notes()
        for decoder in self._decoders.values():
            decoder.restore(notes)

    def commit(self, batch: Sequence[Arrival]) -> Committed:
        """Take in a batch; when this returns it is durable and may be acknowledged.

        Raises:
            Unavailable: STORAGE_FULL; nothing of the batch happened, the same batch may be retried.
        """
        try:
            with self._outbox.writing() as writer:
                return self._take(writer, batch)
        except BaseException:
            self.reload()
            raise

    def flush_idle(self, now_ms: int) -> int:
        """Close the windows of machines that have been silent; returns how many were made."""
        idle = [
            line
            for line in self._lines.values()
            if line.count
            and line.stream in self._windowers
            and now_ms - line.arrived_ms >= self._windowers[line.stream].stream.idle_ms
        ]
        if not idle:
            return 0
        return self._flush(idle)

    def _flush(self, lines: Sequence[Line]) -> int:
        made = 0
        try:
            with self._outbox.writing() as writer:
                for line in lines:
                    for window in self._windowers[line.stream].flush(line):
                        writer.put_window(window, line.arrived_ms)
                        made += 1
                    writer.put_line(line)
                writer.settle()
        except BaseException:
            self.reload()
            raise
        return made

    def _take(self, writer: Writer, batch: Sequence[Arrival]) -> Committed:
        changed: dict[str, Line] = {}
        places: dict[str, bytes] = {}
        factor = coarsening(writer.waiting(), self._outbox.settings.coarsen_above)
        samples = duplicates = strays = windows = 0
        for arrival in batch:
            if arrival.note is not None:
                places[arrival.note[0]] = arrival.note[1]
            identity = arrival.identity
            if not writer.is_new(identity):
                duplicates += 1
                continue
            writer.keep(arrival)
            try:
                found = self._decoders[arrival.source].decode(arrival)
                lines = [self._line(sample) for sample in found]
            except Stray as reason:
                writer.stray(Strayed(arrival, str(reason)))
                strays += 1
                continue
            for line, sample in zip(lines, found, strict=True):
                changed[line.machine] = line
                windower = self._windowers[line.stream]
                for window in windower.add(line, sample, identity, arrival.arrived_ms, factor):
                    writer.put_window(window, line.arrived_ms)
                    windows += 1
            samples += len(found)
        self._write(writer, changed, places)
        writer.count("messages", len(batch) - duplicates)
        writer.count("samples", samples)
        writer.count("duplicates", duplicates)
        writer.settle()
        return Committed(samples, duplicates, strays, windows)

    def _write(
        self, writer: Writer, changed: Mapping[str, Line], places: Mapping[str, bytes]
    ) -> None:
        for line in changed.values():
            writer.put_line(line)
        for name, value in places.items():
            writer.note(name, value)
        for decoder in self._decoders.values():
            for name, value in decoder.take_notes().items():
                writer.note(name, value)

    def _line(self, sample: Sample) -> Line:
        machine = sample.machine
        if len(sample.values) > VALUES_MAX:
            raise Stray(f"more than {VALUES_MAX} values in one sample")
        line = self._lines.get(machine)
        if line is not None and line.stream in self._windowers:
            return line
        if not 0 < len(machine) <= MACHINE_CHARACTERS_MAX or len(self._lines) >= MACHINES_MAX:
            raise Stray("a machine has a name of 1 to 64 characters, a gateway 10,000 machines")
        for name, windower in self._windowers.items():
            if windower.matches(machine):
                if line is None:
                    line = Line(machine=machine, stream=name)
                line.stream = name
                self._lines[machine] = line
                return line
        raise Stray(f"no stream takes machine {machine!r}")
