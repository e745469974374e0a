"""Figures of merit; every one is computed from certified outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

Floats = NDArray[np.float64]
Figures = tuple[tuple[str, float], ...]


def regression(predicted: Floats, actual: Floats, fallback: Floats | None = None) -> Figures:
    """RMSE, MAE, bias and the share of variance explained; `fallback` adds a naive MAE ratio."""
    error = predicted - actual
    spread = float(np.mean((actual - actual.mean()) ** 2)) or 1.0
    figures = [
        ("RMSE", float(np.sqrt(np.mean(error**2)))),
        ("MAE", float(np.abs(error).mean())),
        ("bias", float(error.mean())),
        ("R2", 1 - float(np.mean(error**2)) / spread),
    ]
    if fallback is not None:
        naive = float(np.abs(fallback - actual).mean()) or 1.0
        figures.append(("MAE / naive MAE", float(np.abs(error).mean()) / naive))
    return tuple(figures)


def detection(probability: Floats, actual: Floats, threshold: float) -> Figures:
    """AUC, average precision, and F1, precision and recall at a threshold chosen beforehand."""
    said, true = probability >= threshold, actual > 0.5
    hits = float((said & true).sum())
    return (
        ("AUC", float(roc_auc_score(true, probability))),
        ("average precision", float(average_precision_score(true, probability))),
        ("F1", float(f1_score(true, said, zero_division=0))),
        ("precision", hits / max(float(said.sum()), 1.0)),
        ("recall", hits / max(float(true.sum()), 1.0)),
        ("threshold", threshold),
    )


def classification(shares: Floats, actual: Floats) -> Figures:
    """Accuracy, macro F1 and the majority's share of `shares: f64[n, classes]` over numbers."""
    said, true = shares.argmax(axis=1), actual.astype(int)
    return (
        ("accuracy", float((said == true).mean())),
        ("macro F1", float(f1_score(true, said, average="macro", zero_division=0))),
        ("share of the largest class", float(np.bincount(true).max() / len(true))),
    )


def confusion(shares: Floats, actual: Floats) -> NDArray[np.int64]:
    """How often class i (row) was said to be class j (column): `i64[classes, classes]`."""
    count = shares.shape[1]
    places = actual.astype(int) * count + shares.argmax(axis=1)
    return np.bincount(places, minlength=count * count).reshape(count, count)


def best_threshold(probability: Floats, actual: Floats) -> float:
    """The threshold with the best F1 on data that is not the test (out-of-fold predictions)."""
    levels = np.unique(np.quantile(probability, np.linspace(0, 1, 401)))
    scores = [f1_score(actual > 0.5, probability >= level, zero_division=0) for level in levels]
    return float(levels[int(np.argmax(scores))])
