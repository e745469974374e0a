"""Helpers for a plant's own training: FedProx and plain descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from andon.core.errors import Misuse
from models.federated.local import Batch, descend, proximal_loss

START = np.zeros(2, np.float32)
BATCH: Batch = (np.full(2, 4.0, np.float32),)


def parabola(weights: jax.Array, batch: Batch) -> jax.Array:
    return jnp.sum((weights - batch[0]) ** 2) / 2


def test_the_proximal_term_keeps_many_steps_near_the_model_of_the_round() -> None:
    # The minimum of (w - 4)^2 / 2 + strength / 2 * w^2 is 4 / (1 + strength).
    for strength, minimum in ((0.0, 4.0), (1.0, 2.0), (3.0, 1.0)):
        found = descend(parabola, START, [BATCH] * 200, rate=0.1, proximal=strength)
        assert np.abs(found.update - minimum).max() < 1e-3
        near = proximal_loss(parabola, START, strength)
        gradient = jax.grad(near)(jnp.full(2, minimum), BATCH)
        assert float(jnp.abs(gradient).max()) < 1e-5


def test_a_correction_is_added_to_every_gradient_and_the_travel_is_told() -> None:
    found = descend(parabola, START, [BATCH], rate=0.5, correction=np.float32([4.0, 0.0]))
    assert found.update.tolist() == [0.0, 2.0]
    assert descend(parabola, START, [BATCH] * 3, rate=0.5).travel == 1.5


def test_no_batch_or_rate_is_refused() -> None:
    for batches, rate in (([], 0.1), ([BATCH], 0.0)):
        with pytest.raises(Misuse, match="a batch and a positive rate"):
            descend(parabola, START, batches, rate=rate)
