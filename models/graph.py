"""The integer graph: a typed, static, declarative list of operations on integers.

Value 0 is the input, an int8 tensor in [-127, 127]; value i is the result of operation i - 1; the
last value is the output, one integer per output. Shapes are per example; a batch axis is implied
in front of every value. Constants are named tensors of the weights file. What each operation
means is `models.interpreter`; what is allowed is `models.certificate`. Source: exact_ml 2.9.
"""

from __future__ import annotations

from typing import Union

from andon.core.codec import Record

OPERATIONS_MAX = 1024
INPUT = 0


class Dense(Record, frozen=True, tag="dense"):
    """`x[..., k] @ weight[k, n] + bias[n]`."""

    x: int
    weight: str
    bias: str


class Conv(Record, frozen=True, tag="conv"):
    """Cross-correlate over one or two spatial axes, channels last, zero padding.

    `weight[*window, channels, outputs]`; one stride, pad pair and dilation a spatial axis.
    """

    x: int
    weight: str
    bias: str
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]


class Depthwise(Record, frozen=True, tag="depthwise"):
    """Like `Conv`, each channel on its own: `weight[*window, channels]`, `bias[channels]`."""

    x: int
    weight: str
    bias: str
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]


class MatMul(Record, frozen=True, tag="matmul"):
    """`a[..., m, k] @ b[..., k, n]`; both are computed values and leading axes are equal."""

    a: int
    b: int


class Rescale(Record, frozen=True, tag="rescale"):
    """`clip((x * multiplier + 2**(shift - 1)) >> shift, low, high)` per channel, rounding half up.

    `multiplier` and `shift` have one entry or one per channel (last axis); shift 0 adds nothing.
    """

    x: int
    multiplier: str
    shift: str
    low: int
    high: int


class Table(Record, frozen=True, tag="table"):
    """`table[clip(x - first, 0, len(table) - 1)]`."""

    x: int
    table: str
    first: int


class Clip(Record, frozen=True, tag="clip"):
    """`min(max(x, low), high)`."""

    x: int
    low: int
    high: int


class Constant(Record, frozen=True, tag="constant"):
    """A tensor of the weights file, the same for every example."""

    tensor: str


class Add(Record, frozen=True, tag="add"):
    """`a + b`; axes of size 1 are broadcast."""

    a: int
    b: int


class Subtract(Record, frozen=True, tag="subtract"):
    """`a - b`; axes of size 1 are broadcast."""

    a: int
    b: int


class Multiply(Record, frozen=True, tag="multiply"):
    """`a * b`; axes of size 1 are broadcast."""

    a: int
    b: int


class FloorDivide(Record, frozen=True, tag="floor_divide"):
    """`a // b` rounding down; `b` is certified positive."""

    a: int
    b: int


class SquareRoot(Record, frozen=True, tag="square_root"):
    """The largest integer whose square is at most `x`; `x` is certified non-negative."""

    x: int


class Sum(Record, frozen=True, tag="sum"):
    """Sum over `axes`, which remain with size 1."""

    x: int
    axes: tuple[int, ...]


class Max(Record, frozen=True, tag="max"):
    """Maximum over `axes`, which remain with size 1."""

    x: int
    axes: tuple[int, ...]


class Pool(Record, frozen=True, tag="pool"):
    """Maximum or sum over windows of the spatial axes; `reduce` is "max" or "sum"; no padding."""

    x: int
    reduce: str
    window: tuple[int, ...]
    strides: tuple[int, ...]


class ArgMax(Record, frozen=True, tag="argmax"):
    """Index of the maximum of the last axis, which remains with size 1; the lowest index wins."""

    x: int


class Reshape(Record, frozen=True, tag="reshape"):
    """The same elements in row-major order under another shape."""

    x: int
    shape: tuple[int, ...]


class Transpose(Record, frozen=True, tag="transpose"):
    """Axis i of the result is axis `axes[i]` of x."""

    x: int
    axes: tuple[int, ...]


class Concat(Record, frozen=True, tag="concat"):
    """Join values along one axis."""

    inputs: tuple[int, ...]
    axis: int


class Slice(Record, frozen=True, tag="slice"):
    """`x[starts[0]:stops[0], ...]` over every axis."""

    x: int
    starts: tuple[int, ...]
    stops: tuple[int, ...]


class Embed(Record, frozen=True, tag="embed"):
    """`table[clip(x - first, 0, rows - 1)]`: adds a last axis of the table's width."""

    x: int
    table: str
    first: int


class Trees(Record, frozen=True, tag="trees"):
    """Sum the leaves that a forest of binary trees selects: `x[features] -> [outputs]`.

    Node tables are `[trees, nodes]`; at a node, go left when `x[feature] <= threshold`; a leaf
    points to itself on both sides. `depth` steps are taken from node 0. `value[trees, nodes, n]`.
    """

    x: int
    feature: str
    threshold: str
    left: str
    right: str
    value: str
    depth: int


class Scan(Record, frozen=True, tag="scan"):
    """Fold a body over the first axis of `x`, carrying integers.

    In the body, value 0 is one step of x, values 1..n are the carries (zero at first, certified
    to stay within `bounds`), then come the results of `body`. `results` names the value that
    becomes each carry. The result is carry 0: of the last step, or of every step if `emit_all`.
    A body holds no further scan.
    """

    x: int
    shapes: tuple[tuple[int, ...], ...]
    bounds: tuple[int, ...]
    body: tuple[Operation, ...]
    results: tuple[int, ...]
    emit_all: bool
    reverse: bool


Operation = Union[
    Dense, Conv, Depthwise, MatMul, Rescale, Table, Clip, Constant, Add, Subtract, Multiply,
    FloorDivide, SquareRoot, Sum, Max, Pool, ArgMax, Reshape, Transpose, Concat, Slice, Embed,
    Trees, Scan,
]  # fmt: skip


class Graph(Record, frozen=True):
    """An input shape and the operations on it, in order."""

    input_shape: tuple[int, ...]
    operations: tuple[Operation, ...]


def name_of(operation: Operation) -> str:
    """The operation's tag, for messages."""
    tag = operation.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def operands(operation: Operation) -> tuple[int, ...]:
    """The values that an operation reads, in order."""
    if isinstance(operation, Constant):
        return ()
    if isinstance(operation, Concat):
        return operation.inputs
    if isinstance(operation, MatMul | Add | Subtract | Multiply | FloorDivide):
        return (operation.a, operation.b)
    return (operation.x,)


def tensors(operation: Operation) -> tuple[str, ...]:
    """The names of the constants that an operation reads, in order; a scan's body included."""
    match operation:
        case Dense() | Conv() | Depthwise():
            return (operation.weight, operation.bias)
        case Rescale():
            return (operation.multiplier, operation.shift)
        case Table() | Embed():
            return (operation.table,)
        case Constant():
            return (operation.tensor,)
        case Trees():
            return (
                operation.feature,
                operation.threshold,
                operation.left,
                operation.right,
                operation.value,
            )
        case Scan():
            return tuple(name for inner in operation.body for name in tensors(inner))
        case _:
            return ()
