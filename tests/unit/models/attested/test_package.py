"""Float packages: traced, opened, refused, run; equal to the function they came from."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput, Unavailable
from models.attested import graph as g
from models.attested.convert import float_graph
from models.attested.evaluate import check_graph, compile_graph
from models.attested.package import (
    FLOATS,
    FloatModel,
    FloatPackage,
    build_float_package,
    to_integers,
)
from models.package import Description, Package
from models.quantiser import linear_quantiser
from models.runtime import Runtime

DESCRIPTION = Description(
    name="float", version="1", task="rul", scale_num=1, scale_den=1_000_000, kind="attested"
)
QUANTISER = linear_quantiser(("a", "b"), np.zeros(2), np.ones(2))
SAMPLES = np.random.default_rng(7).integers(-127, 128, (30, 12, 2)).astype(np.int8)


class Recurrent(nnx.Module):
    """Convolution, a GRU by scan, attention, layer norm: what real models use."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(2, 8, kernel_size=(3,), rngs=rngs)
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.cell = nnx.GRUCell(8, 8, rngs=rngs)
        self.query = nnx.Linear(8, 8, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.gelu(self.norm(self.conv(x)))
        x = nnx.max_pool(x, (2,), (2,))

        def step(state: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
            state, out = self.cell(state, row)
            return state, out

        _, rows = jax.lax.scan(step, jnp.zeros((x.shape[0], 8)), jnp.swapaxes(x, 0, 1))
        rows = jnp.swapaxes(rows, 0, 1)
        weights = nnx.softmax(self.query(rows) @ jnp.swapaxes(rows, 1, 2))
        return self.head((weights @ rows).mean(axis=1))


@pytest.fixture(scope="module")
def model() -> Recurrent:
    return Recurrent(nnx.Rngs(3))


@pytest.fixture(scope="module")
def package(model: Recurrent) -> FloatPackage:
    return build_float_package(DESCRIPTION, model, QUANTISER, SAMPLES)


def test_the_graph_computes_what_the_function_computes(
    model: Recurrent, package: FloatPackage
) -> None:
    found = np.array(FloatModel(package, "cpu").predict([row.tobytes() for row in SAMPLES]))
    expected = np.asarray(model(jnp.asarray(SAMPLES, jnp.float32) / 127.0))
    assert found.shape == (30, 3)
    assert np.abs(found / 1e6 - expected).max() < 1e-5


def test_a_blob_opens_to_the_same_package_and_a_changed_one_does_not_open(
    package: FloatPackage,
) -> None:
    blob = package.to_blob()
    assert FloatPackage.from_blob(blob).to_blob() == blob
    place = blob.index(FLOATS.write(package.tensors)[-64:])
    changed = blob[:place] + bytes([blob[place] ^ 1]) + blob[place + 1 :]
    with pytest.raises(InvalidInput) as caught:
        FloatPackage.from_blob(changed)
    assert caught.value.code is Code.DIGEST_MISMATCH
    with pytest.raises(InvalidInput):
        Package.from_blob(blob)


def test_an_exact_package_is_no_float_package() -> None:
    folder = Path(__file__).parents[4] / "models" / "packages" / "rul-demo"
    with pytest.raises(InvalidInput, match="exact"):
        FloatPackage.from_blob((folder / "package.blob").read_bytes())


def test_the_worker_runs_float_models_beside_exact_ones(package: FloatPackage) -> None:
    runtime = Runtime("cpu")
    runtime.warm()
    identity = runtime.load(package.to_blob())
    assert runtime.load(package.to_blob()) == identity
    assert runtime.loaded() == (identity,)
    assert runtime.manifest(identity).kind == "attested"
    outputs = runtime.predict(identity, package.golden.windows)
    near = np.abs(np.array(outputs) - np.array(package.golden.outputs)).max()
    assert near <= 20
    runtime.conformance(identity)
    with pytest.raises(InvalidInput):
        runtime.predict(identity, [b"\x80" * 24])
    runtime.unload(identity)
    assert runtime.loaded() == ()
    with pytest.raises(Unavailable, match="JAX"):
        Runtime("numpy").load(package.to_blob())


def test_golden_outputs_of_another_model_are_refused(package: FloatPackage) -> None:
    tensors = {name: np.asarray(t * np.float32(1.1)) for name, t in package.tensors.items()}
    other = FloatPackage(
        manifest=package.manifest, graph=package.graph, tensors=tensors,
        quantiser=package.quantiser, golden=package.golden, card="",
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="golden outputs are"):
        FloatModel(other, "cpu")


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (g.Pointwise("system", (0, 0)), "out of bounds"),
        (g.Pointwise("add", (0, 9)), "not there"),
        (g.Pointwise("add", (-1, 0)), "not there"),
        (g.Power(0, 1000), "out of bounds"),
        (g.Convert(0, "object"), "out of bounds"),
        (g.Reduce("prod", 0, (1,)), "out of bounds"),
        (g.Broadcast(0, (1 << 20, 1 << 20, 1, 2), (2, 3)), "too large"),
        (g.Broadcast(0, (1 << 40,), (0,)), "out of bounds"),
        (g.Reshape(0, (-1,)), "out of bounds"),
        (g.Constant("nowhere"), "nowhere"),
        (g.Dot(0, 0, (7,), (7,), (), ()), "operation 0"),
        (g.Transpose(0, (5, 6)), "operation 0"),
        (g.Slice(0, (0, 0), (9, 9), (1, 1)), "operation 0"),
        (g.Pool("max", 0, (1 << 30, 1), (1, 1), ((0, 0), (0, 0))), "operation 0"),
        (g.Reduce("sum", 0, (1,)), "f32"),
    ],
)
def test_a_graph_that_is_none_is_refused_before_it_runs(
    operation: g.Operation, reason: str
) -> None:
    graph = g.FloatGraph((2,), (operation,))
    with pytest.raises(InvalidInput, match=reason) as caught:
        check_graph(graph, {})
    assert caught.value.code is Code.BAD_MODEL_PACKAGE


