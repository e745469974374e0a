import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.errors import Code, InvalidInput, Misuse
from models.federated.ring import (
    Encoding,
    centred,
    check_encoding,
    decode_units,
    encode_update,
    exact_dot,
    squared_norm,
    to_ring,
    words_from_bytes,
    words_to_bytes,
)

ENCODING = Encoding(16, 1 << 16, 1 << 20, 64, 500)


def test_the_headroom_rule_admits_the_largest_cohort_and_refuses_one_more() -> None:
    check_encoding(Encoding(16, 1 << 16, 1, 64, 511))
    with pytest.raises(InvalidInput) as refused:
        check_encoding(Encoding(16, 1 << 16, 1, 64, 512))
    assert refused.value.code is Code.BAD_ARGUMENTS
    assert "2147483648" in refused.value.message


@pytest.mark.parametrize("field", range(5))
def test_an_encoding_with_a_field_of_zero_is_refused_except_the_scale(field: int) -> None:
    values = [16, 10, 10, 1, 10]
    values[field] = 0
    if field == 0:
        check_encoding(Encoding(*values))
        return
    with pytest.raises(InvalidInput):
        check_encoding(Encoding(*values))


def test_the_sum_of_extreme_updates_does_not_wrap_at_the_headroom_limit() -> None:
    encoding = Encoding(16, 1 << 16, 1 << 20, 64, 511)
    extreme = np.full(3, encoding.limit, np.int32)
    total = sum((to_ring(extreme, 64, encoding) for _ in range(511)), start=np.zeros(3, np.uint32))
    assert centred(total).tolist() == [511 * 64 * encoding.limit] * 3


@given(st.lists(st.floats(-0.875, 0.875, width=32), min_size=1, max_size=50))
def test_rounding_is_at_most_half_a_unit(values: list[float]) -> None:
    update = np.array(values, np.float32)
    units = encode_update(update, ENCODING)
    error = np.abs(decode_units(units, 16) - update.astype(np.float64))
    assert error.max() <= 2.0**-17


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50), st.integers(1, 5000))
def test_the_norm_bound_holds_exactly_in_integers(values: list[float], bound: int) -> None:
    encoding = Encoding(16, 1 << 16, bound, 1, 100)
    units = encode_update(np.array(values, np.float32), encoding)
    assert squared_norm(units) <= bound**2
    assert np.abs(units).max() <= encoding.limit


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_that_diverged_is_refused_with_a_hint(bad: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        encode_update(np.array([0.0, bad], np.float32), ENCODING)
    assert "learning rate" in refused.value.hint


def test_a_coordinate_or_weight_out_of_bounds_does_not_enter_the_ring() -> None:
    with pytest.raises(InvalidInput, match="coordinate 1"):
        to_ring(np.array([0, ENCODING.limit + 1], np.int32), 1, ENCODING)
    with pytest.raises(InvalidInput, match="coordinate 0"):
        to_ring(np.array([-(2**31)], np.int32), 1, ENCODING)
    with pytest.raises(InvalidInput, match="weight"):
        to_ring(np.array([0], np.int32), 65, ENCODING)


def test_blobs_are_little_endian_and_of_the_exact_length() -> None:
    words = np.array([1, 2**32 - 1], np.uint32)
    assert words_to_bytes(words) == bytes.fromhex("01000000ffffffff")
    assert words_from_bytes(words_to_bytes(words), 2).tolist() == words.tolist()
    with pytest.raises(InvalidInput):
        words_from_bytes(bytes(9), 2)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1)),
        min_size=1,
        max_size=40,
    )
)
def test_the_exact_dot_product_equals_python_integers(pairs: list[tuple[int, int]]) -> None:
    left = np.array([a for a, _ in pairs], np.int64)
    right = np.array([b for _, b in pairs], np.int64)
    assert exact_dot(left, right) == sum(a * b for a, b in pairs)


def test_the_exact_dot_product_survives_a_million_extreme_elements() -> None:
    extreme = np.full(2**20 + 3, -(2**31), np.int64)
    assert exact_dot(extreme, extreme) == (2**20 + 3) << 62


def test_the_exact_dot_product_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(Misuse):
        exact_dot(np.array([2**32], np.int64), np.array([1], np.int64))
