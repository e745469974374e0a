"""The XLA executor: one pure function from a certified graph, equal to the interpreter in bits.

Each value is carried as float32, int32 or int8, whichever its consumer wants and its certified
range allows; conversions between carriers are exact in that range, so the choice changes speed
and never bits. Source: exact_ml 2.9 (R1-R8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

from models import graph as g
from models.buckets import BUCKETS, SMALL_BATCH, split
from models.carriers import Carried, clip, dot, plain, taps
from models.certificate import Certificate, certify_graph
from models.memory import rows_max
from models.package import Package
from models.rules import FLOAT_EXACT_MAX, Ruling, Tensors, ValueType, rescale_is_direct

APART_SIZE_MIN = 512
"""From this many look-ups on, their indices are computed in a loop of their own (on a CPU)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How sums of products run: the carrier of dots, and whether convolution is a native op.

    `dot`: "float32" (integers in float32), "int8" (int32 accumulators), or "bfloat16" (float32
    accumulators). `native_conv` is for CPU and float32 only: elsewhere XLA may pick Winograd or
    FFT, which are not sums of products.
    """

    dot: str = "float32"
    native_conv: bool = False


def plan_for(backend: str, batch: int, jaxlib_version: str) -> Plan:
    """The fastest plan measured for a backend and batch size (scripts/bench/bench_models.py)."""
    if backend != "cpu":
        return Plan("bfloat16")
    # YNNPACK's int8 dots pay from a few dozen rows on; older jaxlib has none.
    has_fast_int8 = tuple(int(n) for n in jaxlib_version.split(".")[:2]) >= (0, 10)
    if has_fast_int8 and batch > SMALL_BATCH:
        return Plan("int8")
    return Plan("float32", native_conv=True)


def build(
    graph: g.Graph, tensors: Tensors, certificate: Certificate, plan: Plan
) -> Callable[[jax.Array], jax.Array]:
    """Make the traceable function `i8[batch, *input_shape] -> i32[batch, outputs]`."""

    def run(windows: jax.Array) -> jax.Array:
        values = [Carried(certificate.input, windows)]
        _Builder(tensors, plan).run(graph.operations, certificate, values)
        return values[-1].get("int32")

    return run


def trace_package(
    package: Package, windows: NDArray[np.int8], backend: str
) -> list[NDArray[np.integer]]:
    """Evaluate a batch and give the value of every operation, for looking at a divergence."""
    plan = plan_for(backend, len(windows), version("jaxlib"))

    def run(batch: jax.Array) -> list[jax.Array]:
        values = [Carried(package.certificate.input, batch)]
        _Builder(package.weights, plan).run(package.graph.operations, package.certificate, values)
        return [value.get("int32") for value in values[1:]]

    placed = jax.device_put(windows, jax.devices(backend)[0])
    return [np.asarray(value) for value in jax.jit(run)(placed)]


def graph_executor(
    graph: g.Graph, tensors: Tensors, backend: str
) -> Callable[[NDArray[np.int8]], NDArray[np.int32]]:
    """Run a graph that is no package as `backend` runs packages, each batch at its own size."""
    certificate = certify_graph(graph, tensors)

    def execute(windows: NDArray[np.int8]) -> NDArray[np.int32]:
        plan = plan_for(backend, len(windows), version("jaxlib"))
        placed = jax.device_put(windows, jax.devices(backend)[0])
        return np.asarray(jax.jit(build(graph, tensors, certificate, plan))(placed))

    return execute


def evaluate_graph(
    graph: g.Graph, tensors: Tensors, certificate: Certificate, windows: NDArray[np.int8]
) -> NDArray[np.int32]:
    """Evaluate a graph that is no package yet, for training: `i32[n, outputs]`."""
    run = jax.jit(build(graph, tensors, certificate, Plan("int8")))
    size = min(BUCKETS[-1], len(windows))
    parts = []
    for start in range(0, len(windows), size):
        part = windows[start : start + size]
        padding = [(0, size - len(part)), *((0, 0) for _ in graph.input_shape)]
        parts.append(np.asarray(run(np.pad(part, padding)))[: len(part)])
    return np.concatenate(parts)


class Compiled:
    """A package compiled for padded batches of `BUCKETS` sizes; calls compile what is missing."""

    def __init__(self, package: Package, backend: str = "cpu", plan: Plan | None = None) -> None:
        self._package = package
        self._backend = backend
        self._plan = plan
        self._device = jax.devices(backend)[0]
        self._shape = package.manifest.input_shape
        self._outputs = package.manifest.outputs
        self._row_cost = row_cost(package, backend)
        self._rows_max = rows_max(package.row_bytes)
        self._ready: dict[int, jax.stages.Compiled] = {}

    def warm(self, bucket: int) -> jax.stages.Compiled:
        """Compile one bucket ahead of its first use."""
        ready = self._ready.get(bucket)
        if ready is None:
            package = self._package
            plan = self._plan or plan_for(self._backend, bucket, version("jaxlib"))
            run = build(package.graph, package.weights, package.certificate, plan)
            example = jax.device_put(np.zeros((bucket, *self._shape), np.int8), self._device)
            ready = self._ready[bucket] = jax.jit(run).lower(example).compile()
        return ready

    def __call__(
        self, windows: NDArray[np.int8], sizes: tuple[int, ...] = BUCKETS
    ) -> NDArray[np.int32]:
        """Evaluate `i8[batch, *input_shape]`; any batch, split into `sizes` and padded."""
        parts = [np.zeros((0, self._outputs), np.int32)]
        start = 0
        for bucket in split(len(windows), self._row_cost, self._rows_max, sizes):
            part = windows[start : start + bucket]
            start += bucket
            padded = part
            if len(part) < bucket:
                padded = np.zeros((bucket, *self._shape), np.int8)
                padded[: len(part)] = part
            # Not placed by `device_put` before: that takes as long as all of a small call.
            parts.append(np.asarray(self.warm(bucket)(padded))[: len(part)])
        return np.concatenate(parts)


def row_cost(package: Package, backend: str) -> int:
    """What `split` weighs against a call."""
    return package.manifest.multiply_adds if backend == "cpu" else 0


def compile_package(package: Package, backend: str = "cpu", plan: Plan | None = None) -> Compiled:
    """Compile a package: `i8[batch, *input_shape] -> i32[batch, outputs]`."""
    return Compiled(package, backend, plan)


class _Builder:
    """Emit operations one after another; holds what all of them share."""

    def __init__(self, tensors: Tensors, plan: Plan) -> None:
        self._tensors = tensors
        self._plan = plan

    def run(
        self, operations: tuple[g.Operation, ...], certificate: Certificate, values: list[Carried]
    ) -> None:
        for index, operation in enumerate(operations):
            ruling = certificate.rulings[index]
            if isinstance(operation, g.Scan):
                body = certificate.bodies[index]
                array = self._scan(operation, body, values[operation.x])
            else:
                array = self._emit(operation, ruling, values)
            values.append(Carried(ruling.type, array))

    def _constant(self, name: str, dtype: str = "int32") -> jax.Array:
        return jnp.asarray(self._tensors[name].astype(dtype))

    def _emit(self, operation: g.Operation, ruling: Ruling, values: list[Carried]) -> jax.Array:
        read = [values[i] for i in g.operands(operation)]
        match operation:
            case g.Dense(_, weight, bias):
                kernel = self._tensors[weight]
                return self._product(read[0], kernel, self._tensors[bias], ruling)
            case g.Conv():
                return self._conv(operation, ruling, read[0])
            case g.Depthwise():
                return self._depthwise(operation, ruling, read[0])
            case g.MatMul():
                return self._matmul(read[0], read[1], ruling)
            case g.Rescale():
                return self._rescale(operation, read[0])
            case g.Table(_, table, first) | g.Embed(_, table, first):
                entries = self._constant(table)
                index = jnp.clip(read[0].get("int32") - first, 0, entries.shape[0] - 1)
                if self._plan.dot != "bfloat16" and index.size >= APART_SIZE_MIN:
                    index = _apart(index)
                return jnp.take(entries, index, axis=0, mode="clip")
            case g.Clip(_, low, high):
                return clip(read[0], low, high)
            case g.Constant(tensor):
                value = self._constant(tensor)
                return jnp.broadcast_to(value, (values[0].any.shape[0], *value.shape))
            case g.Trees():
                return self._trees(operation, read[0])
            case g.Scan():
                raise AssertionError(operation)
            case _:
                return plain(operation, read)

    def _product(
        self, x: Carried, kernel: NDArray[np.integer], bias: NDArray[np.integer], ruling: Ruling
    ) -> jax.Array:
        """`x[..., k] @ kernel[k, n] + bias`, in blocks of k where one accumulator would round."""
        if self._plan.dot == "int8":
            total = dot(x.get("int8"), jnp.asarray(kernel), "int32")
            return total + jnp.asarray(bias, jnp.int32)
        real = x.get(self._plan.dot)
        weight = kernel.astype(np.float32).astype(jnp.dtype(self._plan.dot))
        if len(ruling.blocks) == 1:
            product = dot(real, jnp.asarray(weight), "float32")
            return product + jnp.asarray(bias, jnp.float32)
        total = jnp.asarray(bias, jnp.int32)
        start = 0
        for end in ruling.blocks:
            part = dot(real[..., start:end], jnp.asarray(weight[start:end]), "float32")
            total = total + part.astype(jnp.int32)
            start = end
        return total

    def _conv(self, operation: g.Conv, ruling: Ruling, x: Carried) -> jax.Array:
        kernel, bias = self._tensors[operation.weight], self._tensors[operation.bias]
        if self._plan.native_conv and len(ruling.blocks) == 1 and self._plan.dot == "float32":
            layout = ("NWC", "WIO", "NWC") if kernel.ndim == 3 else ("NHWC", "HWIO", "NHWC")
            product = lax.conv_general_dilated(
                x.get("float32"),
                jnp.asarray(kernel, jnp.float32),
                operation.strides,
                operation.pads,
                rhs_dilation=operation.dilations,
                dimension_numbers=layout,
                precision=lax.Precision.HIGHEST,
            )
            return product + jnp.asarray(bias, jnp.float32)
        dtype = self._plan.dot
        views = taps(operation, kernel.shape, x.get(dtype))
        columns = Carried(x.type, jnp.concatenate(views, axis=-1))
        return self._product(columns, kernel.reshape(-1, kernel.shape[-1]), bias, ruling)

    def _depthwise(self, operation: g.Depthwise, ruling: Ruling, x: Carried) -> jax.Array:
        kernel, bias = self._tensors[operation.weight], self._tensors[operation.bias]
        dtype = "float32" if ruling.bound <= FLOAT_EXACT_MAX else "int32"
        views = taps(operation, kernel.shape, x.get(dtype))
        total = jnp.asarray(bias, dtype)
        for view, weight in zip(views, kernel.reshape(-1, kernel.shape[-1]), strict=True):
            total = total + view * jnp.asarray(weight, dtype)
        return total

    def _matmul(self, a: Carried, b: Carried, ruling: Ruling) -> jax.Array:
        dtype = self._plan.dot
        left, right = a.get(dtype), b.get(dtype)
        if dtype == "int8":
            return jnp.matmul(left, right, preferred_element_type=jnp.int32)
        total: jax.Array | None = None
        start = 0
        for end in ruling.blocks:
            part = jnp.matmul(
                left[..., start:end], right[..., start:end, :],
                precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32,
            )  # fmt: skip
            if len(ruling.blocks) == 1:
                return part
            whole = part.astype(jnp.int32)
            total = whole if total is None else total + whole
            start = end
        assert total is not None
        return total

    def _rescale(self, operation: g.Rescale, x: Carried) -> jax.Array:
        multiplier, shift = self._tensors[operation.multiplier], self._tensors[operation.shift]
        low, high = operation.low, operation.high
        half = np.where(shift > 0, 1 << np.maximum(shift.astype(np.int64) - 1, 0), 0)
        exact = max(x.type.magnitude + int(half.max()), abs(low), abs(high)) <= FLOAT_EXACT_MAX
        if exact and x.has("float32") and bool((multiplier == 1).all()):
            # Fast form (R4): a power of two scales a float32 without rounding.
            scale = jnp.asarray(2.0 ** -shift.astype(np.float64), jnp.float32)
            add = jnp.asarray(np.where(shift > 0, 0.5, 0.0), jnp.float32)
            return jnp.clip(jnp.floor(x.get("float32") * scale + add), low, high)
        acc = x.get("int32")
        m, s = jnp.asarray(multiplier, jnp.int32), jnp.asarray(shift, jnp.int32)
        if rescale_is_direct(x.type, multiplier, shift):
            product = acc * m if bool((multiplier != 1).any()) else acc
            return jnp.clip((product + jnp.asarray(half, jnp.int32)) >> s, low, high)
        top = (acc >> 12) * m + (((acc & 4095) * m) >> 12)
        return jnp.clip((top + (1 << (s - 13))) >> (s - 12), low, high)

    def _trees(self, operation: g.Trees, x: Carried) -> jax.Array:
        names = (operation.feature, operation.threshold, operation.left, operation.right)
        feature, threshold, left, right = (self._tensors[n].astype(np.int32) for n in names)
        count, nodes = feature.shape
        # One flat node table: gathers of one index are what XLA does best.
        base = np.arange(count, dtype=np.int32)[:, np.newaxis] * nodes
        table = jnp.asarray(
            np.stack([feature, threshold, left + base, right + base]).reshape(4, -1)
        )
        reading = x.get("int32")
        node = jnp.broadcast_to(jnp.asarray(base[:, 0]), (reading.shape[0], count))
        for _ in range(operation.depth):
            found = jnp.take_along_axis(reading, table[0][node], axis=1)
            node = jnp.where(found <= table[1][node], table[2][node], table[3][node])
        value = self._tensors[operation.value].astype(np.int32)
        leaves = jnp.asarray(value.reshape(count * nodes, -1))
        return leaves[node].sum(axis=1, dtype=jnp.int32)

    def _scan(self, operation: g.Scan, body: Certificate, x: Carried) -> jax.Array:
        types = body.types()
        carries = [
            ValueType(shape, -bound, bound)
            for shape, bound in zip(operation.shapes, operation.bounds, strict=True)
        ]
        steps = jnp.moveaxis(x.any, 1, 0)
        batch = x.any.shape[0]

        def fold(
            state: tuple[jax.Array, ...], step: jax.Array
        ) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
            values = [Carried(types[0], step)]
            values += [Carried(kind, array) for kind, array in zip(carries, state, strict=True)]
            self.run(operation.body, body, values)
            after = tuple(values[i].get("int32") for i in operation.results)
            return after, after[0] if operation.emit_all else None

        start = tuple(jnp.zeros((batch, *kind.shape), jnp.int32) for kind in carries)
        last, every = lax.scan(fold, start, steps, reverse=operation.reverse)
        return last[0] if every is None else jnp.moveaxis(every, 0, 1)


def _apart(index: jax.Array) -> jax.Array:
    """Have XLA compute non-negative indices before the look-ups, and not in their loop.

    XLA on a CPU fuses what makes an index into the loop over the look-ups, which is scalar, and
    does it again for every table read by the same value: an LSTM takes twice as long. A branch on
    a value that XLA cannot know is where its fusion ends; barriers are gone by then.
    """
    first = index[(0,) * index.ndim]
    apart: jax.Array = lax.cond(first >= 0, lambda known: known, lambda known: -known, index)
    return apart
