"""Any JAX callable of the supported kind becomes integers close to it; the rest is refused."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from andon.core.errors import Code, InvalidInput
from models.certificate import certify_graph
from models.compile import Plan, build
from models.convert import Options, certify, convert
from models.interpreter import interpret
from models.package import Description
from models.quantiser import linear_quantiser
from models.train.networks import ConvNet1d, FilterNet, RecurrentNet

Function = Callable[[jax.Array], jax.Array]
RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> jax.Array:
    return jnp.asarray(RANDOM.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape), jnp.float32)


def attention(x: jax.Array) -> jax.Array:
    q, k, v = (x @ matrix for matrix in (WQ, WK, WV))
    scores = jax.nn.softmax(q @ k.transpose(0, 2, 1) / 2.0, axis=-1)
    return (scores @ v).reshape(x.shape[0], -1) @ WO


def layer_norm(x: jax.Array) -> jax.Array:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    y = (x - mean) * jax.lax.rsqrt(variance + 1e-3) * GAIN + OFFSET
    return y.reshape(x.shape[0], -1) @ WO


WQ, WK, WV = weights(4, 4), weights(4, 4), weights(4, 4)
WO = weights(32, 2)
GAIN, OFFSET = jnp.asarray([1.0, 2.0, 0.5, 1.5]), jnp.asarray([0.1, -0.2, 0.3, 0.0])
W1, B1, W2 = weights(32, 16), weights(16) * 0.1, weights(16, 2)

CASES: dict[str, Function] = {
    "dense relu": lambda x: nnx.relu(x.reshape(x.shape[0], -1) @ W1 + B1) @ W2,
    "gelu": lambda x: nnx.gelu(x.reshape(x.shape[0], -1) @ W1 * 2) @ W2,
    "silu": lambda x: nnx.silu(x.reshape(x.shape[0], -1) @ W1 * 3) @ W2,
    "tanh sigmoid": lambda x: jnp.tanh(nnx.sigmoid(x.reshape(x.shape[0], -1) @ W1 * 4)) @ W2,
    "leaky relu": lambda x: nnx.leaky_relu(x.reshape(x.shape[0], -1) @ W1) @ W2,
    "residual": lambda x: (
        nnx.relu(x @ WQ) + x @ WK
    ).reshape(x.shape[0], -1) @ WO,
    "gated product": lambda x: (
        nnx.sigmoid(x @ WQ) * jnp.tanh(x @ WK)
    ).reshape(x.shape[0], -1) @ WO,
    "mean and max pooling": lambda x: jnp.concatenate(
        [nnx.avg_pool(x, (2,), (2,)), nnx.max_pool(x, (2,), (2,))], axis=-1
    ).reshape(x.shape[0], -1) @ WO,
    "global mean": lambda x: (x @ WQ).mean(axis=1) @ weights_fixed,
    "softmax output": lambda x: jax.nn.softmax(
        x.reshape(x.shape[0], -1) @ W1 @ jnp.concatenate([W2, -W2], axis=1)
    ),
    "attention": attention,
    "layer norm": layer_norm,
    "split": lambda x: (
        jnp.split(x, 2, axis=1)[0] - jnp.split(x, 2, axis=1)[1]
    ).reshape(x.shape[0], -1) @ W1[:16, :2],
    "positional": lambda x: nnx.relu(x + POSITION).reshape(x.shape[0], -1) @ WO,
}  # fmt: skip
weights_fixed = weights(4, 2)
POSITION = weights(8, 4)
TOLERANCE = {"softmax output": 0.06, "attention": 0.12, "layer norm": 0.08}


def samples(*shape: int, count: int = 256) -> np.ndarray:
    return np.random.default_rng(1).integers(-127, 128, (count, *shape)).astype(np.int8)


@pytest.mark.parametrize("name", CASES)
def test_integers_stay_close_to_the_float_function(name: str) -> None:
    function, windows = CASES[name], samples(8, 4)
    conversion = convert(function, windows, Options(steps_per_unit=4096))
    floats = np.asarray(function(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    error = np.sqrt(np.mean((whole - floats) ** 2)) / floats.std()
    assert error < TOLERANCE.get(name, 0.04)


@pytest.mark.parametrize("name", ["attention", "layer norm", "residual"])
def test_xla_computes_converted_functions_exactly(name: str) -> None:
    windows = samples(8, 4, count=64)
    conversion = convert(CASES[name], windows, Options())
    certificate = certify_graph(conversion.graph, conversion.tensors)
    expected = interpret(conversion.graph, conversion.tensors, windows)
    for plan in (Plan("float32", native_conv=True), Plan("int8")):
        run = jax.jit(build(conversion.graph, conversion.tensors, certificate, plan))
        np.testing.assert_array_equal(np.asarray(run(windows)), expected)


@pytest.mark.parametrize("network", [ConvNet1d, FilterNet])
def test_flax_networks_with_batch_norm_and_dropout_convert(network: type[ConvNet1d]) -> None:
    model = network(3, 30, rngs=nnx.Rngs(0))
    model.eval()
    windows = samples(30, 3)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    assert np.sqrt(np.mean((whole - floats) ** 2)) < 0.06 * floats.std()
    kinds = {type(operation).__name__ for operation in conversion.graph.operations}
    assert kinds <= {"Conv", "Dense", "Rescale", "Reshape", "Clip"}


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_cells_convert_to_certified_scans_that_xla_computes_exactly(cell: str) -> None:
    model = RecurrentNet(3, cell=cell, hidden=12, rngs=nnx.Rngs(0))
    model.eval()
    windows = samples(15, 3, count=96)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows)
    assert np.sqrt(np.mean((whole / 4096 - floats) ** 2)) < 0.03 * floats.std()
    certificate = certify_graph(conversion.graph, conversion.tensors)
    run = jax.jit(build(conversion.graph, conversion.tensors, certificate, Plan("int8")))
    np.testing.assert_array_equal(np.asarray(run(windows)), whole)


def test_a_reversed_scan_that_emits_every_step_converts() -> None:
    kernel = weights(3, 3)

    def model(x: jax.Array) -> jax.Array:
        def step(carry: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
            after = jnp.tanh(carry * 0.5 + now @ kernel)
            return after, after

        start = jnp.zeros((x.shape[0], 3))
        _, every = jax.lax.scan(step, start, x.transpose(1, 0, 2), reverse=True)
        return every.transpose(1, 0, 2).reshape(x.shape[0], -1)

    windows = samples(6, 3, count=64)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    assert np.abs(whole - floats).max() < 0.06


def test_a_scan_that_starts_elsewhere_than_zero_is_refused() -> None:
    def model(x: jax.Array) -> jax.Array:
        start = jnp.ones((x.shape[0], 4))
        last, _ = jax.lax.scan(lambda c, v: (c + v, None), start, x.transpose(1, 0, 2))
        return last

    with pytest.raises(InvalidInput) as caught:
        convert(model, samples(8, 4), Options())
    assert "start at zero" in str(caught.value)


def test_depthwise_and_dilated_convolutions_convert() -> None:
    depthwise = nnx.Conv(4, 4, (3,), feature_group_count=4, padding="VALID", rngs=nnx.Rngs(0))
    dilated = nnx.Conv(4, 5, (2,), kernel_dilation=(3,), padding="VALID", rngs=nnx.Rngs(1))

    def model(x: jax.Array) -> jax.Array:
        return nnx.relu(dilated(nnx.relu(depthwise(x)))).reshape(x.shape[0], -1)

    windows = samples(8, 4)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    assert np.abs(whole - floats).max() < 0.1
    assert {type(o).__name__ for o in conversion.graph.operations} >= {"Conv", "Depthwise"}


def test_images_convert_too() -> None:
    conv = nnx.Conv(1, 6, (3, 3), strides=(2, 2), rngs=nnx.Rngs(0))

    def model(x: jax.Array) -> jax.Array:
        return nnx.max_pool(nnx.relu(conv(x)), (2, 2), (2, 2)).reshape(x.shape[0], -1)

    windows = samples(12, 12, 1, count=64)
    conversion = convert(model, windows, Options(steps_per_unit=4096))
    floats = np.asarray(model(jnp.asarray(windows / 127.0, jnp.float32)))
    whole = interpret(conversion.graph, conversion.tensors, windows) / 4096
    assert np.sqrt(np.mean((whole - floats) ** 2)) < 0.03 * floats.std()


def test_outputs_are_clipped_to_the_stated_range_and_scaled_by_the_gain() -> None:
    options = Options(gain=100.0, low=0, high=50, steps_per_unit=16)
    conversion = convert(CASES["dense relu"], samples(8, 4), options)
    outputs = interpret(conversion.graph, conversion.tensors, samples(8, 4))
    assert outputs.min() == 0
    assert outputs.max() == 50 * 16


def test_losses_are_reported_layer_by_layer() -> None:
    losses = convert(CASES["dense relu"], samples(8, 4), Options()).losses
    assert any("relu" in loss.name and loss.bits == 8 for loss in losses)
    assert all(0 <= loss.relative_error < 0.1 for loss in losses)


def test_certify_makes_a_package_whose_values_are_in_the_unit_of_the_gain() -> None:
    quantiser = linear_quantiser(("a", "b", "c", "d"), -np.ones(4), np.ones(4))
    about = Description(name="m", version="1", task="t", scale_num=1, scale_den=1)
    windows = samples(8, 4)
    package = certify(CASES["dense relu"], windows, quantiser, about, Options(gain=10.0))
    floats = np.asarray(CASES["dense relu"](jnp.asarray(windows / 127.0, jnp.float32))) * 10
    first = package.golden.outputs[0][0]
    assert package.manifest.scale_den == 256
    assert package.value(first) == pytest.approx(float(floats[0, 0]), abs=0.6)


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda x: jnp.sort(x.reshape(x.shape[0], -1), axis=-1), "sort"),
        (lambda x: x.sum(axis=0, keepdims=True), "batch"),
        (lambda x: jnp.cumsum(x.reshape(x.shape[0], -1), axis=-1), "cumsum"),
        (lambda x: jnp.fft.fft(x.reshape(x.shape[0], -1)).real, "fft"),
        (lambda x: jnp.ones((x.shape[0], 2)), "depends on its input"),
    ],
)
def test_what_has_no_integer_counterpart_is_refused_by_name(function: Function, word: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(function, samples(8, 4), Options())
    assert caught.value.code is Code.NOT_CERTIFIED
    assert word in str(caught.value)


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(CASES["gelu"], samples(8, 4, count=3), Options())
    assert caught.value.code is Code.BAD_DATASET
