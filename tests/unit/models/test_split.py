"""How a batch is split into compiled sizes: every row once, at the least cost."""

from itertools import combinations_with_replacement

import pytest

from models.buckets import BUCKETS, call_cost, split

SMALL, LARGE = 50_000, 10_000_000


def cost(parts: tuple[int, ...], multiply_adds: int) -> int:
    return sum(call_cost(part, multiply_adds) for part in parts)


@pytest.mark.parametrize("multiply_adds", [0, SMALL, LARGE])
def test_every_row_has_a_place_and_only_the_last_part_is_padded(multiply_adds: int) -> None:
    for count in range(1, 700):
        parts = split(count, multiply_adds)
        assert set(parts) <= set(BUCKETS)
        assert sum(parts[:-1]) < count <= sum(parts)


@pytest.mark.parametrize("multiply_adds", [SMALL, LARGE])
@pytest.mark.parametrize("count", [1, 3, 15, 17, 30, 45, 70])
def test_no_other_split_of_few_parts_is_cheaper(count: int, multiply_adds: int) -> None:
    others = (
        parts
        for length in range(1, 5)
        for parts in combinations_with_replacement(BUCKETS, length)
        if sum(parts) >= count
    )
    assert cost(split(count, multiply_adds), multiply_adds) <= min(
        cost(parts, multiply_adds) for parts in others
    )


@pytest.mark.parametrize("multiply_adds", [0, SMALL, LARGE])
def test_a_batch_of_a_compiled_size_is_one_call(multiply_adds: int) -> None:
    for bucket in BUCKETS:
        assert split(bucket, multiply_adds) == (bucket,)


def test_large_networks_are_not_padded_and_small_ones_are() -> None:
    assert split(15, LARGE) == (16,)
    assert split(30, LARGE) == (16, 16)
    assert split(30, SMALL) == (64,)
    assert split(30, 0) == (64,)
    assert split(0, LARGE) == ()


@pytest.mark.parametrize("multiply_adds", [0, SMALL, LARGE])
def test_sizes_that_are_not_ready_are_not_used(multiply_adds: int) -> None:
    for count in range(1, 300):
        parts = split(count, multiply_adds, 256, (1, 64))
        assert set(parts) <= {1, 64}
        assert sum(parts[:-1]) < count <= sum(parts)
