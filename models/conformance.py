"""What a worker computes before it serves anything: one graph with every kind of operation.

Its operands stand at the edges: sums of products that reach 2**24 exactly, all-127 and all -127
inputs, shifts and divisions of negative numbers. A machine, a jaxlib or a flag that is wrong is
found before the first model is there; models bring vectors of their own. Source: exact_ml R10.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, Unavailable
from models import graph as g
from models.interpreter import interpret, trace
from models.package import edge_windows
from models.rules import Tensor

Execute = Callable[[NDArray[np.int8]], NDArray[np.int32]]
WIDTH = 1040
"""The longest sum of products of int8 that float32 holds: 1040 * 127**2 + 3056 = 2**24."""
SIDE = 32
BATCHES = (1, 16)
SEED = 7


@cache
def start_up_graph() -> tuple[g.Graph, dict[str, Tensor]]:
    """Every operation of the language once or more; the same for every version of it."""
    body: tuple[g.Operation, ...] = (
        g.Dense(0, "square", "none"),
        g.Dense(1, "square", "none"),
        g.Add(2, 3),
        g.Rescale(4, "one", "eight", -127, 127),
    )
    side, inner = SIDE, SIDE // 2
    operations: tuple[g.Operation, ...] = (
        g.Dense(0, "wide", "edge"),  # 1: [4]
        g.Rescale(1, "m", "s", -127, 127),
        g.Trees(2, "feature", "threshold", "left", "right", "leaf", 1),
        g.Slice(0, (0,), (side * side,)),
        g.Reshape(4, (side, side, 1)),  # 5
        g.Conv(5, "kernel", "none", (2, 2), ((0, 1), (1, 0)), (1, 1)),
        g.Rescale(6, "one", "eight", -127, 127),
        g.Depthwise(7, "taps", "none", (1, 1), ((1, 1), (1, 1)), (1, 1)),
        g.Rescale(8, "one", "eight", -127, 127),
        g.Pool(9, "max", (2, 2), (2, 2)),  # 10: [8, 8, 4]
        g.Pool(9, "sum", (2, 2), (2, 2)),
        g.Sum(11, (0, 1)),
        g.Max(11, (0, 1)),
        g.Subtract(12, 13),
        g.Reshape(14, (4,)),  # 15
        g.Reshape(10, (inner // 2 * inner // 2, 4)),
        g.Transpose(16, (1, 0)),
        g.MatMul(17, 16),  # 18: [4, 4]
        g.Clip(11, 0, 508),
        g.SquareRoot(19),  # 20
        g.Sum(20, (0, 1, 2)),
        g.Clip(10, 1, 127),
        g.FloorDivide(11, 22),
        g.Sum(23, (0, 1, 2)),
        g.Table(2, "table", -127),  # 25
        g.Embed(2, "rows", -127),
        g.ArgMax(26),
        g.Constant("constant"),
        g.Multiply(28, 25),
        g.Scan(16, ((4,),), (127,), body, (5,), emit_all=False, reverse=True),  # 30
        *(g.Reshape(value, (size,)) for value, size in ((18, 16), (21, 1), (24, 1), (26, 12))),
        g.Reshape(27, (4,)),  # 35
        g.Concat((1, 2, 3, 15, 25, 29, 30, 31, 32, 33, 34, 35), 0),
    )
    return g.Graph((WIDTH,), operations), _tensors()


def _tensors() -> dict[str, Tensor]:
    random = np.random.default_rng(SEED)
    wide = np.full((WIDTH, 4), 127, np.int8)
    wide[:, 1] = -127
    wide[::2, 2] = -127
    wide[:, 3] = random.integers(-127, 128, WIDTH)
    nodes = np.array([[0, 1, 2]], np.int32)
    return {
        "wide": wide,
        "edge": np.array([3056, -3056, 3056, 0], np.int32),
        "m": np.array([1 << 14, (1 << 15) - 1, 1 << 14, 20011], np.int32),
        "s": np.array([31, 32, 31, 33], np.int32),
        "kernel": random.choice([-127, 127], (3, 3, 1, 4)).astype(np.int8),
        "taps": random.integers(-127, 128, (3, 3, 4)).astype(np.int8),
        "none": np.zeros(4, np.int32),
        "one": np.array([1], np.int32),
        "eight": np.array([8], np.int32),
        "table": random.integers(-9000, 9000, 255).astype(np.int16),
        "rows": random.integers(-127, 128, (255, 3)).astype(np.int8),
        "square": random.integers(-127, 128, (4, 4)).astype(np.int8),
        "feature": nodes % 4,
        "threshold": np.array([[-3, 0, 0]], np.int32),
        "left": np.array([[1, 1, 2]], np.int32),
        "right": np.array([[2, 1, 2]], np.int32),
        "leaf": np.array([[[0], [-77], [12345]]], np.int32),
        "constant": np.array([-5, 7, -(1 << 17), 1 << 17], np.int32),
    }


def check_backend(execute: Callable[[g.Graph, dict[str, Tensor]], Execute]) -> int:
    """Compare what `execute` makes of the graph with the interpreter; the number of outputs.

    Raises:
        Unavailable: CONFORMANCE_FAILED with the operation and the element that differ.
    """
    graph, tensors = start_up_graph()
    random = np.random.default_rng(SEED)
    drawn = random.integers(-127, 128, (max(BATCHES), WIDTH)).astype(np.int8)
    edges = edge_windows((WIDTH,))
    drawn[: len(edges)] = edges
    expected = interpret(graph, tensors, drawn)
    run = execute(graph, tensors)
    for batch in BATCHES:
        found = run(drawn[:batch])
        if found.shape != expected[:batch].shape or not np.array_equal(found, expected[:batch]):
            raise _failure(graph, tensors, drawn[:batch], found)
    return int(expected.size)


def _failure(
    graph: g.Graph, tensors: dict[str, Tensor], windows: NDArray[np.int8], found: NDArray[np.int32]
) -> Unavailable:
    values = trace(graph, tensors, windows)
    last = graph.operations[-1]
    assert isinstance(last, g.Concat)
    names, element, expected = "shape", 0, values[-1]
    if found.shape == expected.shape:
        element = int(np.argwhere(found != expected)[0][1])
        ends = np.cumsum([values[value].shape[-1] for value in last.inputs])
        part = last.inputs[int(np.searchsorted(ends, element, "right"))]
        names = g.name_of(graph.operations[part - 1])
    return Unavailable(
        Code.CONFORMANCE_FAILED,
        f"this backend computes another value than numpy in start-up vectors, at {names!r}",
        hint="do not vote; check the jaxlib version, XLA_FLAGS and the machine",
        operation=names,
        element=element,
    )
