"""Baselines for intermittent demand, and what a forecast is worth in a store room.

Croston (1972) smooths the sizes of demands and the intervals between them; Syntetos and Boylan
(2005) take away his bias (SBA); Teunter, Syntetos and Babai (2011) smooth the probability of a
demand in every period, so that parts that nobody asks for any more fade (TSB).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAD_MONTHS = 1
SERVICE = 0.95
SAFETY = 1.6449
"""Standard deviations of the normal distribution for `SERVICE`."""
POLICY = (
    f"order up to the forecast of {LEAD_MONTHS + 1} months and safety stock for {SERVICE:.0%} "
    f"at each month's end, lead time {LEAD_MONTHS} month, what is short is delivered later"
)


def croston(demand: Floats, alpha: float) -> Floats:
    """Flat forecasts of series `f64[n, months]`; 0 for a series without a demand."""
    size, interval, _ = _states(demand, alpha, alpha)
    return np.asarray(size / np.maximum(interval, 1.0), np.float64)


def sba(demand: Floats, alpha: float) -> Floats:
    """Croston's forecasts times `1 - alpha / 2`."""
    return (1 - alpha / 2) * croston(demand, alpha)


def tsb(demand: Floats, alpha: float, beta: float) -> Floats:
    """Smoothed size (`alpha`) times smoothed probability (`beta`) of a demand."""
    size, _, probability = _states(demand, alpha, beta)
    return size * probability


def _states(demand: Floats, alpha: float, beta: float) -> tuple[Floats, Floats, Floats]:
    """Size, interval and probability after the last month.

    Size and interval begin at the first demand and the months until it; the probability at whether
    there was one in the first month.
    """
    count = len(demand)
    size, interval, since = np.zeros(count), np.zeros(count), np.zeros(count)
    probability = (demand[:, 0] > 0).astype(np.float64)
    for month in range(demand.shape[1]):
        now = demand[:, month]
        is_there, is_first = now > 0, size == 0
        since += 1
        probability += beta * (is_there - probability) if month else 0.0
        size = np.where(is_there, np.where(is_first, now, size + alpha * (now - size)), size)
        moved = np.where(is_first, since, interval + alpha * (since - interval))
        interval = np.where(is_there, moved, interval)
        since = np.where(is_there, 0.0, since)
    return size, interval, probability


@dataclass(frozen=True, slots=True)
class Stock:
    """What a policy led to, over all parts and months.

    `fill_rate` is the share of demand that was met at once, `short` the share of months in which
    some was not, `mean` the units of a part in stock at a month's end.
    """

    fill_rate: float
    short: float
    mean: float


def stock_of(forecast: Floats, past: Floats, demand: Floats) -> Stock:
    """Run `POLICY` over `demand: f64[n, months]` with flat forecasts `f64[n]`.

    The error that safety stock covers is that of the forecast over `past: f64[n, months]`. A part
    begins with all that it may have.
    """
    months = LEAD_MONTHS + 1
    error = np.sqrt(np.mean((past - forecast[:, np.newaxis]) ** 2, axis=1))
    level = np.ceil(months * forecast + SAFETY * np.sqrt(months) * error)
    net = level.copy()  # in stock, or below zero what is owed
    on_order = [np.zeros(len(level)) for _ in range(LEAD_MONTHS)]
    met, short, held = 0.0, 0, 0.0
    for month in range(demand.shape[1]):
        net += on_order.pop(0)
        wanted = demand[:, month]
        at_once = np.minimum(wanted, np.maximum(net, 0.0))
        net -= wanted
        met += float(at_once.sum())
        short += int((at_once < wanted).sum())
        held += float(np.maximum(net, 0.0).sum())
        on_order.append(np.maximum(level - net - sum(on_order), 0.0))
    total = float(demand.sum())
    return Stock(met / total if total else 1.0, short / demand.size, held / demand.size)
