"""The rules of `trace` for primitives that are not pointwise: layers, reductions, moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.extend import core

from models.convert import nodes as n
from models.convert.recurrence import recurrence
from models.convert.trace import Array, Chain, Floats, Known, Rule, Tracer, refusal


def _chain(value: Known) -> Chain:
    assert isinstance(value, Chain)
    return value


def _without_batch(axes: Sequence[int]) -> tuple[int, ...]:
    if 0 in axes:
        raise refusal("reduce", "it crosses the batch axis")
    return tuple(int(a) - 1 for a in sorted(axes))


def convolution(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Channels-last convolutions, plain or depthwise."""
    x, kernel = operands
    params = equation.params
    if isinstance(kernel, Chain) or not isinstance(x, Chain):
        raise refusal("conv_general_dilated", "its kernel must be constant")
    numbers = params["dimension_numbers"]
    rank = x.values.ndim - 2
    last = (0, rank + 1, *range(1, rank + 1))
    if numbers.lhs_spec != last or numbers.out_spec != last or rank not in (1, 2):
        raise refusal("conv_general_dilated", "channels must be last, with 1 or 2 spatial axes")
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise refusal("conv_general_dilated", "transposed convolution")
    out, inside, *spatial = numbers.rhs_spec
    weights = np.asarray(kernel, np.float32).transpose(*spatial, inside, out)
    groups = params["feature_group_count"]
    kind = "conv"
    if groups > 1:
        if weights.shape[-2] != 1 or groups != weights.shape[-1] or groups != x.values.shape[-1]:
            raise refusal("conv_general_dilated", "grouped, but not depthwise")
        kind, weights = "depthwise", weights[..., 0, :]
    linear = n.Linear(
        kind=kind,
        source=tracer.node(x),
        kernel=weights,
        bias=np.zeros(weights.shape[-1], np.float32),
        strides=tuple(params["window_strides"]),
        pads=tuple((int(a), int(b)) for a, b in params["padding"]),
        dilations=tuple(params["rhs_dilation"]),
    )
    return [tracer.chain(linear, results[0])]


