"""Old blobs that nothing names are removed, and never one that is named."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.codec import Value
from andon.core.errors import Code, Corrupt, Unavailable
from andon.core.genesis import Params, contract_at_genesis
from andon.core.hashing import Domain, digest
from andon.core.transaction import Call, make_call
from node.drivers import collector
from node.drivers.collector import Collected, Collector
from node.storage import BlobStore, ChainStore, blobs, references, undo
from node.storage.references import Names
from node.storage.snapshot import height_key
from node.storage.writer import Writer
from node.testing.lab import CertifiedChain

MAP_BYTES = 64 * 1024 * 1024
OLD_S = 1_600_000_000
"""Years before the made chain's time."""
CABINET = b'''"""Keeps values where it is told."""
held = Map(key=bytes, value=value)


@export
def keep(key: bytes, what: value):
    held[key] = what


@export
def move(key: bytes, to: bytes):
    held[to] = held[key]
    held.remove(key)


@export
def drop(key: bytes):
    held.remove(key)


@export
def refuse(what: value):
    assert False, "never"
'''


class World:
    """A chain with its store and a folder of blobs."""

    def __init__(self, folder: Path, window: int = 20) -> None:
        cabinet = contract_at_genesis("cabinet", CABINET, {})
        self.chain = CertifiedChain(
            params=Params(expiry_window_blocks=window), contracts=(cabinet,)
        )
        self.store = ChainStore(folder / "chain", MAP_BYTES)
        self.chain.open(self.store)
        self.blobs = BlobStore(folder / "blobs")
        self.folder = folder / "blobs"
        self.collector = Collector(self.store, self.blobs, days=1)
        self.advance()

    def advance(self, *calls: Call) -> None:
        transactions = [self.chain.transaction(*calls)] if calls else []
        self.store.append([self.chain.extend(*transactions)])

    def put(self, content: bytes, *, is_old: bool = True) -> bytes:
        identity = self.blobs.put(content)
        if is_old:
            os.utime(self.folder / f"{identity.hex()}.blob", (OLD_S, OLD_S))
        return identity


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.store.close()


def call(method: str, **arguments: Value) -> Call:
    return make_call("cabinet", method, arguments)


async def test_what_nothing_names_goes_when_it_is_old_and_the_rest_stays(world: World) -> None:
    lost = world.put(b"lost")
    fresh = world.put(b"fresh", is_old=False)
    named = world.put(b"named")
    world.advance(call("keep", key=b"k", what={"models": [named]}))
    assert await world.collector.collect() == Collected(1, len(b"lost"))
    assert set(world.blobs.digests()) == {fresh, named}
    assert not world.blobs.has(lost)
    assert await world.collector.collect() == Collected()


FORMS = st.sampled_from(["key", "raw", "hex", "HEX", "joined", "failed", "moved", "dropped"])


