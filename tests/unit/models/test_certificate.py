"""The static certificate refuses exactly what could round, overflow or leave a table."""

from __future__ import annotations

import numpy as np
import pytest

from andon.core.errors import Code, InvalidInput
from models import graph as g
from models.certificate import certify_graph, describe
from models.rules import FLOAT_EXACT_MAX, Tensor


def ones(*shape: int, value: int = 127) -> Tensor:
    return np.full(shape, value, np.int8)


def dense_graph(size: int, outputs: int = 2) -> g.Graph:
    return g.Graph((size,), (g.Dense(0, "w", "b"),))


def zero_bias(size: int = 2) -> Tensor:
    return np.zeros(size, np.int32)


def refusal(graph: g.Graph, tensors: dict[str, Tensor]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        certify_graph(graph, tensors)
    assert caught.value.code is Code.NOT_CERTIFIED
    return caught.value


def test_a_worst_case_dense_of_1040_inputs_needs_one_block() -> None:
    certificate = certify_graph(dense_graph(1040), {"w": ones(1040, 2), "b": zero_bias()})
    assert certificate.rulings[0].blocks == (1040,)
    assert certificate.rulings[0].bound == 1040 * 127 * 127 <= FLOAT_EXACT_MAX


def test_one_input_more_is_cut_into_two_blocks() -> None:
    certificate = certify_graph(dense_graph(1041), {"w": ones(1041, 2), "b": zero_bias()})
    assert certificate.rulings[0].blocks == (1040, 1041)


def test_the_bias_counts_against_the_accumulator() -> None:
    bias = np.array([3056, 3057], np.int32)
    blocks = [
        certify_graph(dense_graph(1040), {"w": ones(1040, 2), "b": bias[[i, i]]}).rulings[0].blocks
        for i in (0, 1)
    ]
    assert len(blocks[0]) == 1
    assert (
        certify_graph(dense_graph(1040), {"w": ones(1040, 2), "b": bias[[1, 1]]}).rulings[0].bound
        == FLOAT_EXACT_MAX + 1
    )


def test_a_sum_beyond_int32_is_refused() -> None:
    size = 133_145
    error = refusal(dense_graph(size), {"w": ones(size, 2), "b": zero_bias()})
    assert error.fields["rule"] == "R2"
    assert error.fields["operation"] == 0


def test_a_weight_of_minus_128_is_refused() -> None:
    error = refusal(dense_graph(4), {"w": ones(4, 2, value=-128), "b": zero_bias()})
    assert error.fields["rule"] == "R1"


def test_an_accumulator_is_no_operand_before_it_is_rescaled() -> None:
    graph = g.Graph((4,), (g.Dense(0, "w", "b"), g.Dense(1, "v", "b")))
    error = refusal(graph, {"w": ones(4, 2), "v": ones(2, 2), "b": zero_bias()})
    assert error.fields["operation"] == 1
    assert "dense" in str(error)


@pytest.mark.parametrize(
    ("multiplier", "shift"),
    [(0, 1), (1 << 15, 20), (1, 44), (32767, 12)],
    ids=["zero", "wide multiplier", "long shift", "overflow without a second stage"],
)
def test_a_rescale_outside_int32_arithmetic_is_refused(multiplier: int, shift: int) -> None:
    graph = g.Graph((1000,), (g.Dense(0, "w", "b"), g.Rescale(1, "m", "s", -127, 127)))
    tensors = {
        "w": ones(1000, 2),
        "b": zero_bias(),
        "m": np.array([multiplier], np.int32),
        "s": np.array([shift], np.int32),
    }
    assert refusal(graph, tensors).fields["rule"] == "R4"


def test_a_divisor_that_may_be_zero_is_refused() -> None:
    graph = g.Graph((4,), (g.Clip(0, 0, 9), g.FloorDivide(0, 1)))
    assert refusal(graph, {}).fields["rule"] == "R8"


def test_a_root_of_a_range_with_negatives_is_refused() -> None:
    assert refusal(g.Graph((4,), (g.SquareRoot(0),)), {}).fields["rule"] == "square_root"


def test_a_product_that_may_leave_int32_is_refused() -> None:
    steps = (g.Multiply(0, 0), g.Multiply(1, 1), g.Multiply(2, 2))
    error = refusal(g.Graph((4,), steps), {})
    assert error.fields["rule"] == "R8"
    assert error.fields["operation"] == 2


@pytest.mark.parametrize("operand", [2, -1, 7])
def test_a_value_may_not_be_read_before_it_exists(operand: int) -> None:
    graph = g.Graph((4,), (g.Add(0, operand), g.Add(1, 1)))
    assert refusal(graph, {}).fields["rule"] == "order"


def test_missing_and_unused_tensors_are_refused() -> None:
    assert refusal(dense_graph(4), {"w": ones(4, 2)}).fields["rule"] == "tensors"
    extra = {"w": ones(4, 2), "b": zero_bias(), "x": ones(1)}
    assert refusal(dense_graph(4), extra).fields["rule"] == "tensors"


def test_the_output_must_be_a_vector() -> None:
    assert refusal(g.Graph((2, 2), (g.Clip(0, 0, 1),)), {}).fields["rule"] == "shape"


def test_tree_nodes_may_not_point_outside_their_table() -> None:
    node = np.zeros((1, 3), np.int32)
    tensors = {
        "f": node,
        "t": node,
        "l": np.array([[1, 1, 3]], np.int32),
        "r": np.array([[2, 1, 2]], np.int32),
        "v": np.zeros((1, 3, 1), np.int32),
    }
    graph = g.Graph((4,), (g.Trees(0, "f", "t", "l", "r", "v", 2),))
    assert "no such node" in str(refusal(graph, tensors))


def test_a_scan_whose_carry_may_grow_is_refused() -> None:
    scan = g.Scan(0, ((3,),), (127,), (g.Add(0, 1),), (2,), emit_all=False, reverse=False)
    assert "certified bound" in str(refusal(g.Graph((5, 3), (scan,)), {}))


def test_gas_is_priced_from_multiply_adds_counted_exactly() -> None:
    conv = g.Conv(0, "w", "b", (2,), ((1, 1),), (1,))
    tensors = {"w": ones(3, 4, 5), "b": np.zeros(5, np.int32)}
    graph = g.Graph((10, 4), (conv, g.Reshape(1, (25,))))
    assert certify_graph(graph, tensors).multiply_adds == 5 * 3 * 4 * 5


def test_a_certificate_reads_as_a_table() -> None:
    tensors = {"w": ones(1041, 2), "b": zero_bias()}
    text = describe(dense_graph(1041), certify_graph(dense_graph(1041), tensors))
    assert "2 blocks" in text
    assert "2082 multiply-adds" in text


def test_hostile_attributes_are_refused_without_work() -> None:
    huge = 1 << 63
    for operation in (
        g.Clip(0, -huge, huge),
        g.Reshape(0, (huge,)),
        g.Concat((0,) * 500, 5),
        g.Pool(0, "min", (1,), (1,)),
        g.Slice(0, (-1,), (2,)),
        g.Transpose(0, (0, 0)),
        g.Sum(0, ()),
        g.Table(0, "t", huge),
        g.Conv(0, "t", "t", (0,), ((0, 0),), (1,)),
    ):
        wanted = {name: np.array([1], np.int8) for name in g.tensors(operation)}
        assert refusal(g.Graph((4,), (operation,)), wanted).fields["operation"] == 0
