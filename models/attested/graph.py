"""The float graph: a closed list of operations on float32, with static shapes, as data.

A package of a stranger holds only this and tensors, so opening it runs no code of its own. Value 0
is the input, `f32[1, *input_shape]`, the window divided by 127; every operation appends one value;
the last one, `f32[1, outputs]`, is the result. Meaning: the operation of `jax.lax` of that name.
"""

from __future__ import annotations

from typing import Union

from andon.core.codec import Record

OPERATIONS_MAX = 8192
AXES_MAX = 6

POINTWISE = frozenset(
    {
        *("abs", "add", "and", "cbrt", "ceil", "clamp", "cos", "div", "eq", "erf", "exp", "exp2"),
        *("expm1", "floor", "ge", "gt", "is_finite", "le", "log", "log1p", "logistic", "lt"),
        *("max", "min", "mul", "ne", "neg", "not", "or", "pow", "rsqrt", "select_n", "sign"),
        *("sin", "sqrt", "square", "sub", "tanh"),
    }
)
REDUCTIONS = ("sum", "max", "min", "argmax", "argmin")
DTYPES = ("float32", "int32", "bool")


class Constant(Record, frozen=True, tag="constant"):
    """A tensor of the weights file, float32."""

    tensor: str


class Pointwise(Record, frozen=True, tag="pointwise"):
    """One of `POINTWISE` on values of equal shape, or scalars."""

    name: str
    inputs: tuple[int, ...]


class Power(Record, frozen=True, tag="power"):
    """`x ** exponent` for a whole exponent from -16 to 16."""

    x: int
    exponent: int


class Convert(Record, frozen=True, tag="convert"):
    """The same numbers as another of `DTYPES`."""

    x: int
    dtype: str


class Dot(Record, frozen=True, tag="dot"):
    """Sum of products over the contracted axes."""

    a: int
    b: int
    contract_a: tuple[int, ...]
    contract_b: tuple[int, ...]
    batch_a: tuple[int, ...]
    batch_b: tuple[int, ...]


class Conv(Record, frozen=True, tag="conv"):
    """Convolution; the layouts are permutations as `ConvDimensionNumbers` has them."""

    x: int
    kernel: int
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    groups: int
    input_layout: tuple[int, ...]
    kernel_layout: tuple[int, ...]
    output_layout: tuple[int, ...]


class Reduce(Record, frozen=True, tag="reduce"):
    """One of `REDUCTIONS` over axes, which disappear."""

    name: str
    x: int
    axes: tuple[int, ...]


class Pool(Record, frozen=True, tag="pool"):
    """Fold windows of every axis; `name` is "max" or "sum"."""

    name: str
    x: int
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


class Broadcast(Record, frozen=True, tag="broadcast"):
    """Axis i of x becomes axis `axes[i]` of the shape; the rest repeats."""

    x: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]


class Reshape(Record, frozen=True, tag="reshape"):
    """The same elements in row-major order."""

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
    """`x[starts[0]:stops[0]:strides[0], ...]` over every axis."""

    x: int
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    strides: tuple[int, ...]


class Reverse(Record, frozen=True, tag="reverse"):
    """Elements of some axes in the other order."""

    x: int
    axes: tuple[int, ...]


Operation = Union[
    Constant, Pointwise, Power, Convert, Dot, Conv, Reduce, Pool, Broadcast, Reshape, Transpose,
    Concat, Slice, Reverse,
]  # fmt: skip


class FloatGraph(Record, frozen=True):
    """An input shape and the operations on it, in order."""

    input_shape: tuple[int, ...]
    operations: tuple[Operation, ...]


def operands(operation: Operation) -> tuple[int, ...]:
    """The values that an operation reads, in order."""
    match operation:
        case Constant():
            return ()
        case Pointwise() | Concat():
            return operation.inputs
        case Dot(a, b):
            return (a, b)
        case Conv(x, kernel):
            return (x, kernel)
        case _:
            return (operation.x,)
