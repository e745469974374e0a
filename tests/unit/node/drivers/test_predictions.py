"""Questions to the worker: shared, batched, urgent ones first; the cache and its bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from andon.core.block import PredictionOutput
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.model import input_digest
from andon.core.worker import WINDOWS_MAX
from consensus.ledger import PredictionUnavailable
from node.drivers import predictions
from node.drivers.predictions import (
    GENERATION_BLOCKS,
    PredictionCache,
    PredictionService,
    check_output,
)

ONE, TWO = b"1" * 32, b"2" * 32


class Worker:
    """Answers with the window's sum once the gate is open."""

    def __init__(self) -> None:
        self.batches: list[tuple[bytes, list[bytes]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        self.batches.append((model_id, list(windows)))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [(sum(window),) for window in windows]


@asynccontextmanager
async def serving(service: PredictionService) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run())
        try:
            yield
        finally:
            task.cancel()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_outputs_come_in_the_order_of_the_questions() -> None:
    worker = Worker()
    service = PredictionService(worker)
    async with serving(service):
        questions = [(ONE, b"a"), (TWO, b"b"), (ONE, b"c"), (ONE, b"a")]
        assert await service.fetch(questions) == [(97,), (98,), (99,), (97,)]
        assert worker.batches == [(ONE, [b"a", b"c"]), (TWO, [b"b"])]
        assert await service.fetch(questions) == [(97,), (98,), (99,), (97,)]
        assert len(worker.batches) == 2
        assert service.cache.output(ONE, b"a", input_digest(ONE, b"a")) == (97,)
        with pytest.raises(PredictionUnavailable):
            service.cache.output(ONE, b"z", input_digest(ONE, b"z"))


async def test_a_question_on_its_way_is_asked_once() -> None:
    worker = Worker()
    worker.gate.clear()
    service = PredictionService(worker)
    async with serving(service):
        service.prefetch([(ONE, b"a")])
        await settle()
        waiting = asyncio.gather(service.fetch([(ONE, b"a")]), service.fetch([(ONE, b"a")]))
        await settle()
        worker.gate.set()
        assert await waiting == [[(97,)], [(97,)]]
        assert worker.batches == [(ONE, [b"a"])]


async def test_prefetched_questions_gather_behind_a_batch_and_urgent_ones_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "GATHER_S", 0.05)
    worker = Worker()
    service = PredictionService(worker)
    async with serving(service):
        service.prefetch([(ONE, b"a")])
        await settle()
        assert worker.batches == [(ONE, [b"a"])]
        for window in (b"b", b"c", b"d"):
            service.prefetch([(ONE, window)])
            await settle()
        assert len(worker.batches) == 1
        while len(service.cache) < 4:  # noqa: ASYNC110 - nothing else tells of it
            await asyncio.sleep(0.01)
        assert worker.batches[1:] == [(ONE, [b"b", b"c", b"d"])]
        service.prefetch([(ONE, b"e")])
        await settle()
        assert await service.fetch([(ONE, b"f")]) == [(102,)]
        assert worker.batches[2:] == [(ONE, [b"f", b"e"])]


async def test_who_hurries_waits_for_what_was_prefetched_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "GATHER_S", 60.0)
    worker = Worker()
    service = PredictionService(worker)
    async with serving(service):
        await service.hurry(60.0)
        service.prefetch([(ONE, b"a")])
        await service.hurry(60.0)
        service.prefetch([(ONE, b"b"), (ONE, b"c")])
        await settle()
        assert len(worker.batches) == 1
        await service.hurry(60.0)
        assert worker.batches[1:] == [(ONE, [b"b", b"c"])]
        assert len(service.cache) == 3
        # The wait for company is back.
        service.prefetch([(ONE, b"d")])
        await settle()
        assert len(worker.batches) == 2
        worker.gate.clear()
        await service.hurry(0.01)
        assert len(service.cache) == 3
        worker.error = Unavailable(Code.WORKER_DOWN, "down")
        worker.gate.set()
        await service.hurry(60.0)


async def test_urgent_questions_overtake_prefetched_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "GATHER_S", 0.0)
    worker = Worker()
    worker.gate.clear()
    service = PredictionService(worker)
    async with serving(service):
        # Both lanes of the worker are taken; what follows queues up.
        service.prefetch([(ONE, b"a")])
        await settle()
        service.prefetch([(TWO, b"b")])
        await settle()
        service.prefetch([(TWO, b"c"), (TWO, b"d"), (ONE, b"e")])
        urgent = asyncio.gather(service.fetch([(ONE, b"x"), (TWO, b"d")]))
        await settle()
        assert len(worker.batches) == 2
        worker.gate.set()
        await urgent
        # The urgent model goes first and takes prefetched questions of its own along.
        assert worker.batches[2] == (ONE, [b"x", b"e"])
        assert worker.batches[3] == (TWO, [b"d", b"c"])
        await settle()
        assert len(service.cache) == 6


