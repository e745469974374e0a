"""Training on rounded operands: the rounding, its gradient, and what it wins back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.convert import Options, convert
from models.convert.scales import clip_scale
from models.interpreter import interpret
from models.train.certified import fit_certified
from models.train.fake_quant import activation_step, fake_quantised, rounded, weight_steps
from models.train.fit import FitConfig, evaluate, squared
from models.train.networks import RecurrentNet
from models.train.step import Network

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.integers(-127, 128, (1500, 8)).astype(np.int8)
PLACES = INPUTS / 127
TARGETS = (
    np.sin(3 * PLACES[:, 0] * PLACES[:, 1])
    + 0.5 * PLACES[:, 2] * PLACES[:, 3]
    + 0.3 * np.abs(PLACES[:, 4])
)[:, np.newaxis].astype(np.float32)
OPTIONS = Options(steps_per_unit=1 << 14)


class Uneven(Network):
    """Hidden values of one layer that differ by four orders of magnitude: int8 keeps the large."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(8, 24, rngs=rngs)
        self.second = nnx.Linear(24, 24, rngs=rngs)
        self.last = nnx.Linear(24, 1, rngs=rngs)
        self.gains = np.logspace(-3, 1, 24, dtype=np.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.relu(self.first(x)) * self.gains
        return jnp.asarray(self.last(nnx.relu(self.second(x))))


def test_values_go_to_their_grid_and_gradients_through_it() -> None:
    x = jnp.asarray([-3.0, -0.26, 0.24, 0.9, 200.0])
    value, pull = jax.vjp(lambda x: rounded(x, jnp.asarray(0.5)), x)
    assert value.tolist() == [-3.0, -0.5, 0.0, 1.0, 63.5]
    assert pull(jnp.ones(5))[0].tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]


def test_steps_are_near_those_that_conversion_chooses() -> None:
    values = RANDOM.normal(size=(64, 50)).astype(np.float32)
    found = float(activation_step(jnp.asarray(values)))
    assert abs(found / clip_scale(values) - 1) < 0.1
    steps = weight_steps(jnp.asarray(values), (1,))
    assert steps.shape == (1, 50)
    np.testing.assert_allclose(steps[0], 2 * np.abs(values).max(axis=0) / 127, rtol=1e-6)


def test_products_of_recurrent_layers_and_convolutions_are_rounded() -> None:
    kernel = jnp.asarray(RANDOM.normal(size=(3, 2, 4)), jnp.float32)

    def convolution(x: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
        )

    lstm = RecurrentNet(2, cell="lstm", hidden=8, rngs=nnx.Rngs(0))
    x = jnp.asarray(RANDOM.uniform(-1, 1, (16, 6, 2)), jnp.float32)
    for function in (convolution, lstm):
        exact, found = function(x), fake_quantised(function)(x)
        error = float(jnp.abs(exact - found).max() / jnp.abs(exact).max())
        assert 1e-4 < error < 0.1


def test_what_rounding_loses_is_won_back_by_training_on_rounded_operands() -> None:
    model = Uneven(rngs=nnx.Rngs(0))
    found = fit_certified(
        model, INPUTS[:1000], TARGETS[:1000],
        FitConfig(epochs=30, batch=100, rate=1e-2, average=0.95, noise=0.0),
        OPTIONS, loss=squared, validation=(INPUTS[1000:], TARGETS[1000:]),
    )  # fmt: skip
    assert found.rounded_loss > 1.01 * found.float_loss
    assert found.tuned_loss is not None
    lost, left = (loss - found.float_loss for loss in (found.rounded_loss, found.tuned_loss))
    assert left < 0.5 * lost
    integers = interpret(found.conversion.graph, found.conversion.tensors, INPUTS[1000:]) / (
        1 << 14
    )
    kept = float(np.mean((integers - TARGETS[1000:]) ** 2))
    assert abs(kept - found.tuned_loss) < 1e-5
    assert sum("largest" in line for line in found.lines()) == 1


def test_a_model_that_was_trained_on_converts_with_its_new_weights() -> None:
    model = Uneven(rngs=nnx.Rngs(1))
    before = convert(model, INPUTS[:64], OPTIONS)
    model.last.bias[...] = model.last.bias[...] + 1.0
    after = convert(model, INPUTS[:64], OPTIONS)
    moved = interpret(after.graph, after.tensors, INPUTS[:64]) - interpret(
        before.graph, before.tensors, INPUTS[:64]
    )
    assert np.abs(moved / (1 << 14) - 1).max() < 0.01
    assert evaluate(model, INPUTS[:1]).shape == (1, 1)
