"""Read a jaxpr into float nodes, evaluating it on the calibration batch along the way.

The batch is the first axis of every value that depends on the input. Constants are folded. What
has no integer counterpart is refused by name, with the primitive, so that the author can change
the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax.extend import core
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.convert import nodes as n

Floats = NDArray[np.float32]
Array = NDArray[np.generic]

_POINTWISE = frozenset(
    {
        *("abs", "acos", "asin", "atan", "atan2", "and", "cbrt", "ceil", "clamp", "copy", "copy_p"),
        *("convert_element_type", "cos", "cosh", "div", "eq", "erf", "erf_inv", "exp", "exp2"),
        *("expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "log", "log1p", "lt"),
        *("logistic", "max", "min", "mul", "ne", "neg", "not", "or", "pow", "reduce_precision"),
        *("rem", "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "sub"),
        *("stop_gradient", "add", "add_any", "tan", "tanh", "xor"),
    }
)
_NOTHING = frozenset({"copy", "copy_p", "stop_gradient", "reduce_precision"})
_INLINED = frozenset(
    {
        *("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"),
        *("custom_vjp_call_jaxpr", "remat", "remat2", "checkpoint"),
    }
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A value of the jaxpr that depends on the input: a pointwise function of node `root`.

    `affine` holds (scale, offset) while the chain is no more than that. `values` are the float
    values on the calibration batch.
    """

    root: int
    values: Array
    affine: tuple[Floats, Floats] | None
    function: n.Function | None
    is_time_major: bool = False
    """Whether `values` have time first and the batch second, as scans want them."""

    @property
    def is_plain(self) -> bool:
        """Whether this is the root itself."""
        return self.function is None and self.affine is None


Known = Chain | Array


class Tracer:
    """Nodes made so far; `run` interprets one jaxpr."""

    def __init__(self, values: Floats, rules: Mapping[str, Rule]) -> None:
        self.rules = rules
        self.nodes: list[n.Node] = [n.Node(n.Input(), values)]
        self.batch = values.shape[0]
        # Keyed by identity; the chain is kept so that its identity is not used again.
        self._memo: dict[int, tuple[Chain, int]] = {}

    def run(self, jaxpr: core.Jaxpr, consts: list[Known], inputs: list[Known]) -> list[Known]:
        """Interpret a jaxpr over what is known of its inputs."""
        known: dict[core.Var, Known] = dict(zip(jaxpr.constvars, consts, strict=True))
        known.update(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: core.Var | core.Literal) -> Known:
            return np.asarray(atom.val) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            operands = [read(atom) for atom in equation.invars]
            results = self._equation(equation, operands)
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def node(self, value: Known) -> int:
        """The node of a chain, made if the chain is more than its root."""
        if not isinstance(value, Chain):
            repeated = np.asarray(value, np.float32)
            if repeated.ndim == 0 or repeated.shape[0] not in (1, self.batch):
                repeated = repeated[np.newaxis]
            return self.add(n.Fixed(repeated[0]), np.repeat(repeated[:1], self.batch, axis=0))
        if value.is_plain:
            return value.root
        if id(value) not in self._memo:
            values = np.asarray(value.values, np.float32)
            kind: n.NodeKind
            if value.affine is not None:
                kind = n.Affine(value.root, *value.affine)
            else:
                assert value.function is not None
                kind = n.Pointwise(value.root, value.function)
            self._memo[id(value)] = (value, self.add(kind, values))
        return self._memo[id(value)][1]

    def add(self, kind: n.NodeKind, values: Array) -> int:
        """Append a node."""
        self.nodes.append(n.Node(kind, np.asarray(values, np.float32)))
        return len(self.nodes) - 1

    def chain(self, kind: n.NodeKind, values: Array) -> Chain:
        """Append a node and refer to it."""
        return Chain(self.add(kind, values), np.asarray(values), None, None)

    def _equation(self, equation: core.JaxprEqn, operands: list[Known]) -> list[Known]:
        name = equation.primitive.name
        if name in _INLINED:
            inner = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
            if isinstance(inner, core.ClosedJaxpr):
                return self.run(inner.jaxpr, list(inner.consts), operands)
            assert isinstance(inner, core.Jaxpr)
            return self.run(inner, [], operands)
        if name not in ("scan", "transpose") and any(
            isinstance(value, Chain) and value.is_time_major for value in operands
        ):
            raise refusal(name, "it works on a time-major value; transpose it back first")
        raw = [value.values if isinstance(value, Chain) else value for value in operands]
        results = bind(equation, raw)
        if not any(isinstance(value, Chain) for value in operands):
            return list(results)
        if name in _POINTWISE:
            return [self._pointwise(equation, operands, results[0])]
        rule = self.rules.get(name)
        if rule is None:
            raise refusal(name, "no integer counterpart")
        return list(rule(self, equation, operands, results))

    def _pointwise(self, equation: core.JaxprEqn, operands: list[Known], values: Array) -> Chain:
        chains = [value for value in operands if isinstance(value, Chain)]
        name = equation.primitive.name
        if name in _NOTHING or (name == "max" and _is_minus_infinity(operands)):
            return chains[0]
        if len(chains) == 1 and name in ("add", "sub", "mul", "div", "neg"):
            scaled = self._affine(name, operands, chains[0], values)
            if scaled is not None:
                return scaled
        one_root = len({chain.root for chain in chains}) == 1
        if one_root and self._same_shape(chains, values) and _scalar_others(operands):
            return self._compose(equation, operands, chains, values)
        if name in ("add", "add_any", "sub", "mul", "div", "max") and len(operands) == 2:
            kind = "add" if name == "add_any" else name
            return self.chain(
                n.Combine(kind, self.node(operands[0]), self.node(operands[1])), values
            )
        raise refusal(name, "two different values meet in it, or a vector constant does")

    def _same_shape(self, chains: list[Chain], values: Array) -> bool:
        shape = self.nodes[chains[0].root].values.shape
        return all(c.values.shape == shape for c in chains) and values.shape == shape

    def _affine(
        self, name: str, operands: list[Known], chain: Chain, values: Array
    ) -> Chain | None:
        """Fold a scalar or per-channel constant into scale and offset."""
        if name == "neg":
            constant, left = np.asarray(-1.0, np.float32), True
        else:
            left = isinstance(operands[0], Chain)
            constant = np.asarray(operands[1] if left else operands[0], np.float32)
        per_channel = _per_channel(constant, values.shape)
        root = self.nodes[chain.root]
        if per_channel is None or values.shape != root.values.shape or (name == "div" and not left):
            return None
        if chain.function is not None:
            if per_channel.ndim == 0:
                return None  # _compose keeps it inside the table
            chain = Chain(self.node(chain), chain.values, None, None)
        one = np.float32(1)
        scale, offset = chain.affine or (np.asarray(one), np.asarray(one * 0))
        if name == "add":
            offset = offset + per_channel
        elif name == "sub":
            scale, offset = (scale, offset - per_channel) if left else (
                -scale, per_channel - offset
            )  # fmt: skip
        elif name in ("mul", "neg"):
            scale, offset = scale * per_channel, offset * per_channel
        else:
            scale, offset = scale / per_channel, offset / per_channel
        return Chain(chain.root, values, (np.asarray(scale), np.asarray(offset)), None)

    def _compose(
        self, equation: core.JaxprEqn, operands: list[Known], chains: list[Chain], values: Array
    ) -> Chain:
        if any(c.affine is not None and np.ndim(c.affine[0] + c.affine[1]) for c in chains):
            # A table has one index: per-channel constants are applied before it.
            fresh = {id(c): Chain(self.node(c), c.values, None, None) for c in chains}
            operands = [fresh[id(v)] if isinstance(v, Chain) else v for v in operands]
            chains = list(fresh.values())
            if len({c.root for c in chains}) > 1:
                raise refusal(equation.primitive.name, "per-channel branches meet in it")
        is_real = np.issubdtype(values.dtype, np.floating)
        if equation.primitive.name == "max" and len(chains) == 1 and is_real:
            other = next((v for v in operands if not isinstance(v, Chain)), None)
            if other is not None and float(np.asarray(other).ravel()[0]) == 0.0:
                return self.chain(n.Relu(self.node(chains[0])), values)
        parts = [_scalar_function(value) for value in operands]
        # Nodes hold floats; a whole number read back from one needs its own type again.
        kinds = [
            value.values.dtype if isinstance(value, Chain) else value.dtype for value in operands
        ]

        def function(x: Floats) -> Floats:
            arguments = [
                np.broadcast_to(part(x), x.shape).astype(kind)
                for part, kind in zip(parts, kinds, strict=True)
            ]
            return np.asarray(bind(equation, arguments)[0])

        return Chain(chains[0].root, values, None, function)


