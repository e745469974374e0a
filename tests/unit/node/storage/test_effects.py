"""What blocks wrote: kept as the smallest set, served as it is stored, noticed when it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from andon.core.codec import decode, encode
from andon.core.transaction import make_call
from andon.core.wire import AdoptableBlock, Effects, Writes
from consensus.ledger import MemoryState, update_tree
from node.storage import ChainStore, HistoryItem, StoredBlock, scrub
from node.storage.effects import adoptable_block
from node.storage.snapshot import height_key
from node.testing.lab import CertifiedChain

MAP_BYTES = 64 * 1024 * 1024


def write(chain: CertifiedChain, key: str, text: str, *, is_certified: bool = True) -> StoredBlock:
    call = make_call("notes", "write", {"key": key, "text": text})
    return chain.extend(chain.transaction(call), is_certified=is_certified)


@pytest.fixture
def chain() -> CertifiedChain:
    return CertifiedChain()


@pytest.fixture
def store(tmp_path: Path, chain: CertifiedChain) -> Iterator[ChainStore]:
    opened = ChainStore(tmp_path / "chain", MAP_BYTES)
    chain.open(opened)
    yield opened
    opened.close()


def served(store: ChainStore, height: int) -> AdoptableBlock | None:
    with store.snapshot() as snapshot:
        raw = adoptable_block(snapshot, height)
    return None if raw is None else decode(AdoptableBlock, raw)


def test_what_is_served_is_the_block_with_its_leaves_and_its_writes(
    chain: CertifiedChain, store: ChainStore
) -> None:
    call = make_call("notes", "assess", {"key": "a", "window": b"abcd"})
    blocks = [
        chain.extend(chain.transaction(call)),
        write(chain, "a", "first", is_certified=False),
        write(chain, "b", "second"),
        chain.extend(),
    ]
    store.append(blocks)
    with store.snapshot() as snapshot:
        for height, stored in enumerate(blocks, start=1):
            final, executed = snapshot.final_block(height), stored.executed
            assert final is not None
            writes = sorted(executed.overlay.writes.items())
            expected = AdoptableBlock(
                final,
                Effects(
                    executed.receipt_bytes,
                    executed.prediction_bytes,
                    Writes(tuple(key for key, _ in writes), tuple(value for _, value in writes)),
                ),
            )
            assert adoptable_block(snapshot, height) == encode(expected)
        assert adoptable_block(snapshot, 5) is None


def test_writes_that_change_nothing_are_not_kept(chain: CertifiedChain, store: ChainStore) -> None:
    erase = make_call("notes", "erase", {"key": "b"})
    store.append([write(chain, "a", "same"), write(chain, "b", "gone")])
    again = chain.extend(
        chain.transaction(make_call("notes", "write", {"key": "a", "text": "same"})),
        chain.transaction(make_call("notes", "write", {"key": "c", "text": "short"})),
        chain.transaction(erase),
        chain.transaction(make_call("notes", "erase", {"key": "c"})),
    )
    assert len(again.executed.overlay.writes) == 3
    store.append([again])
    found = served(store, 3)
    assert found is not None
    assert list(found.effects.writes.values) == [None]
    assert b"b" in found.effects.writes.keys[0][-2:]


def test_the_writes_of_all_blocks_together_are_the_state(
    chain: CertifiedChain, store: ChainStore
) -> None:
    """Several blocks in one write of the disk: entries of state and tree are written once."""
    store.append([write(chain, f"k{n % 3}", f"text {n}") for n in range(9)])
    state = dict(chain.at_genesis.executed.overlay.writes)
    for height in range(1, 10):
        found = served(store, height)
        assert found is not None
        writes = found.effects.writes
        state.update(zip(writes.keys, writes.values, strict=True))
    present = {key: value for key, value in state.items() if value is not None}
    with store.snapshot() as snapshot:
        assert dict(snapshot.entries("state")) == present
        root, nodes = update_tree(MemoryState(), present)
        assert {key[1:]: node for key, node in snapshot.entries("tree")} == nodes
        header = snapshot.header(9)
        assert header is not None
        assert header.state_root == root


def test_a_block_restored_without_its_writes_is_not_offered_and_a_sound_one_is(
    chain: CertifiedChain, store: ChainStore
) -> None:
    blocks = [write(chain, "a", "first"), write(chain, "b", "second")]
    store.append(blocks)
    items = [
        HistoryItem(item.block, item.certificate, item.executed.receipt_bytes, ())
        for item in blocks
    ]
    store.restore_block(items[0], blocks[0].block.header)
    assert served(store, 1) is not None
    store.rewrite([("writes", height_key(1), b"rotten")])
    store.restore_block(items[0], blocks[0].block.header)
    assert served(store, 1) is None
    assert served(store, 2) is not None


def test_pruned_blocks_lose_their_writes_too(chain: CertifiedChain, store: ChainStore) -> None:
    store.append([write(chain, f"k{n}", "text") for n in range(4)])
    assert store.prune(3, 10) == 2
    assert [served(store, height) is None for height in range(1, 5)] == [True, True, False, False]
    with store.snapshot() as snapshot:
        assert snapshot.length("writes") == 2


def test_a_store_of_an_earlier_release_keeps_writes_from_its_next_block_on(
    chain: CertifiedChain, tmp_path: Path
) -> None:
    folder = tmp_path / "earlier"
    store = ChainStore(folder, MAP_BYTES)
    chain.open(store)
    store.append([write(chain, "a", "first"), write(chain, "b", "second")])
    store.close()
    with lmdb.open(str(folder), map_size=MAP_BYTES, max_dbs=20) as raw:
        meta, writes = raw.open_db(b"meta"), raw.open_db(b"writes")
        with raw.begin(write=True) as transaction:
            assert transaction.delete(b"writes", db=meta)
            transaction.drop(writes, delete=False)
    store = ChainStore(folder, MAP_BYTES)
    with store.snapshot() as snapshot:
        assert scrub(snapshot).height == 2
    store.append([write(chain, "c", "third")])
    assert [served(store, height) is None for height in (1, 2, 3)] == [True, True, False]
    with store.snapshot() as snapshot:
        assert scrub(snapshot).height == 3
    store.close()
