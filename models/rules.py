"""One rule an operation: the shape and the integer range of its result, or a refusal.

A rule trusts nothing: operation attributes and tensor shapes come from a peer. It returns the
tightest range that is cheap to prove; `models.certificate` keeps the books. Source: exact_ml 2.9
(R1-R8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt, prod
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models import graph as g

Tensor = NDArray[np.integer]
Tensors = Mapping[str, Tensor]

OPERAND_MAX = 127
FLOAT_EXACT_MAX = 1 << 24
INTEGER_MAX = (1 << 31) - 1
ELEMENTS_MAX = 1 << 22
RANK_MAX = 4
SHIFT_MAX = 43
MULTIPLIER_MAX = (1 << 15) - 1
TREE_DEPTH_MAX = 64


@dataclass(frozen=True, slots=True)
class ValueType:
    """Shape per example and inclusive range of one value."""

    shape: tuple[int, ...]
    low: int
    high: int

    @property
    def magnitude(self) -> int:
        """The largest absolute value."""
        return max(abs(self.low), abs(self.high))

    @property
    def elements(self) -> int:
        """Elements per example."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Ruling:
    """The type of a result, its multiply-adds, and for sums of products how K is blocked.

    `blocks` are the ends of runs of the reduction axis whose sums of absolute products are at
    most 2**24; one block means that a float32 accumulator is exact in any order. Empty where the
    operation is not a sum of products. `bound` is the largest sum of absolute products.
    """

    type: ValueType
    multiply_adds: int
    bound: int = 0
    blocks: tuple[int, ...] = ()


def require(holds: bool, rule: str, message: str) -> None:  # noqa: FBT001 # a guard reads so
    """Refuse unless `holds`.

    Raises:
        InvalidInput: NOT_CERTIFIED with the rule's name.
    """
    if not holds:
        raise InvalidInput(Code.NOT_CERTIFIED, f"{message} (rule {rule})", rule=rule)


def rule(operation: g.Operation, types: list[ValueType], tensors: Tensors) -> Ruling:
    """Judge one operation other than a scan, given the types of the values before it.

    Raises:
        InvalidInput: NOT_CERTIFIED.
    """
    ruling = _rule(operation, types, tensors)
    bounded(ruling.type)
    return ruling


def bounded(kind: ValueType) -> None:
    """Refuse a value that leaves int32, or whose rank or size is beyond the limits."""
    require(kind.magnitude <= INTEGER_MAX, "R8", f"range [{kind.low}, {kind.high}] leaves int32")
    require(len(kind.shape) <= RANK_MAX, "size", f"rank exceeds {RANK_MAX}")
    require(0 < kind.elements <= ELEMENTS_MAX, "size", f"more than {ELEMENTS_MAX} elements")


def _rule(operation: g.Operation, types: list[ValueType], tensors: Tensors) -> Ruling:
    read = [types[i] for i in g.operands(operation)]
    match operation:
        case g.Dense():
            return _dense(read[0], tensors[operation.weight], tensors[operation.bias])
        case g.Conv() | g.Depthwise():
            return _conv(operation, read[0], tensors)
        case g.MatMul():
            return _matmul(read[0], read[1])
        case g.Rescale():
            return _rescale(operation, read[0], tensors)
        case g.Table() | g.Embed():
            return _table(operation, read[0], tensors[operation.table])
        case g.Clip(_, low, high):
            _clip_bounds(low, high)
            kind = ValueType(read[0].shape, max(low, min(high, read[0].low)),
                             min(high, max(low, read[0].high)))  # fmt: skip
            return Ruling(kind, read[0].elements)
        case g.Constant(tensor):
            value = tensors[tensor]
            return Ruling(ValueType(value.shape, int(value.min()), int(value.max())), 0)
        case g.Add() | g.Subtract() | g.Multiply() | g.FloorDivide():
            return _elementwise(operation, read[0], read[1])
        case g.SquareRoot():
            require(read[0].low >= 0, "square_root", "square root of a negative range")
            kind = ValueType(read[0].shape, isqrt(read[0].low), isqrt(read[0].high))
            return Ruling(kind, 16 * read[0].elements)
        case g.Sum() | g.Max() | g.ArgMax() | g.Pool():
            return _reduce(operation, read[0])
        case g.Reshape() | g.Transpose() | g.Concat() | g.Slice():
            return Ruling(_rearranged(operation, read), 0)
        case g.Trees():
            return _trees(operation, read[0], tensors)
        case g.Scan():
            raise InvalidInput(Code.NOT_CERTIFIED, "a scan inside a scan", rule="scan")
    assert_never(operation)


