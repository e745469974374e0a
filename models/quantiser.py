"""The gateway's step from readings in engineering units to the int8 window that goes on chain.

A quantiser is part of a package: decimals, declared and digested, so that two gateways with the
same readings send the same bytes. It runs before signing; validators only ever see integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput

Readings = NDArray[np.float64]
CHANNELS_MAX = 4096
REGIMES_MAX = 64
EDGES_MAX = 254
_LIMIT = 127


class Regime(Record, frozen=True):
    """One operating condition: its place among the settings, and the scaling of each channel.

    A reading x of channel c becomes `floor((x - offsets[c]) * rates[c] + 0.5)`, clipped to 127.
    All numbers are decimal text. `centre` is empty when there is one regime only.
    """

    centre: tuple[str, ...]
    offsets: tuple[str, ...]
    rates: tuple[str, ...]


class Quantiser(Record, frozen=True):
    """How readings become int8: by regime and scale, or by ascending bin edges where given.

    `edges[c]` (0 to 254 decimals) overrides the scale of channel c: the result is the number of
    edges below the reading, minus 127. A missing reading (NaN) becomes `missing`.
    """

    channels: tuple[str, ...]
    units: tuple[str, ...]
    settings: tuple[str, ...]
    regimes: tuple[Regime, ...]
    edges: tuple[tuple[str, ...], ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Quantised:
    """The int8 readings and the share of elements that fell outside the calibrated range."""

    values: NDArray[np.int8]
    clipped_share: float


def quantise(
    quantiser: Quantiser, readings: Readings, settings: Readings | None = None
) -> Quantised:
    """Quantise `readings: f64[..., channels]`, choosing regimes by `settings: f64[..., settings]`.

    Raises:
        InvalidInput: BAD_MODEL_INPUT when the last axis is not the quantiser's.
    """
    width = len(quantiser.channels)
    if readings.shape[-1:] != (width,):
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            f"readings have shape {readings.shape}; the last axis must hold {width} channels",
            hint="channels in order: " + ", ".join(quantiser.channels[:32]),
        )
    regime = _regimes(quantiser, readings.shape[:-1], settings)
    offsets = np.array([r.offsets for r in quantiser.regimes], np.float64)
    rates = np.array([r.rates for r in quantiser.regimes], np.float64)
    scaled = np.floor((readings - offsets[regime]) * rates[regime] + 0.5)
    for channel, edges in enumerate(quantiser.edges):
        if edges:
            places = np.searchsorted(np.array(edges, np.float64), readings[..., channel], "left")
            scaled[..., channel] = np.where(
                np.isnan(readings[..., channel]), np.nan, places - float(_LIMIT)
            )
    missing = np.isnan(scaled)
    clipped = np.clip(np.where(missing, quantiser.missing, scaled), -_LIMIT, _LIMIT)
    outside = (clipped != scaled) & ~missing
    return Quantised(clipped.astype(np.int8), float(outside.mean()) if outside.size else 0.0)


def linear_quantiser(
    channels: tuple[str, ...], lows: Readings, highs: Readings, units: tuple[str, ...] = ()
) -> Quantiser:
    """Map each channel's [low, high] onto [-127, 127]; a constant channel maps to 0."""
    regime = linear_regime((), lows, highs)
    return Quantiser(channels, units or ("",) * len(channels), (), (regime,), (), 0)


def linear_regime(centre: tuple[str, ...], lows: Readings, highs: Readings) -> Regime:
    """Scale each channel's [low, high] onto [-127, 127], with nine significant digits."""
    middle = (lows + highs) / 2
    span = np.where(highs > lows, highs - lows, np.inf)
    rates = 2.0 * _LIMIT / span
    return Regime(centre, _decimals(middle), _decimals(rates))


