"""Carriers of a value inside XLA and the operations that need no ruling: one array, many dtypes."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
from jax import lax

from models import graph as g
from models.rules import FLOAT_EXACT_MAX, INTEGER_MAX, ValueType


class Carried:
    """One value in the carriers it has been needed in so far."""

    __slots__ = ("_forms", "type")

    def __init__(self, kind: ValueType, array: jax.Array) -> None:
        self.type = kind
        self._forms: dict[str, jax.Array] = {str(array.dtype): array}

    def get(self, dtype: str) -> jax.Array:
        """The value as `dtype`; the caller knows from `type` that it fits."""
        if dtype not in self._forms:
            source = self._forms.get("int32", next(iter(self._forms.values())))
            self._forms[dtype] = source.astype(dtype)
        return self._forms[dtype]

    def has(self, dtype: str) -> bool:
        """Whether this carrier costs nothing."""
        return dtype in self._forms

    @property
    def any(self) -> jax.Array:
        """The value in the carrier it was made in, for operations that only move elements."""
        return next(iter(self._forms.values()))


def plain(operation: g.Operation, read: list[Carried]) -> jax.Array:
    """Operations that only move, compare or combine elements."""
    x = read[0]
    match operation:
        case g.Add():
            return x.get("int32") + read[1].get("int32")
        case g.Subtract():
            return x.get("int32") - read[1].get("int32")
        case g.Multiply():
            return x.get("int32") * read[1].get("int32")
        case g.FloorDivide():
            return floor_divide(x, read[1])
        case g.SquareRoot():
            return square_root(x.get("int32"))
        case g.Sum(_, axes):
            # Never a float reduction (R8): the order of a float sum is not ours to choose.
            places = tuple(a + 1 for a in axes)
            return x.get("int32").sum(axis=places, keepdims=True, dtype=jnp.int32)
        case g.Max(_, axes):
            return x.any.max(axis=tuple(a + 1 for a in axes), keepdims=True)
        case g.Pool():
            return pool(operation, x)
        case g.ArgMax():
            return x.any.argmax(axis=-1, keepdims=True).astype(jnp.int32)
        case g.Reshape(_, shape):
            return x.any.reshape(x.any.shape[0], *shape)
        case g.Transpose(_, axes):
            return x.any.transpose(0, *(a + 1 for a in axes))
        case g.Concat(_, axis):
            dtype = str(x.any.dtype) if len({str(v.any.dtype) for v in read}) == 1 else "int32"
            return jnp.concatenate([v.get(dtype) for v in read], axis=axis + 1)
        case g.Slice(_, starts, stops):
            spans = tuple(slice(i, j) for i, j in zip(starts, stops, strict=True))
            return x.any[(slice(None), *spans)]
        case _:
            raise AssertionError(operation)


def dot(a: jax.Array, b: jax.Array, dtype: str) -> jax.Array:
    """Contract the last axis of `a` with the first of `b`, accumulating in `dtype`."""
    dimensions = (((a.ndim - 1,), (0,)), ((), ()))
    precision = lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    return lax.dot_general(
        a, b, dimensions, precision=precision, preferred_element_type=jnp.dtype(dtype)
    )


def clip(x: Carried, low: int, high: int) -> jax.Array:
    """Clip in the cheapest carrier that holds the bounds exactly."""
    small = max(abs(low), abs(high)) <= FLOAT_EXACT_MAX
    return jnp.clip(x.get("float32" if x.has("float32") and small else "int32"), low, high)


def taps(operation: g.Conv | g.Depthwise, kernel: tuple[int, ...], x: jax.Array) -> list[jax.Array]:
    """The strided views of padded x that line up with each kernel tap, in row-major order."""
    strides, dilations = operation.strides, operation.dilations
    padded = jnp.pad(x, [(0, 0), *operation.pads, (0, 0)])
    window = kernel[: len(strides)]
    spans = [
        (padded.shape[i + 1] - (window[i] - 1) * dilations[i] - 1) // strides[i] * strides[i] + 1
        for i in range(len(strides))
    ]
    views = []
    for tap in product(*(range(size) for size in window)):
        starts = [t * d for t, d in zip(tap, dilations, strict=True)]
        limits = [start + span for start, span in zip(starts, spans, strict=True)]
        views.append(
            lax.slice(
                padded,
                (0, *starts, 0),
                (padded.shape[0], *limits, padded.shape[-1]),
                (1, *strides, 1),
            )
        )
    return views


def pool(operation: g.Pool, x: Carried) -> jax.Array:
    """Max, or sum and exact division, over windows."""
    window, strides = (1, *operation.window, 1), (1, *operation.strides, 1)
    if operation.reduce == "max":
        # Every value is certified to be at least -INTEGER_MAX; int8 ones at least -127.
        lowest = -float(INTEGER_MAX) if x.any.dtype == jnp.float32 else x.type.low
        start = jnp.asarray(lowest, x.any.dtype)
        return jnp.asarray(lax.reduce_window(x.any, start, lax.max, window, strides, "VALID"))
    total = lax.reduce_window(x.get("int32"), jnp.int32(0), lax.add, window, strides, "VALID")
    return jnp.asarray(total)


def floor_divide(a: Carried, b: Carried) -> jax.Array:
    """Divide integers, rounding down."""
    left, right = a.get("int32"), b.get("int32")
    quotient = lax.div(left, jnp.broadcast_to(right, jnp.broadcast_shapes(left.shape, right.shape)))
    if a.type.low >= 0:
        return quotient
    return quotient - ((left - quotient * right) < 0)


def square_root(x: jax.Array) -> jax.Array:
    """Integer square root, one bit a step from the top (R6): no float root, no rounding."""
    root = jnp.zeros_like(x)
    for bit in range(15, -1, -1):
        trial = root + (1 << bit)
        # trial**2 may pass int32 only where trial > 46,340, whose square exceeds any int32.
        fits = (trial <= 46340) & (jnp.minimum(trial, 46340) ** 2 <= x)
        root = jnp.where(fits, trial, root)
    return root
