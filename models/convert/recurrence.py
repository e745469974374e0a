"""Scans over time: run the float body step by step, then read it as nodes over all steps."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.extend import core

from models.convert import nodes as n
from models.convert.trace import Array, Chain, Known, Tracer, refusal

CARRIES_MAX = 8


def recurrence(
    tracer: Tracer, equation: core.JaxprEqn, operands: list[Known], results: list[Array]
) -> list[Known]:
    """One time-major input, carries that start at zero, constant weights."""
    params = equation.params
    consts, count = params["num_consts"], params["num_carry"]
    body = params["jaxpr"]
    weights, starts, inputs = (
        operands[:consts],
        operands[consts : consts + count],
        operands[consts + count :],
    )
    if len(inputs) != 1 or not isinstance(inputs[0], Chain) or not inputs[0].is_time_major:
        raise refusal("scan", "it must read exactly one value, transposed to time first")
    if any(isinstance(value, Chain) for value in weights):
        raise refusal("scan", "its body reads a computed value that is not its input")
    if not 1 <= count <= CARRIES_MAX or any(isinstance(v, Chain) or v.any() for v in starts):
        raise refusal("scan", f"it needs 1 to {CARRIES_MAX} carries that start at zero")
    source = inputs[0]
    before, after = _run(body, weights, starts, source.values, reverse=params["reverse"])
    inner = Tracer(np.concatenate(list(source.values)).astype(np.float32), tracer.rules)
    carries: list[Known] = [
        inner.chain(n.Carry(i), np.concatenate(values)) for i, values in enumerate(before)
    ]
    here: list[Known] = [*weights, *carries, Chain(0, inner.nodes[0].values, None, None)]
    made = inner.run(body.jaxpr, list(body.consts), here)
    ends = tuple(inner.node(value) for value in made[:count])
    outer: list[Known] = []
    for place, values in enumerate(results):
        emits = place >= count
        carry = place if not emits else _carry_of(body.jaxpr, place, count)
        node = n.Recurrent(
            source=source.root,
            body=tuple(inner.nodes),
            results=ends,
            carry=carry,
            emit_all=emits,
            reverse=params["reverse"],
        )
        batch_first = np.stack(after[carry], axis=1) if emits else values
        made_node = tracer.add(node, batch_first)
        outer.append(Chain(made_node, values, None, None, is_time_major=emits))
    return outer


def _carry_of(jaxpr: core.Jaxpr, place: int, count: int) -> int:
    """The carry that an emitted value is; anything else would need a second output."""
    emitted = jaxpr.outvars[place]
    for index in range(count):
        if jaxpr.outvars[index] is emitted:
            return index
    raise refusal("scan", "it emits something that is not one of its carries")


def _run(
    body: core.ClosedJaxpr,
    weights: list[Known],
    starts: list[Known],
    steps: Array,
    *,
    reverse: bool,
) -> tuple[list[list[Array]], list[list[Array]]]:
    """Every carry before and after every step, in order of time."""
    function = core.jaxpr_as_fun(body)
    state = [jnp.asarray(value) for value in starts]
    before: list[list[Array]] = [[] for _ in starts]
    after: list[list[Array]] = [[] for _ in starts]
    order = range(len(steps))
    for step in reversed(order) if reverse else order:
        for history, value in zip(before, state, strict=True):
            history.append(np.asarray(value))
        found = function(*weights, *state, jnp.asarray(steps[step]))
        state = list(found[: len(starts)])
        for history, value in zip(after, state, strict=True):
            history.append(np.asarray(value))
    if reverse:
        for history in (*before, *after):
            history.reverse()
    return before, after