Rule = Callable[[Tracer, core.JaxprEqn, list[Known], list[Array]], list[Known]]


def bind(equation: core.JaxprEqn, operands: Sequence[Array]) -> list[Array]:
    """Evaluate one equation."""
    primitive = equation.primitive
    result = primitive.bind(*(jnp.asarray(v) for v in operands), **equation.params)  # type: ignore[no-untyped-call] # untyped in jax
    return [np.asarray(r) for r in (result if primitive.multiple_results else [result])]


def refusal(primitive: str, why: str) -> InvalidInput:
    """The error for a model that cannot be converted."""
    return InvalidInput(
        Code.NOT_CERTIFIED,
        f"jax primitive {primitive!r} cannot become integers: {why}",
        hint="see the list of supported layers in docs/models.md",
        rule="convert",
    )


def _per_channel(constant: Array, shape: tuple[int, ...]) -> Floats | None:
    """The constant as a scalar or as one entry of the last axis, or None if it is neither."""
    value = np.asarray(constant, np.float32)
    if value.size == 1:
        return value.reshape(())
    if value.shape[-1] == shape[-1] and value.size == shape[-1]:
        return value.reshape(-1)
    if value.shape == shape and (value == value.reshape(-1, shape[-1])[0]).all():
        return np.asarray(value.reshape(-1, shape[-1])[0])
    return None


def _is_minus_infinity(operands: list[Known]) -> bool:
    constants = [np.asarray(v, np.float64) for v in operands if not isinstance(v, Chain)]
    return any(bool(np.isneginf(constant).all()) for constant in constants)


def _scalar_others(operands: list[Known]) -> bool:
    return all(
        isinstance(v, Chain) or v.size == 1 or bool((v == v.ravel()[0]).all()) for v in operands
    )


def _scalar_function(value: Known) -> n.Function:
    if not isinstance(value, Chain):
        scalar = value.ravel()[0]
        return lambda x: np.full(x.shape, scalar)
    if value.affine is not None:
        scale, offset = value.affine
        return lambda x: np.asarray(x * scale + offset, np.float32)
    return value.function or (lambda x: x)
