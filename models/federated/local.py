"""Local training for a plant's own loss: plain steps, FedProx and SCAFFOLD. None of it is needed.

A plant's `train` may be any program. With an optimiser of your own take `proximal_loss`; `descend`
is a whole round of plain gradient steps, which is what SCAFFOLD's correction is defined for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from andon.core.errors import Code, Misuse
from models.federated.trained import Trained

Floats = NDArray[np.float32]
Batch = tuple[NDArray[np.generic], ...]
Loss = Callable[[jax.Array, Batch], jax.Array]
"""(`f32[d]`, a batch of records) -> the mean loss, `f32[]`."""
_LOSSES_KEPT = 8


def proximal_loss(loss: Loss, start: Floats, strength: float) -> Loss:
    """The loss plus `strength / 2` times the squared distance from the round's model.

    Many local steps on unusual data then go less far astray. Source: FedProx (Li et al.
    1812.06127).
    """
    fixed = jnp.asarray(start)

    def near(weights: jax.Array, batch: Batch) -> jax.Array:
        apart = weights - fixed
        return loss(weights, batch) + strength / 2 * jnp.vdot(apart, apart)

    return near


def descend(
    loss: Loss,
    start: Floats,
    batches: Iterable[Batch],
    *,
    rate: float,
    proximal: float = 0.0,
    correction: Floats | None = None,
) -> Trained:
    """One step of gradient descent a batch, from the round's model `start: f32[d]`.

    `proximal` is FedProx's strength; `correction` is what a SCAFFOLD run gives to `train`. Pass
    the same `loss` in every round: it is compiled once.

    Raises:
        Misuse: BAD_ARGUMENTS without a batch or a positive rate.
    """
    fixed = jnp.asarray(start)
    shift = jnp.zeros_like(fixed) if correction is None else jnp.asarray(correction)
    current, steps = fixed, 0
    for batch in batches:
        gradient = _gradient(loss)(current, batch)
        current = current - rate * (gradient + proximal * (current - fixed) + shift)
        steps += 1
    if rate <= 0 or not steps:
        raise Misuse(Code.BAD_ARGUMENTS, "training needs a batch and a positive rate")
    return Trained(update=np.asarray(current - fixed, np.float32), travel=rate * steps)


def adam_scan(
    gradient: Callable[..., jax.Array],
    start: jax.Array,
    batches: tuple[jax.Array, ...],
    rate: float,
) -> jax.Array:
    """One step of Adam for each row of `batches`, whose first axis counts them; for `jax.jit`."""
    optimiser = optax.adam(rate)

    def step(
        carry: tuple[jax.Array, optax.OptState], batch: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, optax.OptState], None]:
        current, state = carry
        update, state = optimiser.update(gradient(current, *batch), state)
        return (current + update, state), None

    (trained, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), batches)
    return jnp.asarray(trained)


def adam_step(
    weights: jax.Array, state: optax.OptState, gradient: jax.Array, rate: float
) -> tuple[jax.Array, optax.OptState]:
    """One step of Adam with a gradient that was made elsewhere, such as a noisy one."""
    update, state = optax.adam(rate).update(gradient, state)
    return weights + update, state


@lru_cache(maxsize=_LOSSES_KEPT)
def _gradient(loss: Loss) -> Callable[[jax.Array, Batch], jax.Array]:
    return jax.jit(jax.grad(loss))