def _operand(kind: ValueType) -> None:
    require(
        kind.magnitude <= OPERAND_MAX, "R1", f"operand range [{kind.low}, {kind.high}] exceeds 127"
    )


def _kernel(weight: Tensor, bias: Tensor) -> None:
    require(weight.dtype == np.int8 and weight.size > 0, "R1", "weights must be int8")
    require(int(weight.min()) >= -OPERAND_MAX, "R1", "a weight is -128")
    require(bias.shape == weight.shape[-1:], "shape", "one bias a channel is needed")


def _linear(shape: tuple[int, ...], flat: Tensor, bias: Tensor, magnitude: int) -> Ruling:
    """Bound `flat[k, n]` against inputs of `magnitude`, and cut k where float32 would round."""
    sums = np.abs(flat.astype(np.int64)).cumsum(axis=0) * magnitude
    total = sums[-1] + np.abs(bias.astype(np.int64))
    bound = int(total.max())
    require(bound <= INTEGER_MAX, "R2", f"bound {bound} exceeds the int32 accumulator")
    ends: list[int] = []
    if bound <= FLOAT_EXACT_MAX:
        ends.append(len(flat))
    else:
        start = np.zeros_like(sums[0])
        for k in range(len(flat)):
            if int((sums[k] - start).max()) > FLOAT_EXACT_MAX:
                ends.append(k)
                start = sums[k - 1]
        ends.append(len(flat))
    adds = prod(shape[:-1]) * flat.size
    return Ruling(ValueType(shape, -bound, bound), adds, bound, tuple(ends))


def _dense(x: ValueType, weight: Tensor, bias: Tensor) -> Ruling:
    _operand(x)
    _kernel(weight, bias)
    require(weight.ndim == 2 and x.shape[-1:] == weight.shape[:1], "shape", "dense does not fit")
    return _linear((*x.shape[:-1], weight.shape[1]), weight, bias, x.magnitude)


