"""What a graph holds at a time bounds its batches, and a graph that holds too much is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.buckets import BUCKETS, split
from models.certificate import certify_graph
from models.interpreter import interpret
from models.memory import BATCH_BYTES_MAX, VALUE_BYTES, row_bytes, rows_max
from models.package import Description, build_package
from models.quantiser import linear_quantiser
from models.rules import Tensor
from tests.models.random_graphs import random_graph

SIDE = 256


def wide(channels: int, copies: int = 0) -> tuple[g.Graph, dict[str, Tensor]]:
    """A small window that a convolution makes `channels` times as large, and then many of it."""
    tensors = {
        "k": np.ones((3, 3, 1, channels), np.int8),
        "z": np.zeros(channels, np.int32),
    }
    operations = (
        g.Conv(0, "k", "z", (1, 1), ((1, 1), (1, 1)), (1, 1)),
        *(g.Clip(1, -place, place) for place in range(1, copies + 1)),
        *(g.Multiply(place, place) for place in range(2, copies + 2)),
        g.Sum(1, (0, 1)),
        g.Reshape(2 * copies + 2, (channels,)),
    )
    return g.Graph((SIDE, SIDE, 1), operations), tensors


def bytes_of(graph: g.Graph, tensors: dict[str, Tensor]) -> int:
    return row_bytes(graph, certify_graph(graph, tensors), tensors)


def test_the_values_that_live_at_a_time_count_and_not_those_that_are_gone() -> None:
    chain = tuple(g.Clip(place, -100, 100) for place in range(40))
    few = bytes_of(g.Graph((1000,), chain[:3]), {})
    assert bytes_of(g.Graph((1000,), chain), {}) == few
    kept = (*chain, g.Concat(tuple(range(1, 41)), 0))
    assert bytes_of(g.Graph((1000,), kept), {}) >= VALUE_BYTES * 1000 * 80


@pytest.mark.parametrize("seed", range(8))
def test_the_interpreter_takes_no_more_than_was_counted(seed: int) -> None:
    graph, tensors = random_graph(seed)
    rows = np.zeros((64, *graph.input_shape), np.int8)
    weights = sum(VALUE_BYTES * tensor.size for tensor in tensors.values())
    tracemalloc.start()
    interpret(graph, tensors, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 64 * bytes_of(graph, tensors) + 2 * weights + 100_000


def test_a_batch_has_no_more_rows_than_fit() -> None:
    heavy = bytes_of(*wide(16))
    rows = rows_max(heavy)
    assert 1 < rows < BUCKETS[-1]
    assert rows * heavy <= BATCH_BYTES_MAX
    assert set(split(1000, 10, rows)) <= {size for size in BUCKETS if size <= rows}
    assert sum(split(1000, 10, rows)) >= 1000
    assert rows_max(100) == BUCKETS[-1]
    assert rows_max(10 * BATCH_BYTES_MAX) == 1


def test_a_window_that_takes_too_much_is_refused_when_its_package_is_built() -> None:
    graph, tensors = wide(64, copies=8)
    about = Description(name="wide", version="1", task="rul", scale_num=1, scale_den=8)
    quantiser = linear_quantiser(("x",), np.zeros(1), np.ones(1))
    samples = np.zeros((1, *graph.input_shape), np.int8)
    with pytest.raises(InvalidInput) as caught:
        build_package(about, graph, tensors, quantiser, samples)
    assert caught.value.code is Code.NOT_CERTIFIED
    assert "one window takes" in caught.value.message