def test_too_many_operations_are_refused() -> None:
    graph = g.FloatGraph((2,), (g.Pointwise("neg", (0,)),) * (g.OPERATIONS_MAX + 1))
    with pytest.raises(InvalidInput, match="8192"):
        check_graph(graph, {})


def test_primitives_without_counterpart_are_named() -> None:
    with pytest.raises(InvalidInput, match="sort"):
        float_graph(lambda x: jnp.sort(x, axis=-1), (4,))


def test_multiply_adds_are_counted() -> None:
    weight = jnp.ones((4, 5))
    graph, tensors = float_graph(lambda x: x @ weight, (4,))
    outputs, work = check_graph(graph, tensors)
    assert outputs == 5
    assert work == 4 * 5 + 4 * 5
    found = compile_graph(graph, tensors, "cpu")(np.full((4,), 127, np.int8))
    assert found.tolist() == [4.0] * 5


def test_outputs_round_half_to_even_and_must_be_finite(package: FloatPackage) -> None:
    manifest = package.manifest
    halves = np.array([0.5e-6, 1.5e-6, -2.5e-6], np.float64)
    assert to_integers(manifest, halves) == (0, 2, -2)  # type: ignore[arg-type] # exact halves
    for bad in (np.nan, np.inf, 1e30):
        with pytest.raises(InvalidInput, match="no number"):
            to_integers(manifest, np.array([bad, 0, 0], np.float32))


def test_tensors_are_canonical_and_hold_numbers() -> None:
    tensors = {"b": np.ones((2, 3), np.float32), "a": np.zeros((), np.float32)}
    data = FLOATS.write(tensors)
    assert {k: v.tolist() for k, v in FLOATS.read(data).items()} == {
        "a": 0.0, "b": [[1.0] * 3] * 2,
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="no number"):
        FLOATS.write({"a": np.array([np.nan], np.float32)})
    for broken in (data[:7], data[:20], b"\xff" * 64, data + b"x"):
        with pytest.raises(InvalidInput):
            FLOATS.read(broken)
    assert len(encode(g.FloatGraph((1,), ()))) > 0