@settings(max_examples=30, deadline=None)
@given(forms=st.lists(st.one_of(st.none(), FORMS), max_size=12), empty=st.integers(0, 3))
async def test_no_named_blob_is_ever_lost(
    tmp_path_factory: pytest.TempPathFactory, forms: list[str | None], empty: int
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    named, lost = set[bytes](), set[bytes]()
    for number, form in enumerate(forms):
        identity = world.put(b"content %d" % number)
        (lost if form is None else named).add(identity)
        if form is not None:
            name(world, form, identity, b"place %d" % number)
        for _ in range(empty):
            world.advance()
    done = await world.collector.collect()
    assert set(world.blobs.digests()) == named
    assert done.blobs == len(lost)
    assert await world.collector.collect() == Collected()
    assert set(world.blobs.digests()) == named
    world.store.close()


def name(world: World, form: str, identity: bytes, place: bytes) -> None:
    match form:
        case "key":
            world.advance(call("keep", key=identity, what=1))
        case "hex":
            world.advance(call("keep", key=place, what=identity.hex()))
        case "HEX":
            world.advance(call("keep", key=place, what="0x" + identity.hex().upper()))
        case "joined":
            world.advance(call("keep", key=place, what=b"x" + identity + bytes(33)))
        case "failed":
            world.advance(call("refuse", what=identity))
        case "moved":
            world.advance(call("keep", key=place, what=[identity]))
            world.advance(call("move", key=place, to=b"\0" + place))
        case "dropped":
            world.advance(call("keep", key=place, what=identity))
            world.advance(call("drop", key=place))
        case _:
            world.advance(call("keep", key=place, what={"blob": identity}))


async def test_what_only_forgotten_blocks_named_goes_and_what_the_state_names_stays(
    world: World,
) -> None:
    dropped, kept = world.put(b"dropped"), world.put(b"kept")
    world.advance(call("keep", key=b"d", what=dropped), call("keep", key=b"k", what=kept))
    world.advance(call("drop", key=b"d"))
    assert await world.collector.collect() == Collected()
    for _ in range(30):
        world.advance()
    world.store.prune(world.store.head_height() - 20, 100)
    forget_undo(world.store)
    assert await world.collector.collect() == Collected(1, len(b"dropped"))
    assert world.blobs.digests() == [kept]


def forget_undo(store: ChainStore) -> None:
    """As if thousands of blocks had been written since."""
    with store._environment.write() as transaction:
        undo.forget(Writer(transaction, store._environment.tables))


async def test_a_name_that_comes_or_moves_while_it_searches_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming, moving = world.put(b"coming"), world.put(b"moving")
    world.advance(call("keep", key=b"\xff", what=moving))
    for number in range(100):
        world.advance(call("keep", key=b"%d" % number, what=bytes(1000)))
    steps = 0
    monkeypatch.setattr(references, "STATE_PAGE_ENTRIES", 4)
    monkeypatch.setattr(references.Search.step, "__defaults__", (4096,))

    class Interrupted(Collector):
        def _step(self, *given: object) -> None:
            nonlocal steps
            super()._step(*given)  # type: ignore[arg-type]
            steps += 1
            if steps == 12:  # half of the state is done, neither its end nor the blocks are
                world.advance(call("move", key=b"\xff", to=b"\0"))
                forget_undo(world.store)
                world.store.prune(world.store.head_height(), 200)

        def _remove(self, *given: object) -> Collected:
            world.advance(call("keep", key=b"c", what=coming))
            return super()._remove(*given)  # type: ignore[arg-type]

    lost = world.put(b"lost")
    collector = Interrupted(world.store, world.blobs, days=1)
    assert await collector.collect() == Collected(1, len(b"lost"))
    assert steps > 15
    assert not world.blobs.has(lost)
    assert set(world.blobs.digests()) == {coming, moving}


async def test_what_was_written_and_forgotten_while_it_searches_may_name_anything(
    world: World,
) -> None:
    lost = world.put(b"lost")

    class Interrupted(Collector):
        def _remove(self, *given: object) -> Collected:
            world.advance(call("keep", key=b"c", what=1))
            world.advance(call("keep", key=b"c", what=2))
            world.store.prune(world.store.head_height(), 200)
            return super()._remove(*given)  # type: ignore[arg-type]

    with pytest.raises(Unavailable):
        await Interrupted(world.store, world.blobs, days=1).collect()
    assert world.blobs.has(lost)
    assert await world.collector.collect() == Collected(1, len(b"lost"))


class Counting(Collector):
    """Notes how many commits old the view of each step is when it ends."""

    def __init__(self, world: World) -> None:
        super().__init__(world.store, world.blobs, days=1)
        self.lags: list[int] = []
        self._world = world

    def _step(self, *given: object) -> None:
        super()._step(*given)  # type: ignore[arg-type]
        self._world.advance()
        self.lags.append(self._world.store.reader_lag())


async def test_no_view_of_the_state_is_held_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put(b"lost")
    for number in range(100):
        world.advance(call("keep", key=b"%d" % number, what=bytes(1000)))
    collector = Counting(world)
    monkeypatch.setattr(references.Search.step, "__defaults__", (40_000,))
    assert await collector.collect() == Collected(1, len(b"lost"))
    assert len(collector.lags) >= 4
    assert set(collector.lags) == {0}


async def test_what_the_state_names_is_searched_for_once_until_the_state_changes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = [world.put(b"named %d" % number) for number in range(40)]
    for number, identity in enumerate(named):
        world.advance(call("keep", key=b"%d" % number, what=[b"before", identity]))
    forget_undo(world.store)
    world.store.prune(world.store.head_height(), 200)
    collector = Counting(world)
    monkeypatch.setattr("node.drivers.collector.PLACES_PER_STEP", 7)
    for _ in range(3):
        assert await collector.collect() == Collected()
    assert len(collector.lags) == 1
    world.advance(call("drop", key=b"7"))
    forget_undo(world.store)
    world.store.prune(world.store.head_height(), 200)
    assert await collector.collect() == Collected(1, len(b"named 7"))
    assert set(world.blobs.digests()) == set(named) - {named[7]}


async def test_what_is_found_beyond_a_bound_is_searched_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.drivers.collector.PLACES_MAX", 1)
    named = {world.put(b"named %d" % number) for number in range(3)}
    world.advance(call("keep", key=b"k", what=sorted(named)))
    collector = Counting(world)
    for rounds in range(1, 4):
        assert await collector.collect() == Collected()
        assert len(collector.lags) == rounds
    assert set(world.blobs.digests()) == named


async def test_storing_a_blob_again_makes_it_new(world: World) -> None:
    whole, parts = world.put(b"whole"), world.put(b"parts")
    world.blobs.put(b"whole")
    assert world.blobs.complete(parts) == len(b"parts")
    assert await world.collector.collect() == Collected()
    assert set(world.blobs.digests()) == {whole, parts}


async def test_a_blob_that_is_made_new_while_it_searches_stays(world: World) -> None:
    identity = world.put(b"again")

    class Interrupted(Collector):
        def _remove(self, *given: object) -> Collected:
            world.blobs.put(b"again")
            return super()._remove(*given)  # type: ignore[arg-type]

    assert await Interrupted(world.store, world.blobs, days=1).collect() == Collected()
    assert world.blobs.has(identity)


async def test_a_node_that_lags_removes_nothing_that_blocks_to_come_may_name(world: World) -> None:
    with world.store.snapshot() as snapshot:
        header = snapshot.header(snapshot.height())
    assert header is not None
    identity = world.put(b"soon named")
    at_s = header.time_ms // 1000 - 3600
    os.utime(world.folder / f"{identity.hex()}.blob", (at_s, at_s))
    assert await world.collector.collect() == Collected()
    assert world.blobs.has(identity)


async def test_an_upload_that_ends_while_its_old_blob_is_removed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = world.put(b"again")
    world.blobs.append(identity, 0, b"again")
    completed: list[threading.Thread] = []

    def touched_ns(path: Path) -> int:
        found = path.stat().st_mtime_ns
        if path.suffix == ".blob" and not completed and world.blobs._ageing.locked():
            completed.append(threading.Thread(target=world.blobs.complete, args=(identity,)))
            completed[0].start()
            completed[0].join(0.5)  # it would be through by now
        return found

    monkeypatch.setattr(blobs, "touched_ns", touched_ns)
    assert await world.collector.collect() == Collected(1, len(b"again"))
    completed[0].join(10)
    assert world.blobs.get(identity) == b"again"


async def test_a_store_that_cannot_be_read_now_does_not_end_the_node(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Unavailable] = []

    class Busy(Collector):
        async def collect(self) -> Collected:
            tried.append(Unavailable(Code.LOCKED, "no reader is free"))
            raise tried[-1]

    monkeypatch.setattr(collector, "FIRST_AFTER_S", 0)
    monkeypatch.setattr(collector, "AGAIN_AFTER_S", 0)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(Busy(world.store, world.blobs, days=1).run())
        while len(tried) < 2:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0)
        task.cancel()


