"""Building graphs from parts: join, sum with weights, forests on integer features, tables.

An `Assembly` is a graph in the making whose every operation is certified as it is added. The
super learner, window features and decision tables are put together here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from models import graph as g
from models.certificate import judge
from models.convert.callables import renumber
from models.convert.forests import Forest, forest_of, forest_tensors
from models.convert.scales import ratio
from models.interpreter import trace
from models.rules import OPERAND_MAX, Tensor, ValueType

INTEGER_BITS = 30
# The interpreter keeps every value in int64: chunks bound what long windows take.
CHUNK_WINDOWS = 1024


class Assembly:
    """Operations and tensors so far; values are numbered as in a graph."""

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape
        self.operations: list[g.Operation] = []
        self.tensors: dict[str, Tensor] = {}
        self.types = [ValueType(input_shape, -OPERAND_MAX, OPERAND_MAX)]

    def push(self, operation: g.Operation) -> int:
        """Append one operation; return its value's number."""
        self.types.append(judge(operation, self.types, self.tensors).type)
        self.operations.append(operation)
        return len(self.operations)

    def tensor(self, name: str, tensor: Tensor) -> str:
        """Add a constant under a name made unique."""
        unique = f"{name}.{len(self.tensors)}"
        self.tensors[unique] = tensor
        return unique

    def graph(self) -> g.Graph:
        """The graph so far; its output is the last value."""
        return g.Graph(self.input_shape, tuple(self.operations))

    def values(self, windows: NDArray[np.int8], value: int) -> NDArray[np.int64]:
        """What the interpreter finds for one value."""
        if value == 0:
            return windows.astype(np.int64)
        part = g.Graph(self.input_shape, tuple(self.operations[:value]))
        chunks = [windows[i : i + CHUNK_WINDOWS] for i in range(0, len(windows), CHUNK_WINDOWS)]
        return np.concatenate([trace(part, self.tensors, chunk)[value] for chunk in chunks])

    def include(self, graph: g.Graph, tensors: dict[str, Tensor], start: int = 0) -> int:
        """Append another graph that reads value `start`; return its output's number."""
        names = {name: self.tensor(name.split(".")[0], tensor) for name, tensor in tensors.items()}
        places = {0: start}
        for index, operation in enumerate(graph.operations, 1):
            places[index] = self.push(renumber(rename(operation, names), places))
        return places[len(graph.operations)]

    def forest(self, model: BaseEstimator, features: int, steps_per_unit: float) -> int:
        """Append a fitted tree ensemble that reads `features`, a vector."""
        return self.trees(forest_of(model), features, steps_per_unit)

    def trees(self, forest: Forest, features: int, steps_per_unit: float) -> int:
        """Append trees that were read already."""
        tensors, depth = forest_tensors(forest, steps_per_unit)
        names = {name: self.tensor(name, tensor) for name, tensor in tensors.items()}
        return self.push(
            g.Trees(
                features, names["feature"], names["threshold"], names["left"], names["right"],
                names["value"], depth,
            )
        )  # fmt: skip

    def weighted(self, values: Sequence[int], weights: Sequence[float]) -> int:
        """Append `sum(weight * value)` over values of one scale, rounded once."""
        total: int | None = None
        top = sum(
            abs(w) * max(self.types[v].magnitude, 1) for v, w in zip(values, weights, strict=True)
        )
        bits = min(14, INTEGER_BITS - int(np.ceil(np.log2(max(top, 1.0)))))
        for value, weight in zip(values, weights, strict=True):
            factor = round(weight * (1 << bits))
            shape = (1,) * len(self.types[value].shape)
            constant = self.push(
                g.Constant(self.tensor("weight", np.full(shape, factor, np.int32)))
            )
            term = self.push(g.Multiply(value, constant))
            total = term if total is None else self.push(g.Add(total, term))
        assert total is not None
        return self.rescale(total, 2.0**-bits)

    def rescale(self, value: int, factor: float, limit: int = 1 << INTEGER_BITS) -> int:
        """Append a multiplication by a constant, rounded half up and clipped."""
        multiplier, shift = ratio(factor, max(self.types[value].magnitude, 1))
        names = (
            self.tensor("m", np.array([multiplier], np.int32)),
            self.tensor("s", np.array([shift], np.int32)),
        )
        return self.push(g.Rescale(value, *names, -limit, limit))

    def sigmoid(self, value: int, steps_per_unit: float, out_steps: int) -> int:
        """Append 1 / (1 + exp(-value / steps_per_unit)) in `out_steps`, by a table of [-16, 16]."""
        index = self.rescale(value, 128.0 / steps_per_unit, 2047)
        steps = np.arange(-2047, 2048) / 128.0
        table = np.round(out_steps / (1 + np.exp(-steps))).astype(np.int32)
        return self.push(g.Table(index, self.tensor("sigmoid", table), -2047))

    def softmax(self, value: int, steps_per_unit: float, out_steps: int) -> int:
        """Append the shares of a vector's exponentials in `out_steps`, at most 2**15."""
        index = self.rescale(value, 128.0 / steps_per_unit, 2047)
        below = self.push(g.Subtract(self.push(g.Max(index, (0,))), index))
        one = 1 << 15
        table = np.round(one * np.exp(np.arange(4095) / -128.0)).astype(np.int32)
        shares = self.push(g.Table(below, self.tensor("exp", table), 0))
        total = self.push(g.Sum(shares, (0,)))
        # The largest entry is exp(0): the sum is never less, which ranges alone cannot see.
        divisor = self.push(g.Clip(total, one, max(self.types[total].high, one)))
        factor = self.push(g.Constant(self.tensor("steps", np.array([out_steps], np.int32))))
        return self.push(g.FloorDivide(self.push(g.Multiply(shares, factor)), divisor))


def rename(operation: g.Operation, names: dict[str, str]) -> g.Operation:
    """The same operation reading tensors under their new names."""
    if isinstance(operation, g.Scan):
        body = tuple(rename(inner, names) for inner in operation.body)
        return msgspec.structs.replace(operation, body=body)
    known = set(g.tensors(operation))
    changes = {
        field: names[value]
        for field in operation.__struct_fields__
        if isinstance(value := getattr(operation, field), str) and value in known
    }
    return msgspec.structs.replace(operation, **changes)
