"""Blocks end when their time is up, and the rest is built later."""

from collections.abc import Iterator

from node.drivers.building import BUILDS_PER_TIMEOUT, build_in_time
from node.phases import Lap, unobserved
from tests.unit.consensus.ledger.world import Chain, put, signed


def clock(*readings: float) -> Iterator[float]:
    yield from readings
    while True:
        yield readings[-1]


def test_a_block_ends_when_an_eighth_of_the_skip_timeout_is_over() -> None:
    chain = Chain()
    share_s = chain.parent.params.skip_timeout_ms / 1000 / BUILDS_PER_TIMEOUT
    # Read at the start, then before the second, third and fourth transaction.
    readings = clock(100.0, 100.0, 100.0, 100.0 + share_s)
    transactions = [signed(put(f"key-{n}", n)) for n in range(5)]
    block, executed, left_out = build_in_time(
        chain.parent,
        chain.turn(),
        transactions,
        chain.engine,
        chain.source,
        lap=Lap(unobserved),
        clock_s=lambda: next(readings),
    )
    assert block.transactions == tuple(item.raw for item in transactions[:3])
    assert len(executed.receipts) == 3
    assert left_out == {}  # the others are not at fault and stay in the pool


def test_one_transaction_goes_in_however_slow_the_machine_is() -> None:
    chain = Chain()
    readings = clock(0.0, 1e6)
    transactions = [signed(put("a", 1)), signed(put("b", 2))]
    block, _, _ = build_in_time(
        chain.parent,
        chain.turn(),
        transactions,
        chain.engine,
        chain.source,
        lap=Lap(unobserved),
        clock_s=lambda: next(readings),
    )
    assert block.transactions == (transactions[0].raw,)
