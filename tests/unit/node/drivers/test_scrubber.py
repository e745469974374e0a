"""The scrubber: rot in a running node's store is found and comes back from peers, checked."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, Corrupt, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.wire import FinalBlock
from node.drivers.queries import ChainQueries
from node.drivers.scrubber import FOUND, REPAIRED, STEP_VALUES, Folder, Scrubber, ScrubPorts
from node.storage import BlobStore, ChainStore, HistoryItem, scrub
from node.storage.snapshot import height_key
from node.testing.lab import CertifiedChain

MAP_BYTES = 64 * 1024 * 1024
HEIGHTS = 12
T = TypeVar("T")


class Peer:
    """One or more peers with a sound store; `lie` spoils what they give."""

    def __init__(self, store: ChainStore, blobs: BlobStore) -> None:
        self.queries, self.blobs = ChainQueries(store), blobs
        self.lie: Callable[[bytes, bytes], bytes] = lambda _peer, raw: raw

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        found = self.queries.final_blocks(first, count, 2**24)
        return [decode(FinalBlock, self.lie(node_key, raw), 2**24) for raw in found]

    async def block_item(self, node_key: bytes, height: int) -> bytes:
        found = self.queries.item(height)
        if found is None:
            raise Unavailable(Code.UNREACHABLE, "404")
        return self.lie(node_key, found)

    async def state_value(self, node_key: bytes, key: bytes) -> bytes:
        found = self.queries.value(key)
        if found is None:
            raise Unavailable(Code.UNREACHABLE, "404")
        return self.lie(node_key, found)

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        total, piece = self.blobs.piece(digest, offset, 2**20)
        return total, self.lie(node_key, piece)


class Thread:
    async def on_storage(self, job: Callable[[], T]) -> T:
        return await asyncio.to_thread(job)


@dataclasses.dataclass
class Lab:
    store: ChainStore
    blobs: BlobStore
    peer: Peer
    scrubber: Scrubber
    counts: Counter[str]
    peers: list[bytes]

    def spoil(self, table: str, key: bytes) -> None:
        """Flip a bit of a stored value, under its old checksum."""
        environment = self.store._environment
        with environment._lmdb.begin(write=True, db=environment.tables[table]) as transaction:
            stored = bytearray(transaction.get(key))
            stored[-1] ^= 1
            transaction.put(key, bytes(stored))

    def lose(self, table: str, key: bytes) -> None:
        environment = self.store._environment
        with environment._lmdb.begin(write=True, db=environment.tables[table]) as transaction:
            assert transaction.delete(key)

    def keys(self, table: str) -> list[bytes]:
        with self.store.snapshot() as snapshot:
            return [key for key, _ in snapshot.entries(table)]

    def is_sound(self) -> bool:
        with self.store.snapshot() as snapshot:
            return scrub(snapshot).height == HEIGHTS


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound store's folder, to be copied."""
    chain, folder = CertifiedChain(), tmp_path_factory.mktemp("specimen")
    store = ChainStore(folder, MAP_BYTES)
    chain.open(store)
    for number in range(HEIGHTS):
        block = chain.extend(chain.write(3), is_certified=number % 3 != 1)
        store.append([block])
    store.close()
    return folder


@pytest.fixture
def lab(tmp_path: Path, specimen: Path) -> Iterator[Lab]:
    """A node's store with a blob, and a peer with the same."""
    for name in ("ours", "other"):
        shutil.copytree(specimen, tmp_path / name)
    store = ChainStore(tmp_path / "ours", MAP_BYTES)
    other = ChainStore(tmp_path / "other", MAP_BYTES)
    blobs, theirs = BlobStore(tmp_path / "blobs"), BlobStore(tmp_path / "theirs")
    for shelf in (blobs, theirs):
        shelf.put(bytes(range(256)) * 20)
    peer, counts, peers = Peer(other, theirs), Counter[str](), [b"p" * 32]
    ports = ScrubPorts(
        chain_id="made",
        store=store,
        blobs=blobs,
        writer=Thread(),
        source=peer,
        peers=lambda: peers,
        count=lambda outcome, number: counts.update({outcome: number}),
        values_per_s=0,
    )
    yield Lab(store, blobs, peer, Scrubber(ports), counts, peers)
    store.close()
    other.close()


async def test_a_sound_store_is_read_to_its_end_and_nothing_is_written(lab: Lab) -> None:
    await lab.scrubber.walk()
    assert lab.counts[FOUND] == 0
    with lab.store.snapshot() as snapshot:
        values = sum(snapshot.length(table) for table in ("blocks", "state", "tree"))
    assert lab.scrubber.tally.read > values
    assert lab.scrubber.trouble() == ""


BY_HEIGHT = ("blocks", "headers", "certificates", "receipts", "transactions", "hashes")
CASES = [(table, False) for table in BY_HEIGHT] + [
    # A lost certificate is no damage: a descendant's proves the block.
    (table, True)
    for table in BY_HEIGHT
    if table != "certificates"
]


