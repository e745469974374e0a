"""How a batch of any size is cut into calls of few compiled sizes."""

from __future__ import annotations

from functools import lru_cache

BUCKETS = (1, 8, 16, 64, 256)
SMALL_BATCH = 8
"""Up to this many rows a CPU runs another plan, at twice the cost a row."""

CALL_MULTIPLY_ADDS = 2_000_000
"""What a call on a CPU costs beside its rows, as work of a network: some 100 us."""

SPLITS_COUNT_MAX = 4096


@lru_cache(SPLITS_COUNT_MAX)
def split(
    count: int,
    multiply_adds: int,
    largest: int = BUCKETS[-1],
    sizes: tuple[int, ...] = BUCKETS,
) -> tuple[int, ...]:
    """Give the buckets that hold `count` rows at the least cost of calls and of padded rows.

    `multiply_adds` are those of one row; 0 where rows cost nothing beside a call, as on a GPU.
    `largest` is the largest bucket that fits in memory; of `sizes`, ascending and with 1 among
    them, no other bucket is used.
    """
    largest = max(size for size in sizes if size <= largest)
    whole = (largest,) * (count // largest)
    return whole + _cheapest(count % largest, multiply_adds, sizes)[1]


def call_cost(size: int, multiply_adds: int) -> int:
    """Weigh one call: rows of small batches take twice as long, by another plan."""
    return CALL_MULTIPLY_ADDS + size * multiply_adds * (2 if size <= SMALL_BATCH else 1)


def _cheapest(
    count: int, multiply_adds: int, sizes: tuple[int, ...]
) -> tuple[int, tuple[int, ...]]:
    """Either one padded bucket, or the largest full one and then the rest."""
    if count == 0:
        return 0, ()
    padded = next(size for size in sizes if size >= count)
    cost = call_cost(padded, multiply_adds)
    full = max(size for size in sizes if size <= count)
    rest_cost, rest = _cheapest(count - full, multiply_adds, sizes)
    other = call_cost(full, multiply_adds) + rest_cost
    return (other, (full, *rest)) if other < cost else (cost, (padded,))
