"""Training that feels the integers to come: operands of products rounded, gradients as if not.

`fake_quantised(f)` reads f's jaxpr, as certification does, so that any network that converts can
be trained so. Operands of dense layers and convolutions are rounded to the steps that
`models.convert` will choose: activations as a whole, weights by output channel. Rounding has the
gradient of the identity within the range (the straight-through estimator of Bengio 2013; Jacob et
al. 2018, "Quantization and training of neural networks for efficient integer-arithmetic-only
inference").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend import core

T = TypeVar("T")
Known = tuple[jax.Array, bool]
"""A value, and whether it depends on the batch."""
LIMIT = 127
SAMPLED = 4096
SHARES = 9
_INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "remat2", "checkpoint"})


def fake_quantised(function: Callable[[jax.Array], T]) -> Callable[[jax.Array], T]:
    """The same function of a batch with its products on rounded operands."""

    def apply(x: jax.Array) -> T:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(x)
        results = _run(closed.jaxpr, [(value, False) for value in closed.consts], [(x, True)])
        found: T = jax.tree.unflatten(jax.tree.structure(shape), [value for value, _ in results])
        return found

    return apply


@jax.custom_vjp
def rounded(x: jax.Array, step: jax.Array) -> jax.Array:
    """`x` on the grid of `step`, clipped to 127 steps; the gradient passes where it is inside."""
    return jnp.clip(jnp.round(x / step), -LIMIT, LIMIT) * step


def _forward(x: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    return rounded(x, step), jnp.abs(x) <= LIMIT * step


def _backward(inside: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    return jnp.where(inside, gradient, 0), None


rounded.defvjp(_forward, _backward)


def activation_step(x: jax.Array) -> jax.Array:
    """The int8 step with the least squared error on a sample of x, as `clip_scale` chooses it."""
    flat = jnp.abs(jax.lax.stop_gradient(x)).ravel()
    top = jnp.maximum(flat.max(), 1e-9)
    sample = flat[:: max(1, flat.size // SAMPLED)]
    steps = top * jnp.linspace(0.6, 1.0, SHARES) / LIMIT
    grid = jnp.minimum(jnp.round(sample / steps[:, None]), LIMIT) * steps[:, None]
    return steps[jnp.argmin(jnp.mean((grid - sample) ** 2, axis=1))]


def weight_steps(kernel: jax.Array, channels: tuple[int, ...]) -> jax.Array:
    """Steps by output channel: twice the finest, the coarsest that a power of two may impose."""
    others = tuple(axis for axis in range(kernel.ndim) if axis not in channels)
    tops = jnp.abs(jax.lax.stop_gradient(kernel)).max(axis=others, keepdims=True)
    return jnp.maximum(tops, 1e-9) * 2 / LIMIT


def _run(jaxpr: core.Jaxpr, consts: list[Known], inputs: list[Known]) -> list[Known]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: core.Var | core.Literal) -> Known:
        return (atom.val, False) if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        results = _equation(equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(equation: core.JaxprEqn, operands: list[Known]) -> list[Known]:
    is_computed = any(computed for _, computed in operands)
    name, params = equation.primitive.name, equation.params
    if is_computed and name in _INLINED:
        inner = params.get("jaxpr") or params["call_jaxpr"]
        if isinstance(inner, core.ClosedJaxpr):
            return _run(inner.jaxpr, [(value, False) for value in inner.consts], operands)
        return _run(inner, [], operands)
    if is_computed and name == "scan":
        return _scan(equation, operands)
    values = [value for value, _ in operands]
    if is_computed and name in ("dot_general", "conv_general_dilated"):
        left, right = _channels(name, params, operands)
        values = [_operand(operands[0], left), _operand(operands[1], right)]
    settings = equation.primitive.get_bind_params(params)  # type: ignore[no-untyped-call] # jax
    results = equation.primitive.bind(*values, **settings)  # type: ignore[no-untyped-call] # jax
    several = results if equation.primitive.multiple_results else [results]
    return [(value, is_computed) for value in several]


def _channels(
    name: str, params: dict[str, Any], operands: list[Known]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of each operand that are outputs, should it be the weights."""
    if name == "conv_general_dilated":
        return (), (params["dimension_numbers"].rhs_spec[0],)
    contracted, batched = params["dimension_numbers"]
    left, right = (
        tuple(a for a in range(value.ndim) if a not in {*contracted[side], *batched[side]})
        for side, (value, _) in enumerate(operands)
    )
    return left, right


def _operand(operand: Known, channels: tuple[int, ...]) -> jax.Array:
    value, is_computed = operand
    step = activation_step(value) if is_computed else weight_steps(value, channels)
    return rounded(value, step.astype(value.dtype))


def _scan(equation: core.JaxprEqn, operands: list[Known]) -> list[Known]:
    """A recurrent layer: its body is read in the same way, every carry taken as computed."""
    params = equation.params
    consts, carries = params["num_consts"], params["num_carry"]
    fixed, moving = operands[:consts], operands[consts:]
    body = params["jaxpr"]
    known = [(value, False) for value in body.consts]
    marks = [computed for _, computed in moving[carries:]]

    def step(carry: list[jax.Array], x: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        inside = [*fixed, *((value, True) for value in carry), *zip(x, marks, strict=True)]
        results = [value for value, _ in _run(body.jaxpr, known, inside)]
        return results[:carries], results[carries:]

    start, steps = [[value for value, _ in part] for part in (moving[:carries], moving[carries:])]
    last, stacked = jax.lax.scan(
        step, start, steps,
        length=params["length"], reverse=params["reverse"], unroll=params["unroll"],
    )  # fmt: skip
    return [(value, True) for value in (*last, *stacked)]
