"""A damaged blob gets sound content from peers that may lie, drip or have nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from andon.core.errors import Code, Corrupt, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.pieces import PIECE_BYTES
from node.drivers import blob_fetch
from node.drivers.blob_parts import fetch_in_parts
from node.storage import BlobStore

SOUND = b"".join(bytes([number]) * PIECE_BYTES for number in range(3)) + b"the rest"
IDENTITY = digest(Domain.BLOB, SOUND)
GIBIBYTE = 1024 * PIECE_BYTES
REQUESTS_MAX = 100


class Peers:
    """Each key is a way to answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        assert digest == IDENTITY
        self.asked.append((node_key, offset))
        assert len(self.asked) <= REQUESTS_MAX, "it is asked for ever"
        piece = SOUND[offset : offset + PIECE_BYTES]
        match node_key:
            case b"empty":
                return len(SOUND), b""
            case b"drips":
                return len(SOUND), piece[:1]
            case b"grows":
                return len(SOUND) + offset, piece
            case b"huge":
                return GIBIBYTE, bytes(PIECE_BYTES)
            case b"lies":
                return len(SOUND), bytes(len(piece))
            case b"lies, then stops" if offset:
                raise Unavailable(Code.UNREACHABLE, "gone")
            case b"lies, then stops":
                return len(SOUND), b"\1" * PIECE_BYTES
            case b"stops" if offset > PIECE_BYTES:
                raise Unavailable(Code.UNREACHABLE, "gone")
            case b"hangs" if offset:
                await asyncio.sleep(3600)
        return len(SOUND), piece


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """A store whose blob has rotted."""
    found = BlobStore(tmp_path)
    found.put(SOUND)
    (tmp_path / f"{IDENTITY.hex()}.blob").write_bytes(b"rot" + SOUND[3:])
    return found


async def mend(store: BlobStore, *peers: bytes) -> Peers:
    source = Peers()
    await fetch_in_parts(store, source, list(peers), IDENTITY)
    return source


@pytest.mark.parametrize("peer", [b"empty", b"drips", b"grows", b"lies", b"lies, then stops"])
async def test_a_peer_that_gives_no_whole_sound_pieces_mends_nothing_and_the_next_one_does(
    store: BlobStore, peer: bytes
) -> None:
    with pytest.raises(Unavailable) as caught:
        await mend(store, peer)
    assert caught.value.code is Code.UNREACHABLE
    with pytest.raises(Corrupt):
        store.check(IDENTITY)
    source = await mend(store, peer, b"sound")
    assert store.get(IDENTITY) == SOUND
    assert len(source.asked) < 16


async def test_a_peer_that_claims_gigabytes_is_asked_after_those_that_claim_the_known_size(
    store: BlobStore,
) -> None:
    source = await mend(store, b"huge", b"sound")
    assert [offset for peer, offset in source.asked if peer == b"huge"] == [0]


async def test_a_blob_that_was_cut_off_comes_back_whole(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / f"{IDENTITY.hex()}.blob").write_bytes(SOUND[:5])
    await mend(store, b"sound")
    assert store.get(IDENTITY) == SOUND


async def test_what_one_peer_gave_is_not_fetched_again_from_the_next(store: BlobStore) -> None:
    source = await mend(store, b"stops", b"sound")
    offsets = [offset for peer, offset in source.asked if peer == b"sound"]
    assert offsets == [0, 2 * PIECE_BYTES, 3 * PIECE_BYTES]
    assert store.get(IDENTITY) == SOUND


async def test_a_peer_below_the_least_rate_is_left_for_the_next(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_fetch, "START_S", 0.2)
    monkeypatch.setattr(blob_fetch, "RATE_BYTES_MIN", 100 * PIECE_BYTES)
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable):
            await mend(store, b"hangs")
    monkeypatch.undo()
    await mend(store, b"sound")
    assert store.get(IDENTITY) == SOUND


async def test_an_upload_of_a_client_does_not_spoil_a_mend(store: BlobStore) -> None:
    store.append(IDENTITY, 0, b"not the blob")
    await mend(store, b"sound")
    assert store.get(IDENTITY) == SOUND
    assert store.uploaded(IDENTITY) == len(b"not the blob")
