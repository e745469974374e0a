"""The float graph between a jaxpr and integers: few kinds of nodes, each with its sample values.

Batch norm, biases and scales have become `Affine` parameters; chains of pointwise functions of
one value have become one `Pointwise` function, whatever their spelling (gelu, silu, softplus).
Every node holds the float values it takes on the calibration batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Function = Callable[[Floats], Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A dense layer or convolution of node `source`; `kernel[..., outputs]`, `bias[outputs]`.

    `kind` is "dense", "conv" or "depthwise"; the last three are empty for dense.
    """

    kind: str
    source: int
    kernel: Floats
    bias: Floats
    strides: tuple[int, ...] = ()
    pads: tuple[tuple[int, int], ...] = ()
    dilations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Affine:
    """`scale * source + offset`, scalars or one entry a channel."""

    source: int
    scale: Floats
    offset: Floats


@dataclass(frozen=True, slots=True)
class Relu:
    """`max(source, 0)`."""

    source: int


@dataclass(frozen=True, slots=True)
class Pointwise:
    """`function(source)`, element by element."""

    source: int
    function: Function


@dataclass(frozen=True, slots=True)
class Combine:
    """`a` and `b` combined: "add", "sub", "mul", "div", "max" or "matmul"."""

    kind: str
    a: int
    b: int


@dataclass(frozen=True, slots=True)
class Reduce:
    """Sum or maximum ("sum", "max") over axes without the batch; they remain with size 1."""

    kind: str
    source: int
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoolNode:
    """Sum or maximum ("sum", "max") over windows of the spatial axes."""

    kind: str
    source: int
    window: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """Elements in another place: "reshape", "transpose", "slice"; arguments as in the graph."""

    kind: str
    source: int
    first: tuple[int, ...]
    second: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ArgMaxNode:
    """The index of the largest entry of the last axis, which remains with size 1."""

    source: int


@dataclass(frozen=True, slots=True)
class Lookup:
    """`rows[index]`: an embedding; the value of `source` is a whole number."""

    source: int
    rows: Floats


@dataclass(frozen=True, slots=True)
class Join:
    """Concatenate along an axis (without the batch)."""

    sources: tuple[int, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A constant that meets a computed value (a positional embedding)."""

    value: Floats


@dataclass(frozen=True, slots=True)
class Input:
    """The window, as the float that the model sees."""


@dataclass(frozen=True, slots=True)
class Carry:
    """In the body of a `Recurrent`: what carry `index` holds before a step."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrent:
    """A fold over the first axis of `source`: a GRU, an LSTM, any scan that starts at zero.

    `body` are nodes of one step: node 0 is the step's input, nodes 1..n are the carries; their
    values are those of all steps, stacked. `results[i]` is the body node that becomes carry i;
    the value is carry `carry`, of the last step or of every step.
    """

    source: int
    body: tuple[Node, ...]
    results: tuple[int, ...]
    carry: int
    emit_all: bool
    reverse: bool


NodeKind = (
    Linear | Affine | Relu | Pointwise | Combine | Reduce | PoolNode | Move | Join | Recurrent
    | Carry | Fixed | Input | ArgMaxNode | Lookup
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """A node and its values on the calibration batch: `f32[batch, *shape]`."""

    kind: NodeKind
    values: Floats

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape per example."""
        return self.values.shape[1:]


def sources(kind: NodeKind) -> tuple[int, ...]:
    """The nodes that a node reads."""
    match kind:
        case Join():
            return kind.sources
        case Combine():
            return (kind.a, kind.b)
        case Fixed() | Input() | Carry():
            return ()
        case _:
            return (kind.source,)
