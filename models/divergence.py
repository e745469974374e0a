"""Where two outputs of an exact model part: element, and the first operation that differs.

The interpreter is the norm. Either the committed output is not what the graph means, or this
backend computes something else; then its intermediate values are compared one by one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from andon.core.worker import Explained
from models.graph import name_of
from models.interpreter import trace
from models.package import Package

COMMITTED = "committed"
BACKEND = "backend"
NOBODY = "nobody"


def explain(
    package: Package,
    window: bytes,
    committed: tuple[int, ...],
    found: tuple[int, ...],
    backend: str,
) -> Explained:
    """Compare a committed output and this backend's `found` with what the graph means."""
    batch = np.frombuffer(window, np.int8).reshape(1, *package.manifest.input_shape)
    values = trace(package.graph, package.weights, batch)
    norm = tuple(int(value) for value in values[-1].reshape(-1))
    last = len(package.graph.operations) - 1
    at_fault, wrong, operation = NOBODY, norm, last
    if found != norm:
        at_fault, wrong = BACKEND, found
        operation = _first_difference(package, batch, values, backend)
    elif committed != norm:
        at_fault, wrong = COMMITTED, committed
    pairs = enumerate(zip(norm, wrong, strict=False))
    element = next((index for index, pair in pairs if pair[0] != pair[1]), 0)
    return Explained(
        element=element,
        expected=norm[element],
        committed=committed[element] if element < len(committed) else 0,
        found=found[element] if element < len(found) else 0,
        operation=operation,
        name=name_of(package.graph.operations[operation]),
        at_fault=at_fault,
    )


def _first_difference(
    package: Package, batch: NDArray[np.int8], norm: list[NDArray[np.int64]], backend: str
) -> int:
    """Index of the first operation whose value differs; the last one if each alone is right."""
    last = len(package.graph.operations) - 1
    if backend == "numpy":
        return last
    from models.compile import trace_package  # noqa: PLC0415 # imports jax

    values = trace_package(package, batch, backend)
    places = zip(norm[1:], values, strict=True)
    return next((i for i, (a, b) in enumerate(places) if not np.array_equal(a, b)), last)
