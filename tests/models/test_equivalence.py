"""XLA computes what the interpreter means: random graphs, every plan, any split of a batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import graph as g
from models.certificate import certify_graph
from models.compile import Plan, build
from models.environment import prepare_environment
from models.interpreter import interpret, trace
from models.package import edge_windows
from tests.models.random_graphs import STEPS, random_graph

prepare_environment("cpu")
import jax  # noqa: E402 # after the environment

PLANS = (
    Plan("float32", native_conv=True),
    Plan("float32"),
    Plan("int8"),
    Plan("bfloat16"),
)
SLOW = settings(
    max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def windows_for(graph: g.Graph, seed: int, count: int = 9) -> np.ndarray:
    random = np.random.default_rng(seed)
    drawn = random.integers(-127, 128, (count, *graph.input_shape)).astype(np.int8)
    return np.concatenate([drawn, edge_windows(graph.input_shape)])


@SLOW
@given(seed=st.integers(0, 2**32), plan=st.sampled_from(PLANS))
def test_xla_equals_the_interpreter_on_random_graphs(seed: int, plan: Plan) -> None:
    graph, tensors = random_graph(seed)
    certificate = certify_graph(graph, tensors)
    windows = windows_for(graph, seed)
    expected = interpret(graph, tensors, windows)
    found = jax.jit(build(graph, tensors, certificate, plan))(windows)
    np.testing.assert_array_equal(np.asarray(found), expected)


@SLOW
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 16))
def test_outputs_do_not_depend_on_how_a_batch_is_split(seed: int, cut: int) -> None:
    graph, tensors = random_graph(seed)
    run = jax.jit(build(graph, tensors, certify_graph(graph, tensors), Plan("int8")))
    windows = windows_for(graph, seed)
    whole = np.asarray(run(windows))
    parts = [np.asarray(run(part)) for part in (windows[:cut], windows[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_every_value_stays_within_its_certified_range(seed: int) -> None:
    graph, tensors = random_graph(seed)
    types = certify_graph(graph, tensors).types()
    for kind, values in zip(types, trace(graph, tensors, windows_for(graph, seed)), strict=True):
        assert values.shape[1:] == kind.shape
        assert kind.low <= values.min()
        assert values.max() <= kind.high


def test_the_random_graphs_reach_every_operation() -> None:
    reached = {
        type(operation).__name__
        for seed in range(250)
        for operation in random_graph(seed)[0].operations
    }
    every = {kind.__name__ for kind in g.Operation.__args__}  # type: ignore[attr-defined]
    assert reached == every
    assert len(STEPS) >= 15


SCANS = [
    seed
    for seed in range(60)
    if any(isinstance(operation, g.Scan) for operation in random_graph(seed)[0].operations)
]


@pytest.mark.parametrize(("seed", "plan"), list(zip(SCANS, PLANS, strict=False)), ids=str)
def test_xla_equals_the_interpreter_on_random_recurrent_layers(seed: int, plan: Plan) -> None:
    graph, tensors = random_graph(seed)
    windows = windows_for(graph, seed)
    found = jax.jit(build(graph, tensors, certify_graph(graph, tensors), plan))(windows)
    np.testing.assert_array_equal(np.asarray(found), interpret(graph, tensors, windows))


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("emit_all", [False, True])
def test_a_scan_folds_like_the_interpreter(plan: Plan, *, reverse: bool, emit_all: bool) -> None:
    random = np.random.default_rng(3)
    tensors = {
        "w": random.integers(-127, 128, (3, 5)).astype(np.int8),
        "u": random.integers(-127, 128, (5, 5)).astype(np.int8),
        "b": random.integers(-500, 500, 5).astype(np.int32),
        "m": np.array([1], np.int32),
        "s": np.array([8], np.int32),
    }
    body = (
        g.Dense(0, "w", "b"),
        g.Dense(1, "u", "b"),
        g.Add(3, 4),
        g.Rescale(5, "m", "s", -127, 127),
        g.Add(2, 6),
        g.Clip(7, -9000, 9000),
    )
    scan = g.Scan(0, ((5,), (5,)), (127, 9000), body, (6, 8), emit_all, reverse)
    shape = (7 * 5,) if emit_all else (5,)
    graph = g.Graph((7, 3), (scan, g.Reshape(1, shape)))
    certificate = certify_graph(graph, tensors)
    windows = windows_for(graph, 1)
    found = build(graph, tensors, certificate, plan)(jax.numpy.asarray(windows))
    np.testing.assert_array_equal(np.asarray(found), interpret(graph, tensors, windows))
