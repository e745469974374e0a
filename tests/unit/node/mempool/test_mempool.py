"""The pool of waiting transactions: bounds, turns, expiry, waiting."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import msgspec
import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import SignedTransaction, Transaction
from node.mempool import Admitted, Mempool, MempoolLimits, Verifier
from tests.unit.consensus.ledger.world import deployer, operator, put, signed


class OpenGate:
    """Admits everything that is not in `refused`; remembers what it was to prefetch."""

    def __init__(self) -> None:
        self.refused: set[bytes] = set()
        self.prefetched: list[bytes] = []

    def check_admission(self, transaction: Transaction) -> None:
        if transaction.id in self.refused:
            raise InvalidInput(Code.EXPIRED, "refused")

    def prefetch(self, transaction: Transaction) -> None:
        self.prefetched.append(transaction.id)


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    opened = Verifier()
    yield opened
    opened.close()


def many(count: int, key=operator, **options: int) -> list[Transaction]:  # noqa: ANN001
    return [signed(put("a", number), key=key, **options) for number in range(count)]


def take_all(pool: Mempool, count_max: int = 1000, exclude: object = ()) -> list[bytes]:
    return [item.id for item in pool.take(10**9, 10**9, count_max, exclude)]


async def test_admitted_transactions_are_handed_out_until_committed(verifier: Verifier) -> None:
    gate = OpenGate()
    pool = Mempool(gate, verifier)
    seen: list[bytes] = []
    pool.subscribe(lambda transaction: seen.append(transaction.id))
    items = many(5)
    await asyncio.gather(*(pool.admit(item.raw) for item in items))
    ids = [item.id for item in items]
    assert take_all(pool) == ids == seen == gate.prefetched
    assert take_all(pool, exclude={ids[0]}) == ids[1:]
    assert pool.size_bytes == sum(len(item.raw) for item in items)
    pool.on_commit(ids[:2], height=1)
    assert take_all(pool) == ids[2:]
    pool.drop(ids[2])
    assert pool.get(ids[2]) is None
    assert pool.ids() == tuple(ids[3:])


async def test_the_same_bytes_twice_are_admitted_once(verifier: Verifier) -> None:
    gate = OpenGate()
    pool = Mempool(gate, verifier)
    (item,) = many(1)
    first, second = await asyncio.gather(pool.admit(item.raw), pool.admit(item.raw))
    assert first == second == item.id
    assert len(pool) == len(gate.prefetched) == 1


async def test_a_bad_signature_and_a_refusal_keep_a_transaction_out(verifier: Verifier) -> None:
    gate = OpenGate()
    told: list[Code] = []
    pool = Mempool(gate, verifier, on_refused=told.append)
    good, refused = many(2)
    forged = msgspec.structs.replace(decode(SignedTransaction, good.raw), signature=bytes(64))
    gate.refused.add(refused.id)
    for raw, code in (
        (encode(forged), Code.BAD_SIGNATURE),
        (refused.raw, Code.EXPIRED),
        (b"junk", Code.MALFORMED),
    ):
        with pytest.raises(InvalidInput) as caught:
            await pool.admit(raw)
        assert caught.value.code is code
    assert len(pool) == 0
    assert told == [Code.BAD_SIGNATURE, Code.EXPIRED, Code.MALFORMED]
    # The forgery does not stand in the way of the true one, which has the same id.
    await pool.admit(good.raw)


async def test_each_bound_is_kept(verifier: Verifier) -> None:
    items = many(4)
    pool = Mempool(OpenGate(), verifier, MempoolLimits(count_max=3))
    results = await asyncio.gather(
        *(pool.admit(item.raw) for item in items), return_exceptions=True
    )
    assert [getattr(item, "code", None) for item in results] == [None] * 3 + [Code.MEMPOOL_FULL]
    size = len(items[0].raw)
    pool = Mempool(OpenGate(), verifier, MempoolLimits(bytes_max=2 * size + 10))
    await pool.admit(items[0].raw)
    await pool.admit(items[1].raw)
    with pytest.raises(Unavailable):
        await pool.admit(items[2].raw)
    pool = Mempool(OpenGate(), verifier, MempoolLimits(sender_count_max=1))
    await pool.admit(items[0].raw)
    with pytest.raises(InvalidInput) as caught:
        await pool.admit(items[1].raw)
    assert caught.value.code is Code.SENDER_QUOTA
    await pool.admit(many(1, key=deployer)[0].raw)


async def test_senders_take_turns_and_keep_their_own_order(verifier: Verifier) -> None:
    pool = Mempool(OpenGate(), verifier)
    first, second = many(3), many(2, key=deployer)
    for item in (*first, *second):
        await pool.admit(item.raw)
    turns = [first[0], second[0], first[1], second[1], first[2]]
    assert take_all(pool) == [item.id for item in turns]
    assert take_all(pool, count_max=2) == [item.id for item in turns[:2]]
    size = len(first[0].raw)
    assert len(pool.take(size * 2 + 10, 10**9, 100, ())) == 2
    assert pool.take(10**9, 10, 100, ()) == []


async def test_expired_transactions_leave(verifier: Verifier) -> None:
    pool = Mempool(OpenGate(), verifier)
    (early,), (late,) = many(1, expires_height=5), many(1, expires_height=9)
    await pool.admit(late.raw)
    await pool.admit(early.raw)
    pool.on_commit([], height=4)
    assert len(pool) == 2
    pool.on_commit([], height=5)
    assert pool.ids() == (late.id,)


async def test_waiting_ends_with_news_or_with_time(verifier: Verifier) -> None:
    pool = Mempool(OpenGate(), verifier)
    (item, other) = many(2)
    assert not await pool.wait_nonempty(10)
    async with asyncio.TaskGroup() as group:
        waiter = group.create_task(pool.wait_nonempty(5_000))
        await asyncio.sleep(0)
        await pool.admit(item.raw)
    assert waiter.result()
    assert not await pool.wait_nonempty(10, exclude={item.id})
    await pool.admit(other.raw)
    assert await pool.wait_nonempty(10, exclude={item.id})


async def test_a_block_is_verified_once_and_its_first_bad_signature_is_told(
    verifier: Verifier,
) -> None:
    items = many(200)
    raws = [item.raw for item in items]
    verified = await verifier.verify_block(raws)
    assert [item.id for item in verified] == [item.id for item in items]
    assert verifier.known(raws[0]) is verified[0]
    again = await verifier.verify_block(raws)
    assert all(left is right for left, right in zip(verified, again, strict=True))
    bad = msgspec.structs.replace(decode(SignedTransaction, raws[0]), signature=bytes(64))
    with pytest.raises(InvalidInput) as caught:
        await verifier.verify_block([*raws, encode(bad)])
    assert caught.value.code is Code.BAD_SIGNATURE
    assert verifier.known(encode(bad)) is None


async def test_of_a_batch_each_is_admitted_or_refused_for_itself(verifier: Verifier) -> None:
    gate, told = OpenGate(), list[Code]()
    pool = Mempool(gate, verifier, MempoolLimits(count_max=5), on_refused=told.append)
    items = many(7)
    forged = msgspec.structs.replace(decode(SignedTransaction, items[0].raw), signature=bytes(64))
    gate.refused.add(items[1].id)
    await pool.admit(items[2].raw)
    raws = [encode(forged), b"junk", *(item.raw for item in items), items[0].raw]
    found = await pool.admit_all(raws)
    codes = [Code.BAD_SIGNATURE, Code.MALFORMED, Code.EXPIRED, Code.MEMPOOL_FULL]
    seen = [item.is_new if isinstance(item, Admitted) else item.code for item in found]
    assert seen == [*codes[:2], True, codes[2], False, True, True, True, codes[3], False]
    assert sorted(code.name for code in told) == sorted(code.name for code in codes)
    assert pool.ids() == tuple(items[place].id for place in (2, 0, 3, 4, 5))
    assert gate.prefetched == list(pool.ids())


async def test_a_refusal_dies_with_its_reader_and_waits_for_no_collector(
    verifier: Verifier,
) -> None:
    """Peers send what is final already all the time, and the collector looks seldom."""
    gate = OpenGate()
    pool = Mempool(gate, verifier)
    late, good = many(2)
    forged = msgspec.structs.replace(decode(SignedTransaction, good.raw), signature=bytes(64))
    gate.refused.add(late.id)
    gc.disable()
    try:
        results = await pool.admit_all([late.raw, encode(forged), good.raw])
        refusals = [weakref.ref(item) for item in results if isinstance(item, InvalidInput)]
        assert len(refusals) == 2
        del results
        assert [refusal() for refusal in refusals] == [None, None]
    finally:
        gc.enable()