async def test_the_loop_does_no_work_that_grows_with_the_blobs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers: list[threading.Thread] = []

    class Noted(Names):
        def __init__(self, digests: Iterable[bytes]) -> None:
            makers.append(threading.current_thread())
            super().__init__(digests)

    monkeypatch.setattr(collector, "Names", Noted)
    world.put(b"lost")
    assert await world.collector.collect() == Collected(1, len(b"lost"))
    assert makers
    assert threading.main_thread() not in makers


async def test_damage_that_hides_names_removes_nothing(world: World) -> None:
    identity = world.put(b"named by what rotted")
    world.advance(call("keep", key=b"k", what=identity), call("drop", key=b"k"))
    height = world.store.head_height()
    flip_bit(world.store, "blocks", height_key(height))
    with pytest.raises(Corrupt) as caught:
        await world.collector.collect()
    assert caught.value.code is Code.STORAGE_DAMAGED
    assert world.blobs.has(identity)


def flip_bit(store: ChainStore, table: str, key: bytes) -> None:
    """Flip a bit of a stored value, under its old checksum."""
    environment = store._environment
    with environment._lmdb.begin(write=True, db=environment.tables[table]) as transaction:
        stored = bytearray(transaction.get(key))
        stored[-1] ^= 1
        transaction.put(key, bytes(stored))


async def test_uploads_that_were_left_go_too(world: World) -> None:
    left, going = digest(Domain.BLOB, b"left"), digest(Domain.BLOB, b"going")
    world.blobs.append(left, 0, b"le")
    world.blobs.append(going, 0, b"go")
    os.utime(world.folder / f"{left.hex()}.upload", (OLD_S, OLD_S))
    await world.collector.collect()
    assert (world.blobs.size(left), world.blobs.size(going)) == (0, 2)


async def test_without_a_bound_of_days_nothing_runs(world: World) -> None:
    identity = world.put(b"lost")
    await Collector(world.store, world.blobs, days=0).run()
    assert world.blobs.has(identity)
