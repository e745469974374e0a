"""Random certified graphs: every operation, odd shapes, operands at the edges of their ranges."""

from __future__ import annotations

import numpy as np

from andon.core.errors import InvalidInput
from models import graph as g
from models.certificate import judge
from models.rules import OPERAND_MAX, Tensor, ValueType

SHAPES = ((7,), (24,), (9, 4), (12, 3), (6, 5, 2), (8, 8, 1))


class Sketch:
    """A graph in the making; what the rules refuse is simply not added."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        shape = SHAPES[random.integers(len(SHAPES))]
        self.types = [ValueType(shape, -OPERAND_MAX, OPERAND_MAX)]
        self.operations: list[g.Operation] = []
        self.tensors: dict[str, Tensor] = {}

    def tensor(self, tensor: Tensor) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = tensor
        return name

    def push(self, operation: g.Operation) -> int:
        self.types.append(judge(operation, self.types, self.tensors).type)
        self.operations.append(operation)
        return len(self.operations)

    def weight(self, *shape: int) -> str:
        if self.random.random() < 0.3:
            return self.tensor(self.random.choice([-127, 127], shape).astype(np.int8))
        return self.tensor(self.random.integers(-127, 128, shape).astype(np.int8))

    def bias(self, size: int) -> str:
        return self.tensor(self.random.integers(-5000, 5000, size).astype(np.int32))

    def operand(self, value: int) -> int:
        """The value rescaled into int8, by shift or by multiplier, per channel or not."""
        kind = self.types[value]
        if kind.magnitude <= OPERAND_MAX:
            return value
        channels = kind.shape[-1] if self.random.random() < 0.7 else 1
        bits = int(np.ceil(np.log2(kind.magnitude / OPERAND_MAX)))
        low = -OPERAND_MAX if self.random.random() < 0.5 else 0
        if self.random.random() < 0.5:
            multiplier = np.ones(channels, np.int32)
            shift = (bits - self.random.integers(0, 3, channels)).clip(0).astype(np.int32)
        else:
            multiplier = self.random.integers(1 << 14, 1 << 15, channels).astype(np.int32)
            shift = (bits + 14 - self.random.integers(0, 2, channels)).clip(13).astype(np.int32)
        names = self.tensor(multiplier), self.tensor(shift)
        return self.push(g.Rescale(value, *names, low, OPERAND_MAX))

    def table(self, size: int, span: int) -> str:
        return self.tensor(self.random.integers(-span, span + 1, size).astype(np.int16))


def random_graph(seed: int) -> tuple[g.Graph, dict[str, Tensor]]:
    """A graph of 3 to 9 steps that ends in a vector."""
    random = np.random.default_rng(seed)
    sketch = Sketch(random)
    value = 0
    for _ in range(int(random.integers(3, 10))):
        step = STEPS[random.integers(len(STEPS))]
        before = len(sketch.operations), dict(sketch.tensors)
        try:
            value = step(sketch, value)
        except InvalidInput:
            del sketch.operations[before[0] :]
            del sketch.types[before[0] + 1 :]
            sketch.tensors = before[1]
    size = sketch.types[value].elements
    if size > 200:
        value = sketch.push(g.Max(value, tuple(range(len(sketch.types[value].shape) - 1)) or (0,)))
        size = sketch.types[value].elements
    sketch.push(g.Reshape(value, (size,)))
    graph = g.Graph(sketch.types[0].shape, tuple(sketch.operations))
    used = {name for operation in graph.operations for name in g.tensors(operation)}
    return graph, {name: sketch.tensors[name] for name in sorted(used)}


def dense(s: Sketch, v: int) -> int:
    v = s.operand(v)
    out = int(s.random.integers(1, 9))
    return s.push(g.Dense(v, s.weight(s.types[v].shape[-1], out), s.bias(out)))


def wide_dense(s: Sketch, v: int) -> int:
    """Wide enough that float32 needs several blocks."""
    v = s.operand(v)
    flat = s.push(g.Reshape(v, (s.types[v].elements,)))
    rows = s.push(g.Concat((flat,) * 40, 0))
    size = s.types[rows].elements
    kernel = s.tensor(s.random.choice([-127, 126, 127], (size, 3)).astype(np.int8))
    return s.push(g.Dense(rows, kernel, s.bias(3)))


def conv(s: Sketch, v: int) -> int:
    v = s.operand(v)
    rank = len(s.types[v].shape) - 1
    window = tuple(int(n) for n in s.random.integers(1, 4, rank))
    attributes = (
        tuple(int(n) for n in s.random.integers(1, 3, rank)),
        tuple((int(a), int(b)) for a, b in s.random.integers(0, 3, (rank, 2))),
        tuple(int(n) for n in s.random.integers(1, 3, rank)),
    )
    channels = s.types[v].shape[-1]
    if s.random.random() < 0.4:
        weight, bias = s.weight(*window, channels), s.bias(channels)
        return s.push(g.Depthwise(v, weight, bias, *attributes))
    out = int(s.random.integers(1, 6))
    return s.push(g.Conv(v, s.weight(*window, channels, out), s.bias(out), *attributes))


def matmul(s: Sketch, v: int) -> int:
    v = s.operand(v)
    rank = len(s.types[v].shape)
    axes = (*range(rank - 2), rank - 1, rank - 2)
    return s.push(g.MatMul(v, s.push(g.Transpose(v, axes))))


def table(s: Sketch, v: int) -> int:
    v = s.operand(v)
    return s.push(g.Table(v, s.table(int(s.random.integers(1, 300)), 3000), -100))


def embed(s: Sketch, v: int) -> int:
    v = s.operand(v)
    rows = s.tensor(s.random.integers(-127, 128, (50, 3)).astype(np.int8))
    return s.push(g.Embed(v, rows, -25))


def combine(s: Sketch, v: int) -> int:
    v = s.operand(v)
    other = s.push(g.Table(v, s.table(255, 2000), -127))
    if s.random.random() < 0.5:
        constant = s.random.integers(-99, 99, (1,) * (len(s.types[v].shape) - 1) + (1,))
        other = s.push(g.Constant(s.tensor(constant.astype(np.int32))))
    kind = (g.Add, g.Subtract, g.Multiply)[s.random.integers(3)]
    return s.push(kind(v, other) if s.random.random() < 0.5 else kind(other, v))


def divide(s: Sketch, v: int) -> int:
    v = s.operand(v)
    divisor = s.push(g.Clip(s.push(g.Table(v, s.table(255, 900), -127)), 1, 700))
    numerator = s.push(g.Multiply(v, s.push(g.Table(v, s.table(255, 9000), -127))))
    return s.push(g.FloorDivide(numerator, divisor))


def square_root(s: Sketch, v: int) -> int:
    v = s.operand(v)
    square = s.push(g.Multiply(v, v))
    scaled = s.push(g.Clip(square, 0, 1 << 14))
    many = s.push(g.Multiply(scaled, scaled))
    return s.push(g.SquareRoot(s.push(g.Clip(many, 0, (1 << 31) - 1))))


def reduce(s: Sketch, v: int) -> int:
    rank = len(s.types[v].shape)
    axes = (int(s.random.integers(rank)),)
    return s.push((g.Sum if s.random.random() < 0.5 else g.Max)(v, axes))


def pool(s: Sketch, v: int) -> int:
    rank = len(s.types[v].shape) - 1
    window = tuple(int(n) for n in s.random.integers(1, 4, rank))
    strides = tuple(int(n) for n in s.random.integers(1, 3, rank))
    return s.push(g.Pool(v, "max" if s.random.random() < 0.5 else "sum", window, strides))


def argmax(s: Sketch, v: int) -> int:
    return s.push(g.ArgMax(v))


def move(s: Sketch, v: int) -> int:
    shape = s.types[v].shape
    choice = s.random.integers(4)
    if choice == 0:
        return s.push(g.Transpose(v, tuple(int(i) for i in s.random.permutation(len(shape)))))
    if choice == 1:
        return s.push(g.Concat((v, v), int(s.random.integers(len(shape)))))
    if choice == 2:
        starts = tuple(int(s.random.integers(0, max(n // 2, 1))) for n in shape)
        return s.push(g.Slice(v, starts, shape))
    return s.push(g.Reshape(v, (*shape[:-1], 1, shape[-1])))


def clip(s: Sketch, v: int) -> int:
    low, high = sorted(int(n) for n in s.random.integers(-30_000_000, 30_000_000, 2))
    return s.push(g.Clip(v, low, high))


def trees(s: Sketch, v: int) -> int:
    flat = s.push(g.Reshape(v, (s.types[v].elements,)))
    count, nodes = 5, 7
    feature = s.random.integers(0, s.types[flat].elements, (count, nodes))
    threshold = s.random.integers(-90, 90, (count, nodes))
    left = np.tile([1, 3, 5, 3, 4, 5, 6], (count, 1))
    right = np.tile([2, 4, 6, 3, 4, 5, 6], (count, 1))
    value = s.random.integers(-1000, 1000, (count, nodes, 2))
    names = [s.tensor(t.astype(np.int32)) for t in (feature, threshold, left, right, value)]
    return s.push(g.Trees(flat, names[0], names[1], names[2], names[3], names[4], 2))


def scan(s: Sketch, v: int) -> int:
    """A recurrent layer over the first axis: one carry through a table, or a sum as the second."""
    v = s.operand(v)
    shape = s.types[v].shape
    if len(shape) == 1:
        v, shape = s.push(g.Reshape(v, (*shape, 1))), (*shape, 1)
    hidden = int(s.random.integers(1, 6))
    carry = (*shape[1:-1], hidden)
    shift = s.tensor(s.random.integers(7, 13, 1).astype(np.int32))
    multiplier = s.tensor(np.ones(1, np.int32))
    count = 1 if s.random.random() < 0.5 else 2
    first = count + 1
    body: list[g.Operation] = [
        g.Dense(0, s.weight(shape[-1], hidden), s.bias(hidden)),
        g.Dense(1, s.weight(hidden, hidden), s.bias(hidden)),
        g.Add(first, first + 1),
        g.Rescale(first + 2, multiplier, shift, -OPERAND_MAX, OPERAND_MAX),
    ]
    results: tuple[int, ...]
    bounds: tuple[int, ...]
    if count == 1:
        body.append(g.Table(first + 3, s.table(255, OPERAND_MAX), -OPERAND_MAX))
        results, bounds = (first + 4,), (OPERAND_MAX,)
    else:
        body += [g.Add(2, first + 3), g.Clip(first + 4, -9000, 9000)]
        results, bounds = (first + 3, first + 5), (OPERAND_MAX, 9000)
    flags = [bool(flag) for flag in s.random.random(2) < 0.5]
    return s.push(
        g.Scan(
            v, (carry,) * count, bounds, tuple(body), results, emit_all=flags[0], reverse=flags[1]
        )
    )


STEPS = (
    dense, dense, conv, conv, wide_dense, matmul, table, embed, combine, divide, square_root,
    reduce, pool, argmax, move, clip, trees, scan,
)  # fmt: skip
