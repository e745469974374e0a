"""Float nodes to integer operations.

A node has one base scale, its int8 scale. Its value is materialised on demand in a *form* of b
bits, at `base / 2**(b - 8)`: 8 bits feed dot products, 12 bits index tables, 14 bits feed
everything else. Layers quantise their weights per channel to `target * 2**-e / input`, so that
their rescale is a shift; ratios that are no power of two become multiplier and shift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import judge
from models.convert import nodes as n
from models.convert.fold import fold
from models.convert.scales import LIMIT, clip_scale, ratio
from models.rules import Tensor, ValueType

OPERAND, INDEX, WIDE = 8, 12, 14
OUTPUT_LIMIT = (1 << 24) - 1
_BIAS_MAX = 1 << 23
_EXPONENT_MAX = 20


@dataclass(frozen=True, slots=True)
class Accumulator:
    """A layer's int32 sums: channel c counts `scale * 2**-exponents[c]`."""

    value: int
    exponents: NDArray[np.int64]


class Emitter:
    """Operations and tensors emitted so far, for one graph."""

    def __init__(
        self,
        nodes: Sequence[n.Node],
        input_scale: float,
        tensors: dict[str, Tensor] | None = None,
        carries: Sequence[int] = (),
    ) -> None:
        """Start a graph, or the body of a scan, whose carries are wide values after the input."""
        self.operations: list[g.Operation] = []
        self.tensors: dict[str, Tensor] = {} if tensors is None else tensors
        wide = LIMIT << (WIDE - 8)
        self.types = [ValueType(nodes[0].shape, -LIMIT, LIMIT)]
        self.types += [ValueType(nodes[i].shape, -wide, wide) for i in carries]
        self.forms = {(node, WIDE): place for place, node in enumerate(carries, 1)}
        self._inputs = len(self.types)
        self._nodes = list(nodes)
        self._bases: dict[int, float] = {0: input_scale}
        self._accumulators: dict[tuple[int, float], Accumulator] = {}

    def base(self, node: int) -> float:
        """The int8 scale of a node; what only moves elements shares its source's."""
        if node not in self._bases:
            kind = self._nodes[node].kind
            match kind:
                case n.Recurrent():
                    scale = clip_scale(kind.body[kind.carry + 1].values)
                case n.Move() | n.Reduce("max", _, _) | n.PoolNode("max", _, _, _):
                    scale = self.base(kind.source)
                case n.Relu() if not isinstance(self._nodes[kind.source].kind, n.Linear):
                    scale = self.base(kind.source)
                case n.Join():
                    scale = max(self.base(source) for source in kind.sources)
                case n.ArgMaxNode(source):
                    # A power of two at which every index is a whole number of steps.
                    count = self._nodes[source].shape[-1]
                    scale = 2.0 ** max(0, int(np.ceil(np.log2(max(count - 1, 1) / LIMIT))))
                case _:
                    scale = clip_scale(self._nodes[node].values)
            self._bases[node] = scale
        return self._bases[node]

    def scale(self, node: int, bits: int) -> float:
        """What one unit of the `bits` form of a node stands for."""
        return self.base(node) / 2.0 ** (bits - 8)

    def output(self, node: int, target: float, span: tuple[int, int]) -> int:
        """Emit the last value: `node` at scale `target`, clipped to `span`, as a vector."""
        kind = self._nodes[node].kind
        if isinstance(kind, n.Linear):
            made = self._accumulate(node, target)
            value = self._shift(made, 0, *span)
        elif isinstance(kind, n.Pointwise):
            value = self._table(kind, target, OUTPUT_LIMIT)
        else:
            wide = self.form(node, WIDE)
            value = self._rescale(wide, self.scale(node, WIDE) / target, OUTPUT_LIMIT)
        shape = self.types[value].shape
        if len(shape) != 1:
            value = self.push(g.Reshape(value, (int(np.prod(shape)),)))
        kept = self.types[value].low >= span[0] and self.types[value].high <= span[1]
        is_last = value == len(self.types) - 1
        return value if kept and is_last else self.push(g.Clip(value, *span))

    def form(self, node: int, bits: int) -> int:
        """The value index of a node in its `bits` form, emitted at most once."""
        key = (node, bits)
        if key not in self.forms:
            self.forms[key] = self._form(node, bits)
        return self.forms[key]

    def push(self, operation: g.Operation) -> int:
        """Append an operation; it is certified as it is made."""
        self.types.append(judge(operation, self.types, self.tensors).type)
        self.operations.append(operation)
        return len(self.operations) + self._inputs - 1

    def _form(self, node: int, bits: int) -> int:
        kind = self._nodes[node].kind
        limit = LIMIT << (bits - 8)
        match kind:
            case n.Input():
                return 0 if bits == OPERAND else self._rescale(0, 2.0 ** (bits - 8), limit)
            case n.Linear():
                made = self._accumulate(node, self.base(node))
                return self._shift(made, bits - 8, -limit, limit)
            case n.Relu():
                return self._relu(node, kind, bits)
            case n.Pointwise():
                return self._table(kind, self.scale(node, bits), limit)
            case n.Move():
                return self._move(kind, self.form(kind.source, bits))
            case n.Reduce("max", source, axes):
                return self.push(g.Max(self.form(source, bits), axes))
            case n.PoolNode("max", source, window, strides):
                return self.push(g.Pool(self.form(source, bits), "max", window, strides))
            case n.Join(sources, axis):
                parts = tuple(self.at(s, bits, self.scale(node, bits), limit) for s in sources)
                return self.push(g.Concat(parts, axis))
            case n.Fixed(value):
                return self._constant(np.round(value / self.scale(node, bits)), limit)
            case n.Lookup(source, rows):
                return self._lookup(source, rows, self.scale(node, bits), limit)
            case n.ArgMaxNode():
                return self._rescale(self._index(node), 1 / self.scale(node, bits), limit)
            case n.Combine("matmul", a, b):
                product = self.push(g.MatMul(self.form(a, OPERAND), self.form(b, OPERAND)))
                unit = self.base(a) * self.base(b)
                return self._rescale(product, unit / self.scale(node, bits), limit)
            case _:
                return self._narrow(node, bits)

    def _narrow(self, node: int, bits: int) -> int:
        """Forms of what is computed wide: 14 bits first, narrower ones from it by a shift."""
        if bits != WIDE:
            wide = self.form(node, WIDE)
            return self._rescale(wide, 2.0 ** (bits - WIDE), LIMIT << (bits - 8))
        kind = self._nodes[node].kind
        limit, target = LIMIT << (WIDE - 8), self.scale(node, WIDE)
        match kind:
            case n.Affine():
                return self._affine(node, kind)
            case n.Recurrent():
                return self._recurrent(kind)
            case n.Combine("add" | "sub" | "max", a, b):
                left = self.at(a, WIDE, target, limit)
                right = self.at(b, WIDE, target, limit)
                if kind.kind == "max":
                    # max(a, b) = b + max(a - b, 0)
                    excess = self.push(g.Subtract(left, right))
                    high = self.types[excess].high
                    positive = self.push(g.Clip(excess, 0, max(high, 0)))
                    return self._clip(self.push(g.Add(right, positive)), limit)
                make = g.Add if kind.kind == "add" else g.Subtract
                return self._clip(self.push(make(left, right)), limit)
            case n.Combine("mul", a, b):
                product = self.push(g.Multiply(self.form(a, WIDE), self.form(b, WIDE)))
                unit = self.scale(a, WIDE) * self.scale(b, WIDE)
                return self._rescale(product, unit / target, limit)
            case n.Combine("div", a, b):
                return self._divide(a, b, target, limit)
            case n.Reduce("sum", source, axes):
                total = self.push(g.Sum(self.form(source, WIDE), axes))
                return self._rescale(total, self.scale(source, WIDE) / target, limit)
            case n.PoolNode("sum", source, window, strides):
                total = self.push(g.Pool(self.form(source, WIDE), "sum", window, strides))
                return self._rescale(total, self.scale(source, WIDE) / target, limit)
            case _:
                raise AssertionError(kind)

    def _accumulate(self, node: int, target: float) -> Accumulator:
        key = (node, target)
        if key not in self._accumulators:
            kind = self._nodes[node].kind
            assert isinstance(kind, n.Linear)
            self._accumulators[key] = self._layer(kind, target)
        return self._accumulators[key]

    def _layer(self, layer: n.Linear, target: float) -> Accumulator:
        source = self.form(layer.source, OPERAND)
        unit = self.base(layer.source)
        channels = layer.kernel.shape[-1]
        tops = np.abs(layer.kernel.reshape(-1, channels)).max(axis=0)
        tops = np.maximum(tops.astype(np.float64), 1e-12)
        exponents = np.floor(np.log2(LIMIT * target / (unit * tops))).astype(np.int64)
        biases = np.maximum(np.abs(layer.bias.astype(np.float64)), 1e-12)
        room = np.floor(np.log2(_BIAS_MAX * target / biases)).astype(np.int64)
        exponents = np.minimum(np.minimum(exponents, room), _EXPONENT_MAX)
        # Below -14 the bias is finer than its accumulator can hold; the weights then round more.
        exponents = np.maximum(exponents, -14)
        steps = target * 2.0 ** -exponents.astype(np.float64)
        kernel = np.clip(np.round(layer.kernel / (steps / unit)), -LIMIT, LIMIT).astype(np.int8)
        bias = np.clip(np.round(layer.bias / steps), -(2**30), 2**30).astype(np.int32)
        weight_name, bias_name = self._tensor("w", kernel), self._tensor("b", bias)
        operation: g.Operation
        if layer.kind == "dense":
            operation = g.Dense(source, weight_name, bias_name)
        else:
            make = g.Conv if layer.kind == "conv" else g.Depthwise
            operation = make(
                source, weight_name, bias_name, layer.strides, layer.pads, layer.dilations
            )
        return Accumulator(self.push(operation), exponents)

    def _shift(self, made: Accumulator, extra_bits: int, low: int, high: int) -> int:
        """Bring an accumulator to its target scale, `extra_bits` finer."""
        powers = made.exponents - extra_bits
        if (powers == 0).all() and low == -high:
            return self._clip(made.value, high)
        multiplier = (1 << np.maximum(-powers, 0)).astype(np.int32)
        shift = np.maximum(powers, 0).astype(np.int32)
        if (multiplier == multiplier[0]).all() and (shift == shift[0]).all():
            multiplier, shift = multiplier[:1], shift[:1]
        names = self._tensor("m", multiplier), self._tensor("s", shift)
        return self.push(g.Rescale(made.value, *names, low, high))

    def _relu(self, node: int, kind: n.Relu, bits: int) -> int:
        limit = LIMIT << (bits - 8)
        if isinstance(self._nodes[kind.source].kind, n.Linear):
            made = self._accumulate(kind.source, self.base(node))
            return self._shift(made, bits - 8, 0, limit)
        return self.push(g.Clip(self.form(kind.source, bits), 0, limit))

    def _table(self, kind: n.Pointwise, target: float, limit: int) -> int:
        exact = isinstance(self._nodes[kind.source].kind, n.Input)
        bits = OPERAND if exact else INDEX
        source = self.form(kind.source, bits)
        span = self.types[source]
        steps = np.arange(span.low, span.high + 1)
        values = kind.function((steps * self.scale(kind.source, bits)).astype(np.float32))
        # An index outside the function's domain (log of a negative) was never calibrated.
        finite = np.nan_to_num(np.asarray(values, np.float64) / target, nan=0.0)
        entries = np.clip(np.round(finite), -limit, limit)
        dtype = np.int16 if limit < 1 << 15 else np.int32
        return self.push(g.Table(source, self._tensor("t", entries.astype(dtype)), span.low))

    def _lookup(self, source: int, rows: n.Floats, target: float, limit: int) -> int:
        entries = np.clip(np.round(rows / target), -limit, limit)
        dtype = np.int16 if limit < 1 << 15 else np.int32
        table = self._tensor("t", entries.astype(dtype))
        return self.push(g.Embed(self._index(source), table, 0))

    def _index(self, node: int) -> int:
        """A node whose floats are whole numbers, as those numbers."""
        kind = self._nodes[node].kind
        match kind:
            case n.Move():
                return self._move(kind, self._index(kind.source))
            case n.ArgMaxNode(source):
                return self.push(g.ArgMax(self.form(source, WIDE)))
            case n.Pointwise() if self._is_whole(kind.source):
                return self._table(kind, 1.0, OUTPUT_LIMIT)
            case _:
                raise InvalidInput(
                    Code.NOT_CERTIFIED,
                    "an index is computed from values that quantisation may change",
                    hint="compute it from inputs or argmax: jnp.round(x * 127).astype(int)",
                    rule="convert",
                )

    def _is_whole(self, node: int) -> bool:
        """Whether a node loses nothing in integers: inputs and indices, moved or not."""
        kind = self._nodes[node].kind
        if isinstance(kind, n.Move):
            return self._is_whole(kind.source)
        return isinstance(kind, n.Input | n.ArgMaxNode)

    def _affine(self, node: int, kind: n.Affine) -> int:
        source = self.form(kind.source, WIDE)
        unit, target = self.scale(kind.source, WIDE), self.scale(node, WIDE)
        limit = LIMIT << (WIDE - 8)
        slope, offset = np.broadcast_arrays(
            np.asarray(kind.scale, np.float64).reshape(-1),
            np.asarray(kind.offset, np.float64).reshape(-1),
        )
        tops = np.maximum(np.abs(slope) * unit, 1e-12)
        exponents = np.floor(np.log2(((1 << 14) - 1) * target / tops))
        room = np.floor(np.log2((1 << 28) * target / np.maximum(np.abs(offset), 1e-12)))
        exponents = np.clip(np.minimum(exponents, room), 0, 24)
        steps = target * 2.0**-exponents
        factor = np.clip(np.round(slope * unit / steps), -(1 << 15), 1 << 15)
        factors = self._constant_row(factor, kind.source)
        offsets = self._constant_row(np.round(offset / steps), kind.source)
        total = self.push(g.Add(self.push(g.Multiply(source, factors)), offsets))
        made = Accumulator(total, exponents.astype(np.int64))
        return self._shift(made, 0, -limit, limit)

    def _divide(self, a: int, b: int, target: float, limit: int) -> int:
        numerator = self._rescale(self.form(a, WIDE), 2.0**14, 1 << 28)
        below = self.form(b, WIDE)
        divisor = self.push(g.Clip(below, 1, max(self.types[below].high, 1)))
        quotient = self.push(g.FloorDivide(numerator, divisor))
        unit = self.scale(a, WIDE) / (self.scale(b, WIDE) * 2.0**14)
        return self._rescale(quotient, unit / target, limit)

    def _recurrent(self, kind: n.Recurrent) -> int:
        """A scan; its own carry comes first, for that is the one it gives."""
        source = self.form(kind.source, OPERAND)
        count = len(kind.results)
        order = [kind.carry, *(i for i in range(count) if i != kind.carry)]
        nodes = fold(kind.body, kind.results)
        carries = [index + 1 for index in order]
        body = Emitter(nodes, self.base(kind.source), self.tensors, carries)
        limit = LIMIT << (WIDE - 8)
        results = tuple(
            body.at(kind.results[index], WIDE, body.scale(index + 1, WIDE), limit)
            for index in order
        )
        shapes = tuple(nodes[index].shape for index in carries)
        scan = g.Scan(
            source, shapes, (limit,) * count, tuple(body.operations), results,
            emit_all=kind.emit_all, reverse=kind.reverse,
        )  # fmt: skip
        return self.push(scan)

    def _move(self, kind: n.Move, source: int) -> int:
        if kind.kind == "reshape":
            return self.push(g.Reshape(source, kind.first))
        if kind.kind == "transpose":
            return self.push(g.Transpose(source, kind.first))
        return self.push(g.Slice(source, kind.first, kind.second))

    def at(self, node: int, bits: int, target: float, limit: int) -> int:
        """A form of a node at another scale than its own."""
        source, own = self.form(node, bits), self.scale(node, bits)
        return source if own == target else self._rescale(source, own / target, limit)

    def _rescale(self, source: int, factor: float, limit: int) -> int:
        multiplier, shift = ratio(factor, max(self.types[source].magnitude, 1))
        if (multiplier, shift) == (1, 0):
            return self._clip(source, limit)
        names = (
            self._tensor("m", np.array([multiplier], np.int32)),
            self._tensor("s", np.array([shift], np.int32)),
        )
        return self.push(g.Rescale(source, *names, -limit, limit))

    def _clip(self, source: int, limit: int) -> int:
        if self.types[source].magnitude <= limit:
            return source
        return self.push(g.Clip(source, -limit, limit))

    def _constant(self, values: NDArray[np.floating], limit: int) -> int:
        whole = np.clip(values, -limit, limit).astype(np.int32)
        return self.push(g.Constant(self._tensor("c", whole)))

    def _constant_row(self, values: NDArray[np.floating], like: int) -> int:
        rank = len(self._nodes[like].shape)
        return self._constant(values.reshape((1,) * (rank - 1) + (-1,)), 1 << 29)

    def _tensor(self, prefix: str, tensor: Tensor) -> str:
        for name, known in self.tensors.items():
            same = name.startswith(prefix) and known.shape == tensor.shape
            if same and known.dtype == tensor.dtype and bool((known == tensor).all()):
                return name
        name = f"{prefix}{len(self.tensors)}"
        self.tensors[name] = tensor
        return name
