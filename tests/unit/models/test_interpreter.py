"""The normative operations against results worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models import graph as g
from models.interpreter import interpret, trace


def run(operation: g.Operation, windows: list[object], **tensors: object) -> list[object]:
    batch = np.array(windows, np.int64)
    weights = {name: np.array(value, np.int32) for name, value in tensors.items()}
    graph = g.Graph(batch.shape[1:], (operation,))
    return trace(graph, weights, batch)[-1].tolist()


def test_dense_multiplies_and_adds() -> None:
    assert run(g.Dense(0, "w", "b"), [[1, -2]], w=[[3, 4], [5, 6]], b=[10, 20]) == [[3, 12]]


def test_conv_pads_with_zero_and_strides() -> None:
    operation = g.Conv(0, "w", "b", (2,), ((1, 0),), (1,))
    out = run(operation, [[[1], [2], [3], [4]]], w=[[[1]], [[10]]], b=[0])
    assert out == [[[10], [32]]]


def test_dilation_spreads_the_taps() -> None:
    operation = g.Conv(0, "w", "b", (1,), ((0, 0),), (2,))
    assert run(operation, [[[1], [2], [3], [4]]], w=[[[1]], [[10]]], b=[0]) == [[[31], [42]]]


def test_depthwise_keeps_channels_apart() -> None:
    operation = g.Depthwise(0, "w", "b", (1,), ((0, 0),), (1,))
    out = run(operation, [[[1, 2], [3, 4]]], w=[[1, 10], [2, 20]], b=[0, 5])
    assert out == [[[7, 105]]]


@pytest.mark.parametrize(("x", "y"), [(3, 2), (1, 1), (-1, 0), (-3, -1), (5, 3), (-127, -63)])
def test_rescale_rounds_half_up(x: int, y: int) -> None:
    assert run(g.Rescale(0, "m", "s", -127, 127), [[x]], m=[1], s=[1]) == [[y]]


def test_rescale_clips_after_rounding() -> None:
    assert run(g.Rescale(0, "m", "s", 0, 5), [[-9, 99]], m=[3], s=[1]) == [[0, 5]]


def test_tables_clip_their_index() -> None:
    assert run(g.Table(0, "t", -1), [[-9, -1, 0, 9]], t=[7, 8, 9]) == [[7, 7, 8, 9]]


@pytest.mark.parametrize(("a", "b", "q"), [(7, 2, 3), (-7, 2, -4), (-8, 2, -4), (0, 5, 0)])
def test_division_rounds_down(a: int, b: int, q: int) -> None:
    graph = g.Graph((2,), (
        g.Slice(0, (0,), (1,)), g.Slice(0, (1,), (2,)), g.FloorDivide(1, 2),
    ))  # fmt: skip
    assert interpret(graph, {}, np.array([[a, b]])).tolist() == [[q]]


def test_roots_round_down_and_are_exact_at_squares() -> None:
    assert run(g.SquareRoot(0), [[0, 1, 3, 4, 2147483647]]) == [[0, 1, 1, 2, 46340]]


def test_the_lowest_index_wins_a_tie() -> None:
    assert run(g.ArgMax(0), [[3, 9, 9, 1]]) == [[1]]


def test_pools_take_whole_windows_only() -> None:
    window = [[[1], [5], [2], [7], [9]]]
    assert run(g.Pool(0, "max", (2,), (2,)), window) == [[[5], [7]]]
    assert run(g.Pool(0, "sum", (2,), (2,)), window) == [[[6], [9]]]


def test_trees_go_left_at_the_threshold() -> None:
    operation = g.Trees(0, "f", "t", "l", "r", "v", 1)
    out = run(
        operation, [[4], [5]],
        f=[[0, 0, 0]], t=[[4, 0, 0]], l=[[1, 1, 2]], r=[[2, 1, 2]], v=[[[0], [10], [20]]],
    )  # fmt: skip
    assert out == [[10], [20]]


def test_a_reversed_scan_starts_at_the_end() -> None:
    body = (g.Concat((1, 1), 0), g.Slice(2, (0,), (1,)), g.Add(3, 3), g.Add(4, 0))
    forward = g.Scan(0, ((1,),), (10_000,), body, (5,), emit_all=False, reverse=False)
    backward = g.Scan(0, ((1,),), (10_000,), body, (5,), emit_all=False, reverse=True)
    assert run(forward, [[[1], [2], [3]]]) == [[11]]
    assert run(backward, [[[1], [2], [3]]]) == [[17]]


def test_an_emitting_scan_keeps_the_order_of_steps() -> None:
    scan = g.Scan(0, ((1,),), (99,), (g.Add(0, 1),), (2,), emit_all=True, reverse=True)
    assert run(scan, [[[1], [2], [3]]]) == [[[6], [5], [3]]]