def _conv(operation: g.Conv | g.Depthwise, x: ValueType, tensors: Tensors) -> Ruling:
    weight, bias = tensors[operation.weight], tensors[operation.bias]
    _operand(x)
    _kernel(weight, bias)
    rank = len(operation.strides)
    grouped = isinstance(operation, g.Depthwise)
    require(rank in (1, 2) and len(x.shape) == rank + 1, "shape", "conv has 1 or 2 spatial axes")
    require(len(operation.pads) == rank == len(operation.dilations), "shape", "conv attributes")
    require(weight.ndim == rank + (1 if grouped else 2), "shape", "conv kernel rank")
    require(x.shape[-1] == weight.shape[rank], "shape", "conv channels differ")
    out: list[int] = []
    for axis in range(rank):
        stride, dilation = operation.strides[axis], operation.dilations[axis]
        before, after = operation.pads[axis]
        require(1 <= stride <= 64 and 1 <= dilation <= 64, "shape", "stride and dilation: 1 to 64")
        require(0 <= before <= 512 and 0 <= after <= 512, "shape", "pad: 0 to 512")
        span = x.shape[axis] + before + after - (weight.shape[axis] - 1) * dilation - 1
        require(span >= 0, "shape", "conv window is wider than its input")
        out.append(span // stride + 1)
    channels = weight.shape[-1]
    shape = (*out, channels)
    return _linear(shape, weight.reshape(-1, channels), bias, x.magnitude)


def _matmul(a: ValueType, b: ValueType) -> Ruling:
    _operand(a)
    _operand(b)
    require(len(a.shape) == len(b.shape) >= 2, "shape", "matmul ranks differ")
    require(a.shape[:-2] == b.shape[:-2] and a.shape[-1] == b.shape[-2], "shape", "matmul sizes")
    depth = a.shape[-1]
    unit = max(a.magnitude * b.magnitude, 1)
    require(depth * unit <= INTEGER_MAX, "R2", "matmul exceeds the int32 accumulator")
    step = FLOAT_EXACT_MAX // unit
    ends = (*range(step, depth, step), depth)
    shape = (*a.shape[:-1], b.shape[-1])
    kind = ValueType(shape, -depth * unit, depth * unit)
    return Ruling(kind, prod(shape) * depth, depth * unit, ends)


def rescale_is_direct(x: ValueType, multiplier: Tensor, shift: Tensor) -> bool:
    """Whether `x * multiplier + 2**(shift - 1)` itself stays within int32 (exact_ml R4)."""
    products = multiplier.astype(np.int64) * x.magnitude
    halves = np.int64(1) << np.maximum(shift.astype(np.int64) - 1, 0)
    return int((products + halves).max()) <= INTEGER_MAX and int(shift.max()) <= 31


def _clip_bounds(low: int, high: int) -> None:
    require(-INTEGER_MAX <= low <= high <= INTEGER_MAX, "R4", "clip bounds are not int32 in order")


def _rescale(operation: g.Rescale, x: ValueType, tensors: Tensors) -> Ruling:
    multiplier, shift = tensors[operation.multiplier], tensors[operation.shift]
    require(multiplier.ndim == 1 and multiplier.shape == shift.shape, "R4", "rescale tables")
    require(multiplier.size in (1, x.shape[-1]), "R4", "one rescale entry a channel, or one")
    require(1 <= int(multiplier.min()) <= int(multiplier.max()) <= MULTIPLIER_MAX, "R4", "M range")
    require(int(shift.min()) >= 0 and int(shift.max()) <= SHIFT_MAX, "R4", "S range")
    _clip_bounds(operation.low, operation.high)
    if not rescale_is_direct(x, multiplier, shift):
        require(int(shift.min()) >= 13, "R4", "rescale needs S >= 13 for so wide an accumulator")
        tops = (multiplier.astype(np.int64) * x.magnitude >> 12) + 1
        halves = np.int64(1) << (shift.astype(np.int64) - 13)
        require(int((tops + halves).max()) <= INTEGER_MAX, "R4", "rescale overflows int32")
    m, s = multiplier.astype(object), shift.astype(object)
    low, high = (
        [(edge * int(a) + ((1 << int(b)) >> 1)) >> int(b) for a, b in zip(m, s, strict=True)]
        for edge in (x.low, x.high)
    )
    bottom = min(max(min(low), operation.low), operation.high)
    top = max(min(max(high), operation.high), operation.low)
    return Ruling(ValueType(x.shape, bottom, top), x.elements)


def _table(operation: g.Table | g.Embed, x: ValueType, table: Tensor) -> Ruling:
    rank = 1 if isinstance(operation, g.Table) else 2
    require(table.ndim == rank and 1 <= len(table) <= 1 << 16, "R6", "table of 1 to 65,536 entries")
    require(abs(operation.first) <= INTEGER_MAX // 2, "R6", "first index of a table")
    require(x.magnitude <= INTEGER_MAX // 2, "R6", "index range of a table")
    # Only the reachable entries count: the range then follows the input's.
    first = min(max(x.low - operation.first, 0), len(table) - 1)
    last = min(max(x.high - operation.first, 0), len(table) - 1)
    part = table[first : last + 1]
    shape = x.shape if rank == 1 else (*x.shape, table.shape[1])
    return Ruling(ValueType(shape, int(part.min()), int(part.max())), prod(shape))


def _elementwise(
    operation: g.Add | g.Subtract | g.Multiply | g.FloorDivide, a: ValueType, b: ValueType
) -> Ruling:
    require(len(a.shape) == len(b.shape), "shape", "ranks differ; reshape first")
    fits = all(m == n or 1 in (m, n) for m, n in zip(a.shape, b.shape, strict=True))
    require(fits, "shape", f"shapes {a.shape} and {b.shape} do not broadcast")
    shape = tuple(max(m, n) for m, n in zip(a.shape, b.shape, strict=True))
    pairs = [(i, j) for i in (a.low, a.high) for j in (b.low, b.high)]
    match operation:
        case g.Add():
            corners = [i + j for i, j in pairs]
        case g.Subtract():
            corners = [i - j for i, j in pairs]
        case g.Multiply():
            corners = [i * j for i, j in pairs]
        case g.FloorDivide():
            require(b.low >= 1, "R8", f"divisor range [{b.low}, {b.high}] is not positive")
            corners = [i // j for i, j in pairs]
        case _:
            assert_never(operation)
    return Ruling(ValueType(shape, min(corners), max(corners)), prod(shape))


def _reduce(operation: g.Sum | g.Max | g.ArgMax | g.Pool, x: ValueType) -> Ruling:
    rank = len(x.shape)
    match operation:
        case g.ArgMax():
            require(rank >= 1, "shape", "argmax of a scalar")
            return Ruling(ValueType((*x.shape[:-1], 1), 0, x.shape[-1] - 1), x.elements)
        case g.Sum(_, axes) | g.Max(_, axes):
            require(len(set(axes)) == len(axes) > 0, "shape", "axes are repeated or missing")
            require(all(0 <= axis < rank for axis in axes), "shape", "no such axis")
            shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
            count = prod(x.shape[axis] for axis in axes) if isinstance(operation, g.Sum) else 1
        case g.Pool(_, reduce, window, strides):
            require(reduce in ("max", "sum"), "shape", "pool reduces by max or sum")
            require(len(window) == len(strides) == rank - 1, "shape", "pool window rank")
            steps = zip(x.shape, window, strides, strict=False)
            require(all(1 <= w <= n and 1 <= s <= 64 for n, w, s in steps), "shape", "pool window")
            sizes = zip(x.shape, window, strides, strict=False)
            shape = (*((n - w) // s + 1 for n, w, s in sizes), x.shape[-1])
            count = prod(window) if reduce == "sum" else 1
            kind = ValueType(shape, x.low * count, x.high * count)
            return Ruling(kind, prod(shape) * prod(window))
        case _:
            assert_never(operation)
    return Ruling(ValueType(shape, x.low * count, x.high * count), x.elements)


def _rearranged(
    operation: g.Reshape | g.Transpose | g.Concat | g.Slice, read: list[ValueType]
) -> ValueType:
    require(bool(read), "shape", "nothing to join")
    x = read[0]
    low, high = min(t.low for t in read), max(t.high for t in read)
    match operation:
        case g.Reshape(_, shape):
            require(all(n >= 1 for n in shape), "shape", "sizes start at 1")
            require(prod(shape) == x.elements, "shape", f"{x.shape} does not reshape to {shape}")
        case g.Transpose(_, axes):
            require(sorted(axes) == list(range(len(x.shape))), "shape", "not a permutation")
            shape = tuple(x.shape[i] for i in axes)
        case g.Concat(_, axis):
            require(0 <= axis < len(x.shape), "shape", "no such axis")
            rest = {(*t.shape[:axis], *t.shape[axis + 1 :]) for t in read}
            ranks = {len(t.shape) for t in read}
            require(len(rest) == 1 == len(ranks), "shape", "joined shapes differ off the axis")
            total = sum(t.shape[axis] for t in read)
            shape = (*x.shape[:axis], total, *x.shape[axis + 1 :])
        case g.Slice(_, starts, stops):
            require(len(starts) == len(stops) == len(x.shape), "shape", "slice rank")
            spans = list(zip(starts, stops, x.shape, strict=True))
            require(all(0 <= i < j <= n for i, j, n in spans), "shape", "slice out of range")
            shape = tuple(j - i for i, j, _ in spans)
        case _:
            assert_never(operation)
    return ValueType(shape, low, high)


def _trees(operation: g.Trees, x: ValueType, tensors: Tensors) -> Ruling:
    feature, threshold = tensors[operation.feature], tensors[operation.threshold]
    left, right, value = (tensors[n] for n in (operation.left, operation.right, operation.value))
    require(len(x.shape) == 1, "shape", "trees read a vector")
    require(feature.ndim == 2 and feature.size > 0, "trees", "node tables are [trees, nodes]")
    same = feature.shape == threshold.shape == left.shape == right.shape == value.shape[:2]
    require(same and value.ndim == 3, "trees", "node tables differ in shape")
    require(int(feature.min()) >= 0 and int(feature.max()) < x.shape[0], "trees", "no such feature")
    for side in (left, right):
        require(
            int(side.min()) >= 0 and int(side.max()) < feature.shape[1], "trees", "no such node"
        )
    require(1 <= operation.depth <= TREE_DEPTH_MAX, "trees", "depth is 1 to 64")
    lows = value.astype(np.int64).min(axis=1).sum(axis=0)
    highs = value.astype(np.int64).max(axis=1).sum(axis=0)
    kind = ValueType(value.shape[2:], int(lows.min()), int(highs.max()))
    steps = feature.shape[0] * (4 * operation.depth + value.shape[2])
    # Partial sums in any order stay below the sum of the largest leaf magnitudes.
    bound = int(np.abs(value.astype(np.int64)).max(axis=1).sum(axis=0).max())
    require(bound <= INTEGER_MAX, "R2", "leaf sums exceed int32")
    return Ruling(kind, steps, bound)
