"""From a JAX function to a float graph: its jaxpr, with constants folded and scans unrolled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from andon.core.errors import Code, InvalidInput
from models.attested import graph as g
from models.attested.evaluate import Floats
from models.convert.trace import Array, bind

SCAN_STEPS_MAX = 512
_INLINED = frozenset(
    {
        *("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"),
        *("custom_vjp_call_jaxpr", "remat", "remat2", "checkpoint"),
    }
)
_NOTHING = frozenset({"copy", "copy_p", "stop_gradient", "reduce_precision"})
_REDUCE = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min"}
_POOL = {"reduce_window_max": "max", "reduce_window_sum": "sum"}

Known = int | Array
"""The number of a value that depends on the input, or a constant."""


def float_graph(
    function: Callable[[jax.Array], jax.Array], input_shape: tuple[int, ...]
) -> tuple[g.FloatGraph, dict[str, Floats]]:
    """Read `function: f32[1, *input_shape] -> f32[1, outputs]`; gives the graph and its tensors.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE with the name of a primitive that has no counterpart.
    """
    # A function of its own each time: JAX remembers traces by function, and a module that was
    # trained on since would be taken with the weights it had before.
    fresh = lambda x: function(x)  # noqa: E731, PLW0108
    closed = jax.make_jaxpr(fresh)(jnp.zeros((1, *input_shape), jnp.float32))
    reader = _Reader()
    (result,) = reader.run(closed.jaxpr, list(closed.consts), [0])
    last = reader.number(result)
    if last != len(reader.operations):
        reader.add(g.Reshape(last, _shape_of(closed.jaxpr.outvars[0])))
    return g.FloatGraph(input_shape, tuple(reader.operations)), reader.tensors


class _Reader:
    def __init__(self) -> None:
        self.operations: list[g.Operation] = []
        self.tensors: dict[str, Floats] = {}
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], int] = {}

    def run(self, jaxpr: core.Jaxpr, consts: Sequence[Known], inputs: list[Known]) -> list[Known]:
        known: dict[core.Var, Known] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: core.Var | core.Literal) -> Known:
            return np.asarray(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            results = self._equation(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def add(self, operation: g.Operation) -> int:
        self.operations.append(operation)
        return len(self.operations)

    def number(self, value: Known) -> int:
        """The number of a value; a constant becomes a tensor once."""
        if isinstance(value, int):
            return value
        array = np.asarray(value)
        dtype = {"f": "float32", "i": "int32", "u": "int32", "b": "bool"}.get(array.dtype.kind)
        if dtype is None:
            raise _refused(f"constant of {array.dtype}")
        data = np.ascontiguousarray(array, np.float32).reshape(array.shape)
        key = (data.tobytes(), dtype, data.shape)
        if key not in self._constants:
            name = f"c{len(self.tensors)}"
            self.tensors[name] = data
            place = self.add(g.Constant(name))
            self._constants[key] = (
                place if dtype == "float32" else self.add(g.Convert(place, dtype))
            )
        return self._constants[key]

    def _equation(self, equation: core.JaxprEqn, operands: list[Known]) -> list[Known]:
        name, parameters = equation.primitive.name, equation.params
        if name in _INLINED:
            inner = parameters.get("jaxpr") or parameters.get("call_jaxpr")
            if isinstance(inner, core.ClosedJaxpr):
                return self.run(inner.jaxpr, list(inner.consts), operands)
            assert isinstance(inner, core.Jaxpr)
            return self.run(inner, [], operands)
        if not any(isinstance(value, int) for value in operands):
            constants = [np.asarray(value) for value in operands]
            return list(bind(equation, constants))
        if name == "scan":
            return self._scan(equation, operands)
        if name == "split":
            return self._split(equation, self.number(operands[0]))
        if name in _NOTHING:
            return operands[:1]
        return [self.add(self._operation(equation, [self.number(v) for v in operands]))]

    def _operation(self, equation: core.JaxprEqn, x: list[int]) -> g.Operation:
        name, parameters = equation.primitive.name, equation.params
        shape = _shape_of(equation.outvars[0])
        if name == "add_any":
            name = "add"
        if name in g.POINTWISE:
            return g.Pointwise(name, tuple(x))
        if name in _REDUCE:
            return g.Reduce(_REDUCE[name], x[0], tuple(parameters["axes"]))
        if name in _POOL:
            window = tuple(parameters["window_dimensions"])
            strides, pads = tuple(parameters["window_strides"]), tuple(parameters["padding"])
            return g.Pool(_POOL[name], x[0], window, strides, _pairs(pads))
        match name:
            case "argmax" | "argmin":
                return g.Reduce(name, x[0], tuple(parameters["axes"]))
            case "integer_pow":
                return g.Power(x[0], int(parameters["y"]))
            case "convert_element_type":
                kind = np.dtype(parameters["new_dtype"]).kind
                return g.Convert(x[0], {"f": "float32", "b": "bool"}.get(kind, "int32"))
            case "dot_general":
                (ca, cb), (ba, bb) = parameters["dimension_numbers"]
                return g.Dot(x[0], x[1], tuple(ca), tuple(cb), tuple(ba), tuple(bb))
            case "conv_general_dilated":
                return _conv(parameters, x)
            case "broadcast_in_dim":
                return g.Broadcast(x[0], shape, tuple(parameters["broadcast_dimensions"]))
            case "reshape" | "squeeze" | "expand_dims":
                return g.Reshape(x[0], shape)
            case "transpose":
                return g.Transpose(x[0], tuple(parameters["permutation"]))
            case "concatenate":
                return g.Concat(tuple(x), int(parameters["dimension"]))
            case "slice":
                starts, stops = parameters["start_indices"], parameters["limit_indices"]
                strides = parameters["strides"] or (1,) * len(starts)
                return g.Slice(x[0], tuple(starts), tuple(stops), tuple(strides))
            case "rev":
                return g.Reverse(x[0], tuple(parameters["dimensions"]))
            case _:
                raise _refused(f"jax primitive {name!r}")

    def _split(self, equation: core.JaxprEqn, x: int) -> list[Known]:
        axis, shape = int(equation.params["axis"]), _shape_of(equation.invars[0])
        pieces: list[Known] = []
        start = 0
        for size in _ints(equation.params["sizes"]):
            starts = tuple(start if place == axis else 0 for place in range(len(shape)))
            stops = tuple(start + size if i == axis else full for i, full in enumerate(shape))
            pieces.append(self.add(g.Slice(x, starts, stops, (1,) * len(shape))))
            start += size
        return pieces

    def _scan(self, equation: core.JaxprEqn, operands: list[Known]) -> list[Known]:
        """Unroll: the graph has no loops, so its cost is what it shows."""
        parameters = equation.params
        length, body = int(parameters["length"]), parameters["jaxpr"]
        constants, carries = int(parameters["num_consts"]), int(parameters["num_carry"])
        if length > SCAN_STEPS_MAX:
            raise _refused(f"a scan of {length} steps, more than {SCAN_STEPS_MAX},")
        assert isinstance(body, core.ClosedJaxpr)
        fixed, state = operands[:constants], operands[constants : constants + carries]
        columns = operands[constants + carries :]
        shapes = [_shape_of(a) for a in equation.invars[constants + carries :]]
        emitted: list[list[Known]] = []
        order = range(length)
        for step in reversed(order) if parameters["reverse"] else order:
            rows = [self._row(v, s, step) for v, s in zip(columns, shapes, strict=True)]
            results = self.run(body.jaxpr, list(body.consts), [*fixed, *state, *rows])
            state = results[:carries]
            emitted.append(results[carries:])
        if parameters["reverse"]:
            emitted.reverse()
        stacked: list[Known] = []
        for place, variable in enumerate(equation.outvars[carries:]):
            row_shape = (1, *_shape_of(variable)[1:])
            parts = [self.add(g.Reshape(self.number(row[place]), row_shape)) for row in emitted]
            stacked.append(self.add(g.Concat(tuple(parts), 0)))
        return [*state, *stacked]

    def _row(self, value: Known, shape: tuple[int, ...], step: int) -> Known:
        if not isinstance(value, int):
            return np.asarray(value[step])
        starts, stops = (step, *(0 for _ in shape[1:])), (step + 1, *shape[1:])
        piece = self.add(g.Slice(value, starts, stops, (1,) * len(shape)))
        return self.add(g.Reshape(piece, shape[1:]))


def _conv(parameters: dict[str, object], x: list[int]) -> g.Conv:
    layout = parameters["dimension_numbers"]
    assert isinstance(layout, jax.lax.ConvDimensionNumbers)
    if any(size != 1 for size in _ints(parameters["lhs_dilation"])):
        raise _refused("a transposed convolution")
    if parameters["batch_group_count"] != 1:
        raise _refused("a convolution over groups of the batch")
    return g.Conv(
        x[0],
        x[1],
        _ints(parameters["window_strides"]),
        _pairs(parameters["padding"]),
        _ints(parameters["rhs_dilation"]),
        _ints((parameters["feature_group_count"],))[0],
        _ints(layout.lhs_spec),
        _ints(layout.rhs_spec),
        _ints(layout.out_spec),
    )


def _shape_of(atom: core.Var | core.Literal) -> tuple[int, ...]:
    return tuple(int(size) for size in getattr(atom.aval, "shape", ()))


def _ints(values: object) -> tuple[int, ...]:
    assert isinstance(values, tuple | list)
    return tuple(int(value) for value in values)


def _pairs(values: object) -> tuple[tuple[int, int], ...]:
    assert isinstance(values, tuple | list)
    return tuple((int(low), int(high)) for low, high in values)


def _refused(what: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_MODEL_PACKAGE,
        f"{what} has no counterpart in the float graph",
        hint="the operations are listed in models/attested/graph.py",
    )
