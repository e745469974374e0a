"""Whole numbers inside a model: argmax, embeddings, and heads of attention that meet again."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import certify_graph
from models.compile import Plan, build
from models.convert import Options, convert
from models.interpreter import interpret
from models.train.attention import AttentionNet, attention

WINDOWS = np.random.default_rng(1).integers(-127, 128, (128, 6, 8)).astype(np.int8)
ROWS = nnx.Embed(7, 8, rngs=nnx.Rngs(3))
HEADS = nnx.MultiHeadAttention(
    num_heads=2,
    in_features=8,
    qkv_features=8,
    decode=False,
    attention_fn=attention,
    rngs=nnx.Rngs(0),
)
OUT = jnp.asarray(np.random.default_rng(2).normal(0, 0.2, (48, 3)), jnp.float32)


NET = AttentionNet(8, 6, width=8, heads=2, rngs=nnx.Rngs(1))
NET.eval()


def winner(x: jax.Array) -> jax.Array:
    return jnp.argmax(x.reshape(x.shape[0], -1), axis=-1, keepdims=True).astype(jnp.float32)


def categories(x: jax.Array) -> jax.Array:
    kinds = jnp.clip(jnp.round(x[:, :, 0] * 127).astype(jnp.int32), 0, 6)
    return (ROWS(kinds) * x).reshape(x.shape[0], -1) @ OUT


def heads(x: jax.Array) -> jax.Array:
    return HEADS(x).reshape(x.shape[0], -1) @ OUT


def row_of_the_winner(x: jax.Array) -> jax.Array:
    return ROWS(jnp.argmax(x[:, 0, :7], axis=-1))


def integers(function: Callable[[jax.Array], jax.Array]) -> tuple[np.ndarray, g.Graph]:
    """The interpreter's outputs in the function's unit; XLA agrees bit for bit."""
    conversion = convert(function, WINDOWS, Options(steps_per_unit=4096))
    whole = interpret(conversion.graph, conversion.tensors, WINDOWS)
    certificate = certify_graph(conversion.graph, conversion.tensors)
    run = jax.jit(build(conversion.graph, conversion.tensors, certificate, Plan("int8")))
    np.testing.assert_array_equal(np.asarray(run(WINDOWS)), whole)
    return whole / 4096, conversion.graph


@pytest.mark.parametrize(
    ("function", "tolerance"),
    [(categories, 0.03), (row_of_the_winner, 0.01), (heads, 0.12), (NET, 0.12)],
)
def test_integers_stay_close_to_the_float_function(
    function: Callable[[jax.Array], jax.Array], tolerance: float
) -> None:
    found, _ = integers(function)
    floats = np.asarray(function(jnp.asarray(WINDOWS / 127.0, jnp.float32)))
    assert np.sqrt(np.mean((found - floats) ** 2)) < tolerance * floats.std()


def test_an_embedding_becomes_an_exact_gather() -> None:
    _, graph = integers(categories)
    assert any(isinstance(operation, g.Embed) for operation in graph.operations)


def test_argmax_is_the_index_itself() -> None:
    found, graph = integers(winner)
    expected = WINDOWS.reshape(len(WINDOWS), -1).argmax(axis=1)
    assert found[:, 0].tolist() == expected.tolist()
    assert any(isinstance(operation, g.ArgMax) for operation in graph.operations)


@pytest.mark.parametrize(
    ("function", "word"),
    [
        (lambda x: jnp.argmax(x, axis=1), "last axis"),
        (lambda x: ROWS((x @ x.transpose(0, 2, 1))[:, :, 0].astype(jnp.int32)), "quantisation"),
        (lambda x: jnp.take(x, jnp.array([0, 2]), axis=1), "constant table"),
    ],
)
def test_other_uses_of_indices_are_refused(
    function: Callable[[jax.Array], jax.Array], word: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(function, WINDOWS, Options())
    assert caught.value.code is Code.NOT_CERTIFIED
    assert word in f"{caught.value} {caught.value.hint}"
