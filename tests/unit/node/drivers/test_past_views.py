"""Read-only calls on the state of an earlier height."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from andon.core.codec import decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import contract_at_genesis
from andon.core.transaction import Call, make_call
from node.drivers.contract_engine import ContractEngine
from node.drivers.dry_run import View
from node.drivers.past_views import PastViews
from node.drivers.predictions import PredictionService, Question
from node.storage import ChainStore, undo
from node.testing.lab import CertifiedChain

BOARD = b"""
texts = Map(key=str, value=str)
@export
def write(key: str, text: str):
    texts[key] = text
@view
def read(key: str) -> value:
    return texts.get(key)
"""
MAP_BYTES = 64 * 1024 * 1024


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, ChainStore(folder, MAP_BYTES)
        self.chain = CertifiedChain(contracts=(contract_at_genesis("board", BOARD, {}),))
        self.chain.open(self.store)

    def restart(self) -> None:
        self.store.close()
        self.store = ChainStore(self.folder, MAP_BYTES)

    def note(self, text: str) -> None:
        call = make_call("board", "write", {"key": "a", "text": text})
        self.store.append([self.chain.extend(self.chain.transaction(call))])

    def text(self, height: int) -> object:
        views = PastViews(self.store, ContractEngine(), PredictionService(None))
        call = make_call("board", "read", {"key": "a"})
        at, outcome = asyncio.run(views.view(height, call, bytes(32)))
        views.close()
        assert at == height
        assert outcome.ok, outcome.failure
        return decode_value(outcome.result)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "chain")
    yield made
    made.store.close()


def test_a_view_sees_the_state_after_the_block_that_it_names(scene: Scene) -> None:
    for text in ("one", "two", "three"):
        scene.note(text)
    assert [scene.text(height) for height in range(4)] == [None, "one", "two", "three"]


def test_earlier_states_are_there_after_a_restart(scene: Scene) -> None:
    for text in ("one", "two"):
        scene.note(text)
    scene.restart()
    scene.note("three")
    assert [scene.text(height) for height in range(4)] == [None, "one", "two", "three"]


def test_a_height_that_is_not_kept_names_those_that_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "BLOCKS_MAX", 2)
    for text in ("one", "two", "three", "four"):
        scene.note(text)
    assert scene.text(2) == "two"
    for height in (1, 5):
        with pytest.raises(InvalidInput, match="those after blocks 2 to 4 are") as caught:
            scene.text(height)
        assert caught.value.code is Code.HEIGHT_UNKNOWN
        assert (caught.value.fields["oldest"], caught.value.fields["newest"]) == (2, 4)


def test_blocks_that_write_nothing_push_nothing_out(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "BLOCKS_MAX", 2)
    scene.note("one")
    scene.note("two")
    for _ in range(5):
        scene.store.append([scene.chain.extend()])
    assert [scene.text(height) for height in (0, 1, 2, 7)] == [None, "one", "two", "two"]


def test_a_block_that_replaces_more_than_the_bound_is_not_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "BYTES_MAX", 200)
    scene.note("x" * 500)
    scene.note("y")
    scene.note("z")
    with scene.store.snapshot() as snapshot:
        kept = undo.kept_of(snapshot)
    assert (kept.first, kept.count) == (3, 1)
    assert [scene.text(height) for height in (2, 3)] == ["y", "z"]


def test_a_call_without_a_height_sees_the_last_block(scene: Scene) -> None:
    scene.note("one")
    views = PastViews(scene.store, ContractEngine(), PredictionService(None))
    call = make_call("board", "read", {"key": "a"})
    at, outcome = asyncio.run(views.view(None, call, bytes(32)))
    views.close()
    assert (at, decode_value(outcome.result)) == (1, "one")


async def test_a_view_that_waits_for_the_worker_keeps_no_other_waiting(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.note("one")
    release = asyncio.Event()

    class Restarting(PredictionService):
        async def fetch(
            self, questions: Sequence[Question], keys: Sequence[bytes] | None = None
        ) -> list[tuple[int, ...]]:
            await release.wait()
            return [(0,) for _ in questions]

    views = PastViews(scene.store, ContractEngine(), Restarting(None))
    run, missing = views._view, [(bytes(32), b"window")]

    def asking(height: int | None, call: Call, sender: bytes, gas_limit: int) -> View:
        at, outcome, _ = run(height, call, sender, gas_limit)
        asked = missing.copy() if sender == b"asks" else []
        missing[:] = [] if asked else missing
        return at, outcome, asked

    monkeypatch.setattr(views, "_view", asking)
    call = make_call("board", "read", {"key": "a"})
    async with asyncio.TaskGroup() as group:
        waits = group.create_task(views.view(None, call, b"asks"))
        async with asyncio.timeout(10):
            while missing:  # noqa: ASYNC110 - the view runs on its thread
                await asyncio.sleep(0.01)
            assert (await views.view(None, call, bytes(32)))[0] == 1
        assert not waits.done()
        release.set()
        assert (await waits)[0] == 1
    views.close()


async def test_who_hangs_up_keeps_its_turn_until_its_job_ends(scene: Scene) -> None:
    """Or a client that hangs up at once could pile up jobs behind its back."""
    begun, release = threading.Event(), threading.Event()
    views = PastViews(scene.store, ContractEngine(), PredictionService(None))
    views._thread.submit(lambda: (begun.set(), release.wait(10)))
    call = make_call("board", "read", {"key": "a"})
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(views.view(None, call, bytes(32))) for _ in range(20)]
        await asyncio.to_thread(begun.wait, 10)
        for task in calls:
            task.cancel()
        await asyncio.sleep(0)
        assert sum(not task.done() for task in calls) >= 1
        assert views._thread._work_queue.qsize() <= 1
        release.set()
    views.close()
