"""The quantiser of a model package, read from the blob and applied without numpy.

The bytes are those of `models.quantiser` to the last bit (a test compares them): both do the same
operations on the same 64-bit floats. Only the parts that a gateway needs are opened.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput
from andon.core.model import model_id
from andon.core.package import decode_part, open_parts

_LIMIT = 127
Row = Sequence[float | None]


class _Regime(Record, frozen=True):
    centre: tuple[str, ...]
    offsets: tuple[str, ...]
    rates: tuple[str, ...]


class _Quantiser(Record, frozen=True):
    channels: tuple[str, ...]
    units: tuple[str, ...]
    settings: tuple[str, ...]
    regimes: tuple[_Regime, ...]
    edges: tuple[tuple[str, ...], ...]
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiser:
    """From rows of readings (channels, then settings) to the int8 window of a model."""

    model_id: bytes
    channels: tuple[str, ...]
    units: tuple[str, ...]
    settings: tuple[str, ...]
    rows: int
    """Rows of one window."""
    centres: tuple[tuple[float, ...], ...]
    scales: tuple[tuple[tuple[float, float], ...], ...]
    """Offset and rate of each channel, by regime."""
    edges: tuple[tuple[float, ...], ...]
    missing: int

    @property
    def columns(self) -> tuple[str, ...]:
        """What a row holds, in order."""
        return self.channels + self.settings

    def window(self, rows: Sequence[Row]) -> bytes:
        """Quantise exactly `self.rows` rows, row-major."""
        assert len(rows) == self.rows
        return b"".join(self._row(row) for row in rows)

    def _row(self, row: Row) -> bytes:
        width = len(self.channels)
        scale = self.scales[self._regime(row[width:])]
        out = bytearray()
        for channel in range(width):
            reading = row[channel]
            if reading is None:
                out.append(self.missing & 0xFF)
                continue
            edges = self.edges[channel] if self.edges else ()
            if edges:
                level = bisect_left(edges, reading) - _LIMIT
            else:
                offset, rate = scale[channel]
                level = _floor((reading - offset) * rate + 0.5)
            out.append(max(-_LIMIT, min(_LIMIT, level)) & 0xFF)
        return bytes(out)

    def _regime(self, settings: Row) -> int:
        if len(self.centres) < 2:
            return 0
        found = [value for value in settings if value is not None]
        if len(found) < len(self.settings):
            return 0
        columns = list(zip(*self.centres, strict=True))
        spread = [max(max(column) - min(column), 1e-9) for column in columns]
        distances = [
            sum(abs((value - c) / s) for value, c, s in zip(found, centre, spread, strict=True))
            for centre in self.centres
        ]
        return distances.index(min(distances))


def _floor(value: float) -> int:
    if math.isinf(value):
        return _LIMIT if value > 0 else -_LIMIT
    return math.floor(value)


def read_quantiser(blob: bytes) -> Quantiser:
    """Open a package blob and check manifest and quantiser by their digests.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE, DIGEST_MISMATCH, TOO_LARGE or NOT_CANONICAL.
    """
    parts, manifest = open_parts(blob)
    found = decode_part(_Quantiser, parts.quantiser)
    rows, rest = divmod(manifest.input_bytes, len(found.channels) or 1)
    if rest or not rows or not found.regimes:
        raise InvalidInput(
            Code.BAD_MODEL_PACKAGE,
            f"{manifest.input_bytes} bytes are no rows of {len(found.channels)} channels",
        )
    try:
        return Quantiser(
            model_id=model_id(manifest),
            channels=found.channels,
            units=found.units,
            settings=found.settings,
            rows=rows,
            centres=tuple(tuple(map(float, regime.centre)) for regime in found.regimes),
            scales=tuple(
                tuple(zip(map(float, regime.offsets), map(float, regime.rates), strict=True))
                for regime in found.regimes
            ),
            edges=tuple(tuple(map(float, edges)) for edges in found.edges),
            missing=found.missing,
        )
    except ValueError as error:
        raise InvalidInput(Code.BAD_MODEL_PACKAGE, f"quantiser: {error}") from None
