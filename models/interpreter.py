"""The normative meaning of an integer graph: numpy, int64, one plain definition an operation.

Every other executor must equal this one bit for bit. It is written to be read, not to be fast.
It trusts the graph: run `models.certificate.certify_graph` first.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import isqrt
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from models import graph as g
from models.graph import Constant, Graph, Operation, Scan, Trees, operands

Integers = NDArray[np.int64]
Weights = Mapping[str, NDArray[np.integer]]

_EMPTY: Integers = np.zeros(0, np.int64)


def interpret(graph: Graph, weights: Weights, windows: NDArray[np.integer]) -> Integers:
    """Evaluate a batch: `windows: int[batch, *input_shape]` to `int64[batch, outputs]`."""
    return _run(graph.operations, weights, [np.asarray(windows, np.int64)], keeps=False)[-1]


def trace(graph: Graph, weights: Weights, windows: NDArray[np.integer]) -> list[Integers]:
    """Evaluate a batch and return every value, the input first; audits compare these."""
    return _run(graph.operations, weights, [np.asarray(windows, np.int64)], keeps=True)


def _run(
    operations: tuple[Operation, ...], weights: Weights, values: list[Integers], *, keeps: bool
) -> list[Integers]:
    """Append the values of all operations; unless `keeps`, empty those that nothing reads again."""
    batch, begun = values[0].shape[0], len(values)
    last = {v: place for place, operation in enumerate(operations) for v in operands(operation)}
    for place, operation in enumerate(operations):
        result = _evaluate(operation, weights, values)
        if isinstance(operation, Constant):
            result = np.broadcast_to(result, (batch, *result.shape))
        values.append(result)
        for value in operands(operation) if not keeps else ():
            if last[value] == place and value != begun + len(operations) - 1:
                values[value] = _EMPTY
    return values


def _evaluate(operation: Operation, weights: Weights, values: list[Integers]) -> Integers:
    def constant(name: str) -> Integers:
        return weights[name].astype(np.int64)

    match operation:
        case g.Dense(x, weight, bias):
            return np.asarray(values[x] @ constant(weight) + constant(bias))
        case g.Conv() | g.Depthwise():
            total = _taps(operation, values[operation.x], constant(operation.weight))
            return np.asarray(total + constant(operation.bias))
        case g.MatMul(a, b):
            return np.asarray(values[a] @ values[b])
        case g.Rescale(x, multiplier, shift, low, high):
            bits = constant(shift)
            half = np.where(bits > 0, 1 << np.maximum(bits - 1, 0), 0)
            scaled = (values[x] * constant(multiplier) + half) >> bits
            return np.asarray(np.clip(scaled, low, high))
        case g.Table(x, table, first):
            entries = constant(table)
            return entries[np.clip(values[x] - first, 0, len(entries) - 1)]
        case g.Clip(x, low, high):
            return np.asarray(np.clip(values[x], low, high))
        case g.Constant(tensor):
            return constant(tensor)
        case g.Add(a, b):
            return np.asarray(values[a] + values[b])
        case g.Subtract(a, b):
            return np.asarray(values[a] - values[b])
        case g.Multiply(a, b):
            return np.asarray(values[a] * values[b])
        case g.FloorDivide(a, b):
            return np.asarray(values[a] // values[b])
        case g.SquareRoot(x):
            roots = [isqrt(int(value)) for value in values[x].ravel()]
            return np.array(roots, np.int64).reshape(values[x].shape)
        case g.Sum(x, axes):
            return np.asarray(values[x].sum(axis=tuple(a + 1 for a in axes), keepdims=True))
        case g.Max(x, axes):
            return np.asarray(values[x].max(axis=tuple(a + 1 for a in axes), keepdims=True))
        case g.Pool(x, reduce, window, strides):
            return _pool(values[x], reduce, window, strides)
        case g.ArgMax(x):
            return np.asarray(values[x].argmax(axis=-1)[..., np.newaxis])
        case g.Reshape(x, shape):
            return values[x].reshape(values[x].shape[0], *shape)
        case g.Transpose(x, axes):
            return values[x].transpose(0, *(a + 1 for a in axes))
        case g.Concat(inputs, axis):
            return np.concatenate([values[i] for i in inputs], axis=axis + 1)
        case g.Slice(x, starts, stops):
            spans = tuple(slice(i, j) for i, j in zip(starts, stops, strict=True))
            return values[x][(slice(None), *spans)]
        case g.Embed(x, table, first):
            rows = constant(table)
            return rows[np.clip(values[x] - first, 0, len(rows) - 1)]
        case g.Trees():
            return _trees(operation, weights, values[operation.x])
        case g.Scan():
            return _scan(operation, weights, values[operation.x])
    assert_never(operation)


def _taps(operation: g.Conv | g.Depthwise, x: Integers, kernel: Integers) -> Integers:
    """Sum over the window's taps; each is a strided view of padded x times its weights."""
    strides, dilations = operation.strides, operation.dilations
    window = kernel.shape[: len(strides)]
    padded = np.pad(x, [(0, 0), *operation.pads, (0, 0)])
    counts = [
        (padded.shape[i + 1] - (window[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in range(len(window))
    ]
    total: Integers | None = None
    for tap in product(*(range(size) for size in window)):
        spans = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, counts, strides, strict=True)
        )
        view = padded[(slice(None), *spans)]
        weight = kernel[tap]
        term = view @ weight if weight.ndim == 2 else view * weight
        total = term if total is None else total + term
    assert total is not None
    return np.asarray(total)


def _pool(x: Integers, reduce: str, window: tuple[int, ...], strides: tuple[int, ...]) -> Integers:
    counts = [
        (x.shape[i + 1] - w) // s + 1 for i, (w, s) in enumerate(zip(window, strides, strict=True))
    ]
    total: Integers | None = None
    for tap in product(*(range(size) for size in window)):
        spans = tuple(
            slice(t, t + (n - 1) * s + 1, s) for t, n, s in zip(tap, counts, strides, strict=True)
        )
        view = x[(slice(None), *spans)]
        if total is None:
            total = view
        else:
            total = np.maximum(total, view) if reduce == "max" else total + view
    assert total is not None
    return total


def _trees(operation: Trees, weights: Weights, x: Integers) -> Integers:
    feature, threshold, left, right, value = (
        weights[name].astype(np.int64)
        for name in (
            operation.feature, operation.threshold, operation.left, operation.right, operation.value
        )
    )  # fmt: skip
    tree = np.arange(feature.shape[0])[np.newaxis, :]
    node = np.zeros((x.shape[0], feature.shape[0]), np.int64)
    for _ in range(operation.depth):
        reading = np.take_along_axis(x, feature[tree, node], axis=1)
        goes_left = reading <= threshold[tree, node]
        node = np.where(goes_left, left[tree, node], right[tree, node])
    return np.asarray(value[tree, node].sum(axis=1))


def _scan(operation: Scan, weights: Weights, x: Integers) -> Integers:
    carries: list[Integers] = [
        np.zeros((x.shape[0], *shape), np.int64) for shape in operation.shapes
    ]
    emitted: list[Integers] = []
    steps = range(x.shape[1])
    for step in reversed(steps) if operation.reverse else steps:
        values = _run(operation.body, weights, [x[:, step], *carries], keeps=True)
        carries = [values[i] for i in operation.results]
        emitted.append(carries[0])
    if not operation.emit_all:
        return carries[0]
    if operation.reverse:
        emitted.reverse()
    return np.stack(emitted, axis=1)
