"""The network, its exact score and private training on generated machines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from models.data import degradation
from models.federated.privacy import Mechanism, cost_micro_rho
from models.federated.ring import Encoding
from models.federated.rul import CAP, Data, Local, Network
from models.federated.simulate import Federation
from models.federated.strategies import model_to_fine
from models.federated.trained import Floats
from models.federated.validation import make_scorer
from models.quantiser import linear_quantiser, quantise

NETWORK = Network(degradation.WINDOW, len(degradation.SENSORS))


def generated(count: int, seed: int) -> Data:
    readings, lives = degradation.training_windows(degradation.fleet(count, seed), stride=6)
    lows, highs = readings.min(axis=(0, 1)), readings.max(axis=(0, 1))
    inputs = quantise(linear_quantiser(degradation.SENSORS, lows, highs), readings).values
    return Data(inputs, lives.astype(np.float32))


def error(weights: Floats, data: Data) -> float:
    return float(np.sqrt(np.mean((NETWORK.predict(weights, data.inputs) - data.lives) ** 2)))


def test_the_exact_score_is_the_float_error_to_a_few_thousandths() -> None:
    data = generated(4, 1)
    weights = NETWORK.initial(0)
    for _ in range(5):
        weights = weights + NETWORK.train(weights, data, Local(), seed=1).update
    scorer = make_scorer(NETWORK.validation(data), NETWORK.parameters, 24)
    score = scorer(model_to_fine(weights, 24))
    assert -score / 1000 == pytest.approx(error(weights, data), abs=0.02)


def test_gradients_are_clipped_record_by_record() -> None:
    data = generated(1, 1)
    x, y = data.inputs[:6], data.lives[:6]
    weights = jnp.asarray(NETWORK.initial(0))

    def loss(found: jax.Array, window: jax.Array, life: jax.Array) -> jax.Array:
        inputs = window[None].astype(jnp.float32) / 127
        return jnp.mean((NETWORK.apply(found, inputs)[0, 0] - life / CAP) ** 2)

    each = np.asarray(jax.vmap(jax.grad(loss), (None, 0, 0))(weights, jnp.asarray(x), y))
    norms = np.linalg.norm(each, axis=1)
    clip = float(np.median(norms))
    is_real = np.arange(6) < 5
    wanted = (each * (np.minimum(1, clip / norms) * is_real)[:, None]).sum(axis=0)
    found = np.asarray(NETWORK.clipped_sum(weights, x, y, is_real, clip))
    assert norms.min() < clip < norms.max()
    assert found == pytest.approx(wanted, abs=1e-5)


def test_the_exact_score_survives_absurd_models() -> None:
    data = generated(1, 1)
    scorer = make_scorer(NETWORK.validation(data), NETWORK.parameters, 24)
    for value in (2**62, -(2**62), 0):
        assert -CAP * 1000 <= scorer(np.full(NETWORK.parameters, value, np.int64)) <= 0


def test_a_masked_federation_learns_and_equals_the_open_one_bit_for_bit() -> None:
    sites = [generated(3, seed) for seed in (1, 2, 3, 4)]
    encoding = Encoding(16, 1 << 20, 1 << 24, 1, 4)
    masked = Federation.start(NETWORK.initial(0), encoding)
    masked.is_masked = True
    opened = Federation.start(NETWORK.initial(0), encoding)
    before = error(masked.weights(), sites[0])
    for number in range(6):
        dropped = (3,) if number == 2 else ()
        for federation in (masked, opened):
            updates = [
                NETWORK.train(federation.weights(), site, Local(steps=20), seed=number).update
                for site in sites
            ]
            federation.step(updates, dropped)
        assert masked.state.model.tobytes() == opened.state.model.tobytes()
    assert error(masked.weights(), sites[0]) < before / 2


def test_private_training_costs_what_its_mechanism_says_and_is_never_repeatable() -> None:
    data = generated(2, 1)
    mechanism = Mechanism(clip=0.5, noise=1.0, rate=0.2)
    local = Local(steps=3, mechanism=mechanism)
    weights = NETWORK.initial(0)
    first = NETWORK.train(weights, data, local, seed=1)
    second = NETWORK.train(weights, data, local, seed=1)
    assert first.rho == cost_micro_rho(mechanism, 3)
    assert not np.array_equal(first.update, second.update)
