"""Check and run a float graph with JAX: shapes first, in the abstract, then the real thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import assert_never

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.attested import graph as g

Floats = NDArray[np.float32]
ELEMENTS_MAX = 1 << 24
"""Of one value: 64 MiB of float32."""
ELEMENTS_SUM_MAX = 1 << 27
MULTIPLY_ADDS_MAX = 1 << 36
EXPONENT_MAX = 16


def check_graph(graph: g.FloatGraph, tensors: Mapping[str, Floats]) -> tuple[int, int]:
    """Infer every shape without computing; gives outputs and multiply-adds.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE with the operation that is wrong.
    """
    if not 1 <= len(graph.operations) <= g.OPERATIONS_MAX:
        raise _bad(f"a graph has 1 to {g.OPERATIONS_MAX} operations")
    values = [_Shape((1, *graph.input_shape), np.dtype(np.float32))]
    work, elements = 0, 0
    for index, operation in enumerate(graph.operations):
        _check_numbers(operation, len(values), index)
        read = [values[i] for i in g.operands(operation)]
        try:
            shape = _infer(operation, read, tensors)
        except (TypeError, ValueError, IndexError, KeyError, OverflowError, AssertionError) as why:
            raise _bad(f"operation {index}: {str(why)[:200]}", operation=index) from None
        size = prod(shape.shape)
        elements += size
        work += _multiply_adds(operation, read, size)
        if size > ELEMENTS_MAX or elements > ELEMENTS_SUM_MAX or work > MULTIPLY_ADDS_MAX:
            raise _bad(f"operation {index} is too large", operation=index)
        values.append(shape)
    last = values[-1]
    if len(last.shape) != 2 or last.shape[0] != 1 or last.dtype != jnp.float32:
        raise _bad("the result is f32[1, outputs]")
    return last.shape[1], work


@dataclass(frozen=True, slots=True)
class _Shape:
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def _infer(operation: g.Operation, read: list[_Shape], tensors: Mapping[str, Floats]) -> _Shape:
    abstract = [jax.ShapeDtypeStruct(item.shape, item.dtype) for item in read]  # type: ignore[no-untyped-call] # untyped in jax
    found = jax.eval_shape(lambda *given: _emit(operation, list(given), tensors), *abstract)
    return _Shape(tuple(int(size) for size in found.shape), np.dtype(found.dtype))


def compile_graph(
    graph: g.FloatGraph, tensors: Mapping[str, Floats], backend: str
) -> Callable[[NDArray[np.int8]], Floats]:
    """Give `i8[*input_shape] -> f32[outputs]`, one window a call, compiled on its first use.

    One window at a time, so that the batch has no part in the rounding.
    """
    device = jax.devices(backend)[0]

    def run(window: jax.Array) -> jax.Array:
        values = [(window.astype(jnp.float32) / jnp.float32(127.0))[jnp.newaxis]]
        for operation in graph.operations:
            values.append(_emit(operation, [values[i] for i in g.operands(operation)], tensors))
        return jnp.asarray(values[-1][0])

    compiled = jax.jit(run)
    return lambda window: np.asarray(compiled(jax.device_put(window, device)))


def _emit(
    operation: g.Operation, read: list[jax.Array], tensors: Mapping[str, Floats]
) -> jax.Array:
    highest = lax.Precision.HIGHEST
    match operation:
        case g.Constant(tensor):
            return jnp.asarray(tensors[tensor])
        case g.Pointwise(name):
            return _pointwise(name, read)
        case g.Power(_, exponent):
            return jnp.asarray(lax.integer_pow(read[0], exponent))
        case g.Convert(_, dtype):
            return lax.convert_element_type(read[0], jnp.dtype(dtype))
        case g.Dot(_, _, contract_a, contract_b, batch_a, batch_b):
            numbers = ((contract_a, contract_b), (batch_a, batch_b))
            return lax.dot_general(read[0], read[1], numbers, precision=highest)
        case g.Conv():
            return lax.conv_general_dilated(
                read[0],
                read[1],
                operation.strides,
                operation.pads,
                rhs_dilation=operation.dilations,
                dimension_numbers=lax.ConvDimensionNumbers(
                    operation.input_layout, operation.kernel_layout, operation.output_layout
                ),
                feature_group_count=operation.groups,
                precision=highest,
            )
        case g.Reduce(name, _, axes):
            return _reduce(name, read[0], axes)
        case g.Pool(name, _, window, strides, pads):
            start = jnp.float32(-jnp.inf if name == "max" else 0.0)
            fold = lax.max if name == "max" else lax.add
            return jnp.asarray(lax.reduce_window(read[0], start, fold, window, strides, pads))
        case g.Broadcast(_, shape, axes):
            return lax.broadcast_in_dim(read[0], shape, axes)
        case g.Reshape(_, shape):
            return lax.reshape(read[0], shape)
        case g.Transpose(_, axes):
            return lax.transpose(read[0], axes)
        case g.Concat(_, axis):
            return lax.concatenate(read, axis)
        case g.Slice(_, starts, stops, strides):
            return lax.slice(read[0], starts, stops, strides)
        case g.Reverse(_, axes):
            return lax.rev(read[0], axes)
    assert_never(operation)


def _pointwise(name: str, read: list[jax.Array]) -> jax.Array:
    if name == "clamp":
        return lax.clamp(read[0], read[1], read[2])
    if name == "select_n":
        return lax.select_n(read[0], *read[1:])
    spelled = {"and": "bitwise_and", "or": "bitwise_or", "not": "bitwise_not"}.get(name, name)
    result = getattr(lax, spelled)(*read)
    assert isinstance(result, jax.Array)
    return result


def _reduce(name: str, x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    match name:
        case "sum":
            return jnp.sum(x, axis=axes)
        case "max":
            return jnp.max(x, axis=axes)
        case "min":
            return jnp.min(x, axis=axes)
        case "argmax":
            return lax.argmax(x, axes[0], jnp.int32)
        case _:
            return lax.argmin(x, axes[0], jnp.int32)


def _check_numbers(operation: g.Operation, known: int, index: int) -> None:
    """Names and numbers that would reach JAX, before it sees them."""
    if any(not 0 <= place < known for place in g.operands(operation)):
        raise _bad(f"operation {index} reads a value that is not there", operation=index)
    allowed = True
    match operation:
        case g.Pointwise(name):
            allowed = name in g.POINTWISE and len(operation.inputs) <= g.AXES_MAX
        case g.Power(_, exponent):
            allowed = abs(exponent) <= EXPONENT_MAX
        case g.Convert(_, dtype):
            allowed = dtype in g.DTYPES
        case g.Reduce(name, _, axes):
            allowed = name in g.REDUCTIONS and 1 <= len(axes) <= g.AXES_MAX
        case g.Pool(name):
            allowed = name in ("max", "sum") and _small(operation.window, operation.strides)
            allowed = allowed and all(_small(pair) for pair in operation.pads)
        case g.Conv():
            allowed = _small(operation.strides, operation.dilations, (operation.groups,))
            allowed = allowed and all(_small(pair) for pair in operation.pads)
        case g.Broadcast(_, shape) | g.Reshape(_, shape):
            allowed = len(shape) <= g.AXES_MAX and _small(shape)
        case g.Concat(inputs):
            allowed = 1 <= len(inputs) <= ELEMENTS_MAX
        case _:
            pass
    if not allowed:
        raise _bad(f"operation {index} is out of bounds", operation=index)


def _small(*numbers: tuple[int, ...]) -> bool:
    return all(0 <= number <= ELEMENTS_MAX for listed in numbers for number in listed)


def _multiply_adds(operation: g.Operation, read: list[_Shape], elements: int) -> int:
    match operation:
        case g.Dot():
            return elements * prod(read[0].shape[axis] for axis in operation.contract_a)
        case g.Conv():
            kernel = read[1].shape
            return elements * prod(kernel) // max(1, kernel[operation.kernel_layout[0]])
        case g.Pool():
            return elements * prod(operation.window)
        case _:
            return elements


def _bad(message: str, **fields: int) -> InvalidInput:
    return InvalidInput(
        Code.BAD_MODEL_PACKAGE, message, hint="build it with models.attested.package", **fields
    )