async def test_a_batch_is_bounded() -> None:
    worker = Worker()
    service = PredictionService(worker)
    async with serving(service):
        questions = [(ONE, number.to_bytes(4, "big")) for number in range(WINDOWS_MAX + 5)]
        assert len(await service.fetch(questions)) == WINDOWS_MAX + 5
        assert [len(windows) for _, windows in worker.batches] == [WINDOWS_MAX, 5]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable(Code.WORKER_DOWN, "down"),
        InvalidInput(Code.BAD_MODEL_INPUT, "our worker disagrees about the shape"),
    ],
)
async def test_trouble_of_the_worker_is_nobodys_fault_and_passes(error: Exception) -> None:
    worker = Worker()
    worker.error = error
    service = PredictionService(worker)
    async with serving(service):
        service.prefetch([(ONE, b"p")])
        with pytest.raises(Unavailable):
            await service.fetch([(ONE, b"a")])
        worker.error = None
        assert await service.fetch([(ONE, b"a"), (ONE, b"p")]) == [(97,), (112,)]


async def test_a_node_without_a_worker_says_so() -> None:
    service = PredictionService(None)
    assert not service.can_predict
    service.prefetch([(ONE, b"a")])
    with pytest.raises(Unavailable) as caught:
        await service.fetch([(ONE, b"a")])
    assert caught.value.code is Code.WORKER_DOWN


async def test_prefetch_drops_what_exceeds_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "PREFETCH_COUNT_MAX", 3)
    worker = Worker()
    service = PredictionService(worker)
    service.prefetch([(ONE, bytes([number])) for number in range(10)])
    async with serving(service):
        await settle()
        assert [len(windows) for _, windows in worker.batches] == [3]


def test_the_cache_forgets_the_older_half() -> None:
    cache = PredictionCache(count_max=4)
    for number, key in enumerate((b"a", b"b", b"c", b"d")):
        cache.put(key, (number,))
    assert cache.get_all([b"a", b"d"]) == [(0,), (3,)]
    assert cache.has_any([b"x", b"a"])
    cache.put(b"e", (4,))
    assert cache.get_all([b"a", b"b", b"c", b"d", b"e"]) == [None, None, (2,), (3,), (4,)]
    assert not cache.has_any([b"a", b"b"])
    assert len(cache) == 3


def test_the_cache_lets_go_what_is_many_blocks_old() -> None:
    cache = PredictionCache()
    cache.put(b"a", (1,))
    cache.age(GENERATION_BLOCKS)
    cache.put(b"b", (2,))
    for height in range(GENERATION_BLOCKS + 1, 2 * GENERATION_BLOCKS):
        cache.age(height)
    assert cache.get_all([b"a", b"b"]) == [(1,), (2,)]
    cache.age(2 * GENERATION_BLOCKS + 7)
    assert cache.get_all([b"a", b"b"]) == [None, (2,)]
    cache.age(3 * GENERATION_BLOCKS + 7)
    assert len(cache) == 0


@pytest.mark.parametrize("count_max", [1, 2, 3, 10])
def test_the_cache_is_bounded_however_many_come_at_once(count_max: int) -> None:
    cache = PredictionCache(count_max)
    keys = [number.to_bytes(2, "big") for number in range(50)]
    for start in range(0, 50, 7):
        part = keys[start : start + 7]
        cache.put_all(part, [(1,)] * len(part))
        assert 0 < len(cache) <= max(2, count_max)
    assert cache.get(keys[-1]) == (1,)


def test_a_claim_is_compared_element_by_element() -> None:
    claim = PredictionOutput(ONE, TWO, (1, 2, 3))
    check_output(5, claim, (1, 2, 3))
    with pytest.raises(InvalidInput) as caught:
        check_output(5, claim, (1, 2, 4))
    fields = caught.value.fields
    assert caught.value.code is Code.PREDICTION_MISMATCH
    assert (fields["element"], fields["expected"], fields["computed"]) == (2, 3, 4)
    with pytest.raises(InvalidInput):
        check_output(5, claim, (1, 2))
