import asyncio

import pytest

from andon.core.block import Receipt
from andon.core.errors import Code, Unavailable
from node import finality
from node.finality import FinalityTracker

IDENTITY = b"t" * 32
RECEIPT = Receipt(IDENTITY, ok=True, gas_used=1, results=(), failure=None, events=())


async def test_every_waiter_of_a_transaction_gets_its_receipt_and_the_time_is_measured() -> None:
    times: list[float] = []
    tracker = FinalityTracker(times.append)
    tracker.admitted(IDENTITY)
    waiting = asyncio.gather(tracker.wait(IDENTITY, 1000), tracker.wait(IDENTITY, 1000))
    await asyncio.sleep(0)
    tracker.committed([RECEIPT], 5)
    assert await waiting == [(RECEIPT, 5, 0), (RECEIPT, 5, 0)]
    assert len(times) == 1


async def test_a_timeout_names_the_transaction_and_leaves_nothing_behind() -> None:
    tracker = FinalityTracker(lambda _: None)
    with pytest.raises(Unavailable) as error:
        await tracker.wait(IDENTITY, 1)
    assert error.value.code is Code.CONFIRMATION_TIMEOUT
    assert error.value.fields == {"transaction_id": IDENTITY}
    assert tracker._waiting == {}
    assert tracker._count == 0


async def test_the_number_of_waiters_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finality, "WAITERS_MAX", 1)
    tracker = FinalityTracker(lambda _: None)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(tracker.wait(IDENTITY, 1000))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as error:
            await tracker.wait(b"u" * 32, 1000)
        assert error.value.code is Code.MEMPOOL_FULL
        tracker.committed([RECEIPT], 1)
    assert first.result() == (RECEIPT, 1, 0)