def dot(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Dense layers (last axes times a constant) and products of two computed values."""
    (left_axes, right_axes), (left_batch, right_batch) = equation.params["dimension_numbers"]
    left, right = operands
    if isinstance(left, Chain) and isinstance(right, Chain):
        return [_matmul(tracer, equation, left, right, results[0])]
    if not isinstance(left, Chain):
        raise refusal("dot_general", "the constant must be the second operand")
    count = len(left_axes)
    rank = left.values.ndim
    tail = tuple(range(rank - count, rank))
    if left_batch or tuple(left_axes) != tail:
        raise refusal("dot_general", "it must contract the last axes of the computed value")
    kernel = np.asarray(right, np.float32)
    free = [axis for axis in range(kernel.ndim) if axis not in right_axes]
    matrix = kernel.transpose(*right_axes, *free)
    depth = int(np.prod(matrix.shape[:count]))
    flat = matrix.reshape(depth, -1)
    lead = left.values.shape[:-count]
    source = tracer.node(left)
    if count > 1:
        joined = left.values.reshape(*lead, depth)
        source = tracer.add(n.Move("reshape", source, (*lead[1:], depth)), joined)
    linear = n.Linear(
        kind="dense", source=source, kernel=flat, bias=np.zeros(flat.shape[1], np.float32)
    )
    values = results[0].reshape(*lead, flat.shape[1])
    made = tracer.chain(linear, values)
    if results[0].shape != values.shape:
        shape = results[0].shape[1:]
        return [tracer.chain(n.Move("reshape", made.root, shape), results[0])]
    assert right_batch == () or not right_batch
    return [made]


def _matmul(
    tracer: Tracer, equation: core.JaxprEqn, left: Chain, right: Chain, values: Array
) -> Chain:
    (left_axes, right_axes), (left_batch, right_batch) = equation.params["dimension_numbers"]
    if len(left_axes) != 1 or 0 not in left_batch or left_batch[0] or right_batch[0]:
        raise refusal("dot_general", "computed operands must share the batch axis first")
    a = _arranged(tracer, left, tuple(left_batch), left_axes[0], contracted_last=True)
    b = _arranged(tracer, right, tuple(right_batch), right_axes[0], contracted_last=False)
    shape = tracer.nodes[a].values.shape[:-1] + tracer.nodes[b].values.shape[-1:]
    product = tracer.chain(n.Combine("matmul", a, b), values.reshape(shape))
    if values.shape == shape:
        return product
    return tracer.chain(n.Move("reshape", product.root, values.shape[1:]), values)


def _arranged(
    tracer: Tracer, value: Chain, batch: tuple[int, ...], axis: int, *, contracted_last: bool
) -> int:
    """Bring an operand to `[batch..., free, contracted]`, or the two last exchanged."""
    rank = value.values.ndim
    free = [i for i in range(rank) if i not in batch and i != axis]
    order = (*batch, *free, axis) if contracted_last else (*batch, axis, *free)
    node = tracer.node(value)
    moved = value.values.transpose(order)
    if order != tuple(range(rank)):
        node = tracer.add(n.Move("transpose", node, tuple(i - 1 for i in order[1:])), moved)
    lead = moved.shape[: len(batch)]
    depth = value.values.shape[axis]
    shape = (*lead, -1, depth) if contracted_last else (*lead, depth, -1)
    joined = moved.reshape(shape)
    if joined.shape != moved.shape:
        node = tracer.add(n.Move("reshape", node, joined.shape[1:]), joined)
    return node


def reduction(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Sums and maxima over whole axes."""
    x = _chain(operands[0])
    axes = tuple(int(a) for a in equation.params["axes"])
    kind = "sum" if equation.primitive.name == "reduce_sum" else "max"
    kept = tuple(1 if i in axes else size for i, size in enumerate(x.values.shape))
    node = tracer.add(
        n.Reduce(kind, tracer.node(x), _without_batch(axes)), results[0].reshape(kept)
    )
    return [tracer.chain(n.Move("reshape", node, results[0].shape[1:]), results[0])]


def pooling(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Windows over the spatial axes, without padding."""
    x = _chain(operands[0])
    params = equation.params
    window, strides = params["window_dimensions"], params["window_strides"]
    dilated = {*params["base_dilation"], *params["window_dilation"]} != {1}
    if dilated or any(pair != (0, 0) for pair in params["padding"]):
        raise refusal(equation.primitive.name, "padding and dilation of pools")
    if window[0] != 1 or window[-1] != 1 or len(window) not in (3, 4):
        raise refusal(equation.primitive.name, "pools work on 1 or 2 spatial axes")
    kind = "max" if equation.primitive.name == "reduce_window_max" else "sum"
    node = n.PoolNode(kind, tracer.node(x), tuple(window[1:-1]), tuple(strides[1:-1]))
    return [tracer.chain(node, results[0])]


def reshape(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Reshape, squeeze and expand; the batch stays first."""
    x = _chain(operands[0])
    if results[0].shape[:1] != (tracer.batch,):
        raise refusal(equation.primitive.name, "it moves the batch axis")
    if results[0].shape == x.values.shape:
        return [x]
    return [tracer.chain(n.Move("reshape", tracer.node(x), results[0].shape[1:]), results[0])]


def broadcast(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Insert axes of size 1; consumers broadcast them, so nothing is copied."""
    x = _chain(operands[0])
    places = equation.params["broadcast_dimensions"]
    shape = [1] * results[0].ndim
    for place, size in zip(places, x.values.shape, strict=True):
        shape[place] = size
    if shape[0] != tracer.batch:
        raise refusal("broadcast_in_dim", "it moves the batch axis")
    if tuple(shape) != results[0].shape:
        raise refusal("broadcast_in_dim", "it repeats a computed value; use broadcasting instead")
    if tuple(shape) == x.values.shape:
        return [x]
    return [tracer.chain(n.Move("reshape", tracer.node(x), tuple(shape[1:])), results[0])]


def transpose(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Permute axes; the batch stays first."""
    order = tuple(equation.params["permutation"])
    x = _chain(operands[0])
    if order == (1, 0, *range(2, len(order))):
        # Into a scan, or back out of it: the node stays batch first.
        if x.is_time_major:
            return [Chain(x.root, results[0], None, None)]
        return [Chain(tracer.node(x), results[0], None, None, is_time_major=True)]
    if order[0] != 0 or x.is_time_major:
        raise refusal("transpose", "it moves the batch axis")
    node = n.Move("transpose", tracer.node(operands[0]), tuple(int(i) - 1 for i in order[1:]))
    return [tracer.chain(node, results[0])]


def cut(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Static slices with stride 1."""
    params = equation.params
    if params["strides"] is not None and set(params["strides"]) != {1}:
        raise refusal("slice", "strides")
    x = _chain(operands[0])
    if params["start_indices"][0] or params["limit_indices"][0] != tracer.batch:
        raise refusal("slice", "it cuts the batch axis")
    node = n.Move(
        "slice",
        tracer.node(x),
        tuple(int(i) for i in params["start_indices"][1:]),
        tuple(int(i) for i in params["limit_indices"][1:]),
    )
    return [tracer.chain(node, results[0])]


def split(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Split along an axis into slices."""
    axis, start = equation.params["axis"], 0
    source = tracer.node(operands[0])
    shape = _chain(operands[0]).values.shape
    parts: list[Known] = []
    for values in results:
        starts, stops = [0] * len(shape), list(shape)
        starts[axis], stops[axis] = start, start + values.shape[axis]
        start = stops[axis]
        node = n.Move("slice", source, tuple(starts[1:]), tuple(stops[1:]))
        parts.append(tracer.chain(node, values))
    return parts


def concatenate(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Join along an axis other than the batch."""
    axis = _without_batch([equation.params["dimension"]])[0]
    node = n.Join(tuple(tracer.node(value) for value in operands), axis)
    return [tracer.chain(node, results[0])]


def argmax(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """The index of the largest entry of the last axis."""
    x = _chain(operands[0])
    if tuple(equation.params["axes"]) != (x.values.ndim - 1,) or x.values.ndim < 2:
        raise refusal("argmax", "it must work on the last axis")
    node = tracer.add(n.ArgMaxNode(tracer.node(x)), results[0][..., np.newaxis])
    return [tracer.chain(n.Move("reshape", node, results[0].shape[1:]), results[0])]


def gather(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """Whole rows of a constant table by computed whole numbers, as `nnx.Embed` takes them."""
    table, index = operands
    numbers = equation.params["dimension_numbers"]
    if isinstance(table, Chain) or not isinstance(index, Chain) or table.ndim != 2:
        raise refusal("gather", "it must take rows of a constant table")
    rank = results[0].ndim
    takes_rows = (
        numbers.collapsed_slice_dims == (0,)
        and numbers.start_index_map == (0,)
        and numbers.offset_dims == (rank - 1,)
        and tuple(equation.params["slice_sizes"]) == (1, table.shape[1])
    )
    if not takes_rows or index.values.shape != (*results[0].shape[:-1], 1):
        raise refusal("gather", "it must take whole rows")
    found = tracer.node(index)
    shape = index.values.shape[1:-1]
    # The index keeps its last axis of size 1; the rows come after it.
    rows = np.asarray(table, np.float32)
    made = tracer.add(n.Lookup(found, rows), results[0][..., np.newaxis, :])
    return [tracer.chain(n.Move("reshape", made, (*shape, table.shape[1])), results[0])]


RULES: dict[str, Rule] = {
    "argmax": argmax,
    "gather": gather,
    "scan": recurrence,
    "conv_general_dilated": convolution,
    "dot_general": dot,
    "reduce_sum": reduction,
    "reduce_max": reduction,
    "reduce_window_max": pooling,
    "reduce_window_sum": pooling,
    "reshape": reshape,
    "squeeze": reshape,
    "expand_dims": reshape,
    "broadcast_in_dim": broadcast,
    "transpose": transpose,
    "slice": cut,
    "split": split,
    "concatenate": concatenate,
}


def trace(model: Callable[[jax.Array], jax.Array], values: Floats) -> tuple[list[n.Node], int]:
    """Trace `model` on a calibration batch `f32[batch, ...]`; return its nodes and the output's."""
    # A function of its own each time: JAX remembers traces by function, and a module that was
    # trained on since would be taken with the weights it had before.
    closed = jax.make_jaxpr(lambda x: model(x))(values)  # noqa: PLW0108
    tracer = Tracer(values, RULES)
    outputs = tracer.run(
        closed.jaxpr, [np.asarray(c) for c in closed.consts], [Chain(0, values, None, None)]
    )
    if len(outputs) != 1 or not isinstance(outputs[0], Chain):
        raise refusal("output", "the model must return one array that depends on its input")
    return tracer.nodes, tracer.node(outputs[0])
