"""Spare-part demand: exponential smoothing as certified integers, for all carparts series.

Each series is scaled by its own in-sample step size (the RMSSE scale), so the model sees shapes,
not units; gateways scale back. A global boosted model was tried and lost to smoothing (RMSSE 0.728
against 0.674), so smoothing it is: one dense layer whose weights decay over the last 36 months.
The last twelve months are the test; missing months count as zero; series without a scale are left
out, as in the data set's description.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from numpy.typing import NDArray

from models.data.tables import read_table
from models.package import Description, build_package
from models.quantiser import linear_quantiser, quantise
from models.recipes.intermittent import POLICY, croston, sba, stock_of, tsb
from models.recipes.learners import Goal, converted, predict
from models.recipes.report import Result, Say, card
from models.recipes.scores import Figures

Floats = NDArray[np.float64]
HORIZON = 12
HISTORY = 36
ALPHA = 0.1
TOP = 6.0
GOAL = Goal(low=0.0, high=TOP, scale=1.0)
CONVENTION = (
    "last 12 months are the test, flat forecast from one origin, missing months as zero, RMSSE "
    "scale m=1, mean over series; certified integers; baselines smooth with 0.1; stock: " + POLICY
)


@dataclass(frozen=True, slots=True)
class Parts:
    """Series that have a scale: `train: f64[n, months]`, `test: f64[n, 12]`, `scale: f64[n]`."""

    train: Floats
    test: Floats
    scale: Floats
    sha256: str


def load(folder: Path) -> Parts:
    """Read carparts. Raises InvalidInput BAD_DATASET if it is not there."""
    table = read_table(folder / "spare_parts" / "carparts.csv.gz")
    demand = np.nan_to_num(table.values[:, 1:])
    train, test = demand[:, :-HORIZON], demand[:, -HORIZON:]
    scale = np.sqrt(np.mean(np.diff(train, axis=1) ** 2, axis=1))
    kept = scale > 0
    return Parts(train[kept], test[kept], scale[kept], table.sha256)


def train(folder: Path, say: Say) -> Result:
    """Certify the smoother and score it against zero and against the same method in floats."""
    parts = load(folder)
    recent = parts.train[:, -HISTORY:] / parts.scale[:, np.newaxis]
    quantiser = linear_quantiser(("demand",), np.array([-TOP]), np.array([TOP]), ("scale",))
    inputs = quantise(quantiser, recent[..., np.newaxis]).values
    say(f"{len(inputs)} series of {HISTORY} months")
    weights = (smoothing_weights(HISTORY) * TOP).astype(np.float32)[:, np.newaxis]

    def smooth(x: jax.Array) -> jax.Array:
        return x.reshape(x.shape[0], -1) @ weights

    part = converted(smooth, inputs, GOAL)
    flat = predict(part, inputs, GOAL) * parts.scale
    figures = (
        ("certified RMSSE", rmsse(flat, parts)),
        ("certified bias, units a month", float((flat[:, np.newaxis] - parts.test).mean())),
        *beside(flat, parts),
    )
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures)
    description = Description(
        name="carparts-demand",
        version="1",
        task="forecast",
        scale_num=1,
        scale_den=GOAL.steps,
        training=(
            ("data_sha256", parts.sha256),
            ("learner.smoothing", f"alpha={ALPHA} months={HISTORY}"),
            ("recipe", "models.recipes.demand"),
        ),
        card=card(
            "Spare-part demand",
            "Mean monthly demand of the next 12 months over the series' scale; output / 256.",
            "carparts: 2,674 series of monthly demand, 1998-2002.",
            f"{lines}\n\nConvention: {CONVENTION}.",
            "Intermittent monthly demand; scale every series by its own mean squared step.",
        ),
    )
    package = build_package(description, part.graph, part.tensors, quantiser, inputs)
    return Result(package=package, figures=figures, convention=CONVENTION)


def beside(certified: Floats, parts: Parts) -> Figures:
    """Errors of the baselines, and what each forecast is worth in a store room (`POLICY`)."""
    others = {
        "float smoothing": smoothed(parts.train),
        "zero": np.zeros(len(parts.train)),
        "Croston": croston(parts.train, ALPHA),
        "SBA": sba(parts.train, ALPHA),
        "TSB": tsb(parts.train, ALPHA, ALPHA),
    }
    figures = [(f"RMSSE of {name}", rmsse(flat, parts)) for name, flat in others.items()]
    for name, flat in {"certified": certified, **others}.items():
        stock = stock_of(flat, parts.train[:, -HISTORY:], parts.test)
        figures += [
            (f"fill rate, {name}", stock.fill_rate),
            (f"months short, {name}", stock.short),
            (f"mean stock, {name}", stock.mean),
        ]
    return tuple(figures)


def rmsse(forecast: Floats, parts: Parts) -> float:
    """Root mean squared scaled error of a flat forecast `f64[n]`, mean over series."""
    error = (parts.test - forecast[:, np.newaxis]) / parts.scale[:, np.newaxis]
    return float(np.sqrt(np.mean(error**2, axis=1)).mean())


def smoothing_weights(months: int, alpha: float = ALPHA) -> Floats:
    """The weight of each of the last months in simple exponential smoothing; they sum to 1."""
    weights = alpha * (1 - alpha) ** np.arange(months - 1, -1, -1.0)
    weights[0] = (1 - alpha) ** (months - 1)
    return np.asarray(weights, np.float64)


def smoothed(train: Floats, alpha: float = ALPHA) -> Floats:
    """Simple exponential smoothing over everything, in floats."""
    return np.asarray(train @ smoothing_weights(train.shape[1], alpha), np.float64)
