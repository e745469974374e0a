"""The report of a training run: one HTML file, figures and plots, no script, no network."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.certificate import describe
from models.recipes.own import Outcome
from models.recipes.scores import confusion

Floats = NDArray[np.float64]
WIDTH, HEIGHT, MARGIN = 460, 320, 44
POINTS_MAX = 1500
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}table{border-collapse:collapse}td,th{padding:.25rem .8rem;"
    "border-bottom:1px solid #d7dce1;text-align:left}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}svg{max-width:100%}pre{overflow:auto;background:#f4f6f8;"
    "padding:1rem;font-size:12px}.plots{display:flex;flex-wrap:wrap;gap:1rem}"
)


def report(outcome: Outcome) -> str:
    """Render figures, plots, weights, lineage and certificate."""
    manifest = outcome.package.manifest
    pieces = [
        f"<h1>{_text(manifest.name)}</h1>",
        f"<p>Task {_text(manifest.task)}. Model <code>{outcome.package.id.hex()}</code>.</p>",
        f"<p>Figures are of the certified integer model. {_text(outcome.convention)}.</p>",
        "<h2>Figures</h2>" + _table(outcome.figures),
        "<h2>Plots</h2><div class=plots>" + "".join(_plots(outcome)) + "</div>",
        "<h2>Parts</h2>" + _table(outcome.weights),
        "<h2>Lineage</h2>" + _pairs(manifest.training),
        f"<h2>Certificate</h2><p>{manifest.multiply_adds} multiply-adds, {manifest.gas} gas.</p>",
        f"<pre>{_text(describe(outcome.package.graph, outcome.package.certificate))}</pre>",
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(manifest.name)}'
        f"</title><style>{STYLE}</style><body>{''.join(pieces)}</body></html>\n"
    )


def _plots(outcome: Outcome) -> list[str]:
    predicted, actual = outcome.predicted, outcome.actual
    task = outcome.package.manifest.task
    if task == "anomaly":
        return [_histogram("Score of test examples", predicted)]
    if predicted.ndim == 2:
        return [_confusion(outcome.classes, confusion(predicted, actual))]
    if task == "classify":
        return [
            _curve("Receiver operating characteristic", *_roc(predicted, actual)),
            _histogram("Probability, class 0", predicted[actual < 0.5]),
            _histogram("Probability, class 1", predicted[actual >= 0.5]),
        ]
    return [
        _scatter("Predicted over actual", actual, predicted),
        _histogram("Error (predicted - actual)", predicted - actual),
    ]


def _confusion(names: Sequence[str], counts: NDArray[np.int64]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    rows = "".join(
        f"<tr><th>{_text(name)}</th>" + "".join(f"<td class=n>{n}</td>" for n in row) + "</tr>"
        for name, row in zip(names, counts.tolist(), strict=True)
    )
    return f"<table><tr><th>actual / said</th>{head}</tr>{rows}</table>"


def _roc(probability: Floats, actual: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(-probability, kind="stable")
    true = actual[order] > 0.5
    hits = np.concatenate([[0.0], np.cumsum(true) / max(int(true.sum()), 1)])
    alarms = np.concatenate([[0.0], np.cumsum(~true) / max(int((~true).sum()), 1)])
    return alarms, hits


def _scatter(title: str, x: Floats, y: Floats) -> str:
    step = max(1, len(x) // POINTS_MAX)
    low = float(min(x.min(), y.min()))
    high = float(max(x.max(), y.max()))
    px, py = _place(x[::step], low, high, WIDTH), _place(y[::step], low, high, HEIGHT)
    dots = "".join(
        f'<circle cx="{a:.1f}" cy="{HEIGHT - b:.1f}" r="2" fill="#2563a8" fill-opacity=".45"/>'
        for a, b in zip(px, py, strict=True)
    )
    line = _line(np.array([low, high]), np.array([low, high]), (low, high, low, high), "#999")
    return _frame(title, dots + line, (low, high, low, high))


def _curve(title: str, x: Floats, y: Floats) -> str:
    span = (0.0, 1.0, 0.0, 1.0)
    diagonal = _line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), span, "#999")
    return _frame(title, diagonal + _line(x, y, span, "#2563a8"), span)


def _histogram(title: str, values: Floats) -> str:
    if len(values) == 0:
        return ""
    counts, edges = np.histogram(values, bins=40)
    top = float(counts.max())
    span = (float(edges[0]), float(edges[-1]), 0.0, top)
    x = _place(edges, span[0], span[1], WIDTH)
    heights = _place(counts.astype(float), 0.0, top, HEIGHT)
    bars = "".join(
        f'<rect x="{x[i]:.1f}" y="{HEIGHT - heights[i]:.1f}" '
        f'width="{max(x[i + 1] - x[i] - 1, 0.5):.1f}" '
        f'height="{max(heights[i] - MARGIN, 0):.1f}" fill="#2563a8"/>'
        for i in range(len(counts))
    )
    return _frame(title, bars, span)


def _line(x: Floats, y: Floats, span: tuple[float, float, float, float], colour: str) -> str:
    px, py = _place(x, span[0], span[1], WIDTH), _place(y, span[2], span[3], HEIGHT)
    step = max(1, len(x) // POINTS_MAX)
    points = " ".join(
        f"{a:.1f},{HEIGHT - b:.1f}" for a, b in zip(px[::step], py[::step], strict=True)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _place(values: Floats, low: float, high: float, size: int) -> Floats:
    reach = (high - low) or 1.0
    return np.asarray(MARGIN + (values - low) / reach * (size - 2 * MARGIN), np.float64)


def _frame(title: str, content: str, span: tuple[float, float, float, float]) -> str:
    left, right, bottom, top = (f"{value:.3g}" for value in span)
    low, far = HEIGHT - MARGIN, WIDTH - MARGIN
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" '
        f'aria-label="{_text(title)}" font-size="12"><text x="{MARGIN}" y="24" '
        f'font-weight="600">{_text(title)}</text>'
        f'<path d="M{MARGIN} {MARGIN}V{low}H{far}" fill="none" stroke="#555"/>{content}'
        f'<text x="{MARGIN}" y="{low + 16}">{left}</text>'
        f'<text x="{far}" y="{low + 16}" text-anchor="end">{right}</text>'
        f'<text x="{MARGIN - 4}" y="{low}" text-anchor="end">{bottom}</text>'
        f'<text x="{MARGIN - 4}" y="{MARGIN + 8}" text-anchor="end">{top}</text></svg>'
    )


def _table(rows: Sequence[tuple[str, float]]) -> str:
    body = "".join(f"<tr><td>{_text(n)}</td><td class=n>{v:.4g}</td></tr>" for n, v in rows)
    return f"<table>{body}</table>"


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{_text(n)}</td><td>{_text(v)}</td></tr>" for n, v in rows)
    return f"<table>{body}</table>"


def _text(value: str) -> str:
    return html.escape(value)