@pytest.mark.parametrize(("table", "is_lost"), CASES)
async def test_a_damaged_block_comes_back_from_a_peer(
    lab: Lab, table: str, *, is_lost: bool
) -> None:
    keys = [key for key in lab.keys(table) if key != height_key(0)]
    (lab.lose if is_lost else lab.spoil)(table, keys[len(keys) // 2])
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] == lab.counts[FOUND] > 0
    assert lab.is_sound()


async def test_entries_of_the_state_come_back_from_a_peer(lab: Lab) -> None:
    keys = lab.keys("state")
    for key in keys[1::7]:
        lab.spoil("state", key)
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] == len(keys[1::7])
    assert lab.is_sound()


@pytest.mark.parametrize("is_lost", [False, True])
async def test_the_tree_is_computed_anew(lab: Lab, *, is_lost: bool) -> None:
    (lab.lose if is_lost else lab.spoil)("tree", lab.keys("tree")[5])
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] > 0
    assert lab.is_sound()


async def test_a_damaged_blob_comes_back_from_a_peer(lab: Lab) -> None:
    (identity,) = lab.blobs.digests()
    path = lab.blobs._path(identity)
    path.write_bytes(b"rot" + path.read_bytes()[3:])
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] == 1
    assert digest(Domain.BLOB, lab.blobs.get(identity)) == identity


async def test_a_blob_that_the_disk_cannot_read_comes_back_from_a_peer(lab: Lab) -> None:
    (identity,) = lab.blobs.digests()
    path = lab.blobs._path(identity)
    path.unlink()
    path.symlink_to("/proc/self/mem")  # its first byte cannot be read
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] == 1
    assert digest(Domain.BLOB, lab.blobs.get(identity)) == identity


async def test_what_rots_on_another_shelf_is_mended_by_the_shelf_or_waits(
    lab: Lab, tmp_path: Path
) -> None:
    store = BlobStore(tmp_path / "private")
    identity = store.put(b"sealed")
    store._path(identity).write_bytes(b"rotted")
    givers: list[bytes] = []

    async def mend(_: bytes) -> None:
        if not givers:
            raise Unavailable(Code.UNREACHABLE, "no other keeper")
        store.mend(givers[0])

    lab.scrubber._ports = dataclasses.replace(
        lab.scrubber._ports, folders=(Folder("envelope", store, mend),)
    )
    await lab.scrubber.walk()
    assert "envelope" in lab.scrubber.trouble()
    givers.append(b"sealed")
    await lab.scrubber.walk()
    assert lab.scrubber.trouble() == ""
    assert store.get(identity) == b"sealed"


async def test_a_liar_repairs_nothing_and_the_next_peer_does(lab: Lab) -> None:
    lab.spoil("receipts", height_key(4))
    lab.spoil("state", lab.keys("state")[3])
    (identity,) = lab.blobs.digests()
    lab.blobs._path(identity).write_bytes(b"rot")

    def lie(peer: bytes, raw: bytes) -> bytes:
        return raw if peer == b"p" * 32 else raw[:-1] + bytes([raw[-1] ^ 1])

    lab.peer.lie = lie
    lab.peers[:] = [b"l" * 32]
    await lab.scrubber.walk()
    assert (lab.counts[FOUND], lab.counts[REPAIRED]) == (3, 0)
    assert "3 damaged parts wait for a peer" in lab.scrubber.trouble()
    lab.peers.append(b"p" * 32)
    await lab.scrubber.walk()
    assert lab.counts[REPAIRED] == 3
    assert lab.scrubber.trouble() == ""
    assert lab.is_sound()


async def test_receipts_that_the_header_does_not_name_are_refused(lab: Lab) -> None:
    lab.spoil("receipts", height_key(4))

    def lie(_peer: bytes, raw: bytes) -> bytes:
        try:
            item = decode(HistoryItem, raw, 2**24)
        except Exception:  # noqa: BLE001 - the other kinds of answers stay as they are
            return raw
        return encode(msgspec.structs.replace(item, receipts=item.receipts[:-1]))

    lab.peer.lie = lie
    await lab.scrubber.walk()
    assert (lab.counts[FOUND], lab.counts[REPAIRED]) == (1, 0)


@pytest.mark.parametrize("table", ["state", "validators", "meta"])
async def test_what_no_peer_can_replace_ends_the_node(lab: Lab, table: str) -> None:
    key = lab.keys(table)[-1]
    (lab.lose if table == "state" else lab.spoil)(table, key)
    with pytest.raises(Corrupt) as caught:
        await lab.scrubber.walk()
    assert caught.value.code is Code.STORAGE_DAMAGED


async def test_the_rate_bounds_what_is_read(lab: Lab) -> None:
    lab.scrubber = Scrubber(dataclasses.replace(lab.scrubber._ports, values_per_s=1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await lab.scrubber.walk()
    assert 0 < lab.scrubber.tally.read <= 2 * STEP_VALUES


async def test_damage_in_a_block_that_was_pruned_is_forgotten(lab: Lab) -> None:
    lab.peers.clear()
    lab.spoil("receipts", height_key(3))
    await lab.scrubber.walk()
    assert "block" in lab.scrubber.trouble()
    await lab.scrubber.walk()
    assert "block" in lab.scrubber.trouble()
    lab.store.prune(6, 100)
    await lab.scrubber.walk()
    assert lab.scrubber.trouble() == ""
