"""Peers that ask for proofs of pieces cost a node one hash a blob, and a bounded share of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt, Unavailable
from andon.core.hashing import Digest
from andon.core.pieces import PIECE_BYTES, check_piece, pieces_root
from node import blob_proofs
from node.blob_proofs import PIECES_PER_TREE, BlobProofs
from node.storage import BlobStore

LARGE = b"".join(bytes([number]) * PIECE_BYTES for number in range(3)) + b"rest"
SMALL = b"small"
A, B = b"a" * 32, b"b" * 32


class CountingStore(BlobStore):
    """Counts what is hashed, and hashes only when it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.hashed: list[bytes] = []
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def leaves(self, identity: bytes) -> list[Digest]:
        self.hashed.append(identity)
        self.begun.set()
        assert self.go.wait(60)
        return super().leaves(identity)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path)


@pytest.fixture
def proofs(store: CountingStore) -> Iterator[BlobProofs]:
    found = BlobProofs(store)
    yield found
    store.go.set()
    found.close()


async def refused(proofs: BlobProofs, peer: bytes, identity: bytes) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await proofs.proof(peer, identity, 0)
    assert caught.value.code is Code.RATE_LIMITED
    return caught.value


async def test_every_piece_is_proved_and_the_blob_hashed_once_for_all_peers(
    store: CountingStore, proofs: BlobProofs
) -> None:
    identity, root = store.put(LARGE), pieces_root(LARGE)
    at_once = await asyncio.gather(*(proofs.proof(bytes([n]), identity, n % 4) for n in range(40)))
    for number, proof in enumerate(at_once):
        at = number % 4
        piece = LARGE[at * PIECE_BYTES : (at + 1) * PIECE_BYTES]
        assert proof is not None
        check_piece(root, len(LARGE), at, piece, proof)
    assert await proofs.proof(A, identity, 4) is None
    assert await proofs.proof(A, identity, -1) is None
    assert store.hashed == [identity]


async def test_what_is_not_here_costs_nothing(store: CountingStore, proofs: BlobProofs) -> None:
    assert await proofs.proof(A, bytes(32), 0) is None
    assert await proofs.proof(A, b"short", 0) is None
    assert store.hashed == []


async def test_a_peer_has_one_blob_hashed_at_a_time_and_known_ones_are_answered(
    store: CountingStore, proofs: BlobProofs
) -> None:
    large, small, known = store.put(LARGE), store.put(SMALL), store.put(b"known")
    assert await proofs.proof(A, known, 0)
    store.begun.clear()
    store.go.clear()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        first = group.create_task(proofs.proof(A, large, 0))
        await asyncio.to_thread(store.begun.wait, 30)
        await refused(proofs, A, small)
        other = group.create_task(proofs.proof(B, small, 0))
        same = group.create_task(proofs.proof(B, large, 1))
        assert await proofs.proof(A, known, 0)
        store.go.set()
    assert first.result()
    assert other.result()
    assert same.result()
    assert await proofs.proof(A, small, 0)
    assert store.hashed == [known, large, small]


async def test_who_goes_away_leaves_the_proofs_for_its_next_question(
    store: CountingStore, proofs: BlobProofs
) -> None:
    identity = store.put(LARGE)
    store.go.clear()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        gone = group.create_task(proofs.proof(A, identity, 0))
        await asyncio.to_thread(store.begun.wait, 30)
        gone.cancel()
        await asyncio.sleep(0)
        again = group.create_task(proofs.proof(A, identity, 0))
        await asyncio.sleep(0)
        store.go.set()
    assert again.result()
    assert store.hashed == [identity]


async def test_who_has_too_many_bytes_hashed_waits_and_others_do_not(
    store: CountingStore, proofs: BlobProofs, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_s = 1024.0  # slow, so that nothing comes back while a loaded machine runs this
    monkeypatch.setattr(blob_proofs, "HASH_BYTES_PER_S", per_s)
    monkeypatch.setattr(blob_proofs, "HASH_BYTES_BURST", 2.0 * PIECE_BYTES)
    large, small = store.put(LARGE), store.put(SMALL)
    assert await proofs.proof(A, large, 0)  # overdrawn by one blob at most
    error = await refused(proofs, A, small)
    assert 0 < int(str(error.fields["retry_ms"])) <= 2 * PIECE_BYTES / per_s * 1000
    assert await proofs.proof(A, large, 1), "what is known costs nothing"
    assert await proofs.proof(B, small, 0)


async def test_a_damaged_blob_is_not_hashed_without_end(
    store: CountingStore, proofs: BlobProofs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(blob_proofs, "HASH_BYTES_BURST", 2.0 * PIECE_BYTES)
    monkeypatch.setattr(blob_proofs, "HASH_BYTES_PER_S", 1.0)  # however long this takes
    identity = store.put(LARGE)
    with (tmp_path / f"{identity.hex()}.blob").open("r+b") as file:
        file.write(b"rot")
    with pytest.raises(Corrupt):
        await proofs.proof(A, identity, 0)
    for _ in range(5):
        await refused(proofs, A, identity)
    assert store.hashed == [identity]


async def test_what_is_remembered_is_bounded_and_the_least_asked_goes_first(
    store: CountingStore,
) -> None:
    blobs = [store.put(b"%d" % number) for number in range(3)]
    proofs = BlobProofs(store, pieces_kept_max=2 * (1 + PIECES_PER_TREE))
    try:
        for number in (0, 1, 0, 2, 0, 1):
            assert await proofs.proof(A, blobs[number], 0)
    finally:
        proofs.close()
    assert store.hashed == [blobs[0], blobs[1], blobs[2], blobs[1]]