def edge_quantiser(channels: tuple[str, ...], samples: Readings) -> Quantiser:
    """Place up to 254 bin edges a channel over `samples: f64[rows, channels]`.

    Half of them lie at quantiles and half evenly between the ends: limits of power or wear lie
    in the tails, where quantiles are far apart. Missing readings become -127, below every bin:
    trees can then tell them apart.
    """
    edges = tuple(_quantile_edges(samples[:, c]) for c in range(len(channels)))
    width = len(channels)
    regime = Regime((), ("0",) * width, ("1",) * width)
    return Quantiser(channels, ("",) * width, (), (regime,), edges, -_LIMIT)


def validate_quantiser(quantiser: Quantiser) -> None:
    """Check lengths, bounds and that every decimal parses.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE.
    """
    width = len(quantiser.channels)
    _require(1 <= width <= CHANNELS_MAX and len(quantiser.units) == width, "channels")
    _require(1 <= len(quantiser.regimes) <= REGIMES_MAX, "regimes")
    _require(len(quantiser.edges) in (0, width), "edges")
    _require(-_LIMIT <= quantiser.missing <= _LIMIT, "missing")
    several = len(quantiser.regimes) > 1
    for regime in quantiser.regimes:
        _require(len(regime.centre) == (len(quantiser.settings) if several else 0), "centre")
        _require(len(regime.offsets) == width == len(regime.rates), "scaling")
        _numbers(regime.centre)
        _numbers(regime.offsets)
        _numbers(regime.rates)
    for edges in quantiser.edges:
        _require(len(edges) <= EDGES_MAX, "edges")
        values = _numbers(edges)
        _require(all(a < b for a, b in pairwise(values)), "order of edges")


def _regimes(
    quantiser: Quantiser, lead: tuple[int, ...], settings: Readings | None
) -> NDArray[np.intp]:
    if len(quantiser.regimes) == 1:
        return np.zeros(lead, np.intp)
    if settings is None or settings.shape != (*lead, len(quantiser.settings)):
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            "the operating settings are missing or of another shape than the readings",
            hint="settings in order: " + ", ".join(quantiser.settings),
        )
    centres = np.array([r.centre for r in quantiser.regimes], np.float64)
    # Settings differ by orders of magnitude; each counts by its spread among the centres.
    spread = np.maximum(np.ptp(centres, axis=0), 1e-9)
    distance = np.abs((settings[..., np.newaxis, :] - centres) / spread).sum(axis=-1)
    return np.asarray(distance.argmin(axis=-1), np.intp)


def _quantile_edges(column: Readings) -> tuple[str, ...]:
    present = np.unique(column[~np.isnan(column)])
    if len(present) < 2:
        return ("0",)
    middles = (present[:-1] + present[1:]) / 2
    if len(middles) > EDGES_MAX - 1:
        shares = np.linspace(0, 1, EDGES_MAX // 2 + 1)[1:-1]
        ranked = np.quantile(column[~np.isnan(column)], shares, method="midpoint")
        even = np.linspace(present[0], present[-1], EDGES_MAX // 2 + 2)[1:-1]
        middles = np.unique(np.concatenate([ranked, even]))
    texts = dict.fromkeys(_decimals(middles))
    ordered = sorted(texts, key=float)
    # The first edge lies below all samples, so that only a missing reading is -127.
    lowest = _decimals(np.array([present[0] - 1 - abs(present[0])]))[0]
    return tuple([lowest, *ordered][:EDGES_MAX])


def _decimals(values: Readings) -> tuple[str, ...]:
    return tuple(f"{float(value):.9g}" for value in values)


def _numbers(texts: tuple[str, ...]) -> list[float]:
    try:
        values = [float(text) for text in texts if len(text) <= 32]
    except ValueError:
        values = []
    _require(len(values) == len(texts) and bool(np.isfinite(values).all()), "decimals")
    return values


def _require(holds: bool, what: str) -> None:  # noqa: FBT001 # a guard reads so
    if not holds:
        raise InvalidInput(Code.BAD_MODEL_PACKAGE, f"quantiser: bad {what}")
