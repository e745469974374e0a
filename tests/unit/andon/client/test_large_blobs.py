"""A large file to a node with a real store and back: in parts, and over breaks."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from andon.client import AsyncClient
from andon.client.large_blobs import BREAKS_MAX, PART_BYTES
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.hashing import Domain, digest
from node.rpc import RpcServer
from node.storage import BlobStore
from node.testing.memory_node import MemoryNode


class StoreNode(MemoryNode):
    """A node whose blobs lie in a folder; it fails at the parts that are told."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.store = BlobStore(folder)
        self.parts: list[int] = []
        self.failing: set[int] = set()

    async def append_blob(self, digest: bytes, offset: int, part: bytes) -> int:
        """Append a part, unless it is to fail."""
        assert len(part) <= PART_BYTES
        self.parts.append(offset)
        if len(self.parts) in self.failing:
            raise Unavailable(Code.STORAGE_FULL, "no space")
        return self.store.append(digest, offset, part)

    async def complete_blob(self, digest: bytes) -> int:
        """Check the whole."""
        return self.store.complete(digest)

    async def blob_size(self, digest: bytes) -> int:
        """How much is here."""
        return self.store.size(digest)

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """A part."""
        return self.store.piece(digest, offset, size)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[tuple[StoreNode, AsyncClient]]:
    found = StoreNode(tmp_path / "blobs")
    async with RpcServer(found) as server, AsyncClient(server.url) as client:
        yield found, client


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"".join(b"%08d" % number for number in range(3 * PART_BYTES // 8 + 100)))
    return path


def content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def growing(path: Path, identity: bytes) -> Path:
    """Where a file lies while it is fetched."""
    return path.with_name(f"{path.name}.{identity.hex()[:16]}.partial")


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


async def test_a_file_goes_in_and_comes_back_in_parts(
    node: tuple[StoreNode, AsyncClient], file: Path, tmp_path: Path
) -> None:
    store, client = node
    identity = await client.publish_file(file)
    assert identity == digest(Domain.BLOB, content(file))
    assert store.parts == [0, PART_BYTES, 2 * PART_BYTES, 3 * PART_BYTES]
    size = await client.fetch_file(identity, tmp_path / "back")
    assert size == len(content(file))
    assert content(tmp_path / "back") == content(file)
    # It is there: nothing is sent again.
    assert await client.publish_file(file) == identity
    assert len(store.parts) == 4


async def test_a_broken_transfer_goes_on_where_it_broke_off(
    node: tuple[StoreNode, AsyncClient], file: Path, tmp_path: Path
) -> None:
    store, client = node
    store.failing = {3}
    with pytest.raises(AndonError) as caught:
        await client.publish_file(file)
    assert caught.value.code is Code.STORAGE_FULL
    identity = await client.publish_file(file)
    assert store.parts == [0, PART_BYTES, 2 * PART_BYTES, 2 * PART_BYTES, 3 * PART_BYTES]
    # The first half had been fetched when the client was killed.
    put(growing(tmp_path / "back", identity), content(file)[: PART_BYTES + 5])
    await client.fetch_file(identity, tmp_path / "back")
    assert content(tmp_path / "back") == content(file)
    assert content(growing(tmp_path / "back", identity)) == b""


async def test_spoiled_parts_are_sent_and_fetched_anew(
    node: tuple[StoreNode, AsyncClient], file: Path, tmp_path: Path
) -> None:
    store, client = node
    identity = digest(Domain.BLOB, content(file))
    # Somebody else sent something else under this name.
    store.store.append(identity, 0, b"rubbish")
    assert await client.publish_file(file) == identity
    put(growing(tmp_path / "back", identity), b"rubbish")
    with pytest.raises(Unavailable) as caught:
        await client.fetch_file(identity, tmp_path / "back")
    assert caught.value.code is Code.DIGEST_MISMATCH
    await client.fetch_file(identity, tmp_path / "back")
    assert content(tmp_path / "back") == content(file)


async def test_a_node_that_never_gets_it_right_is_given_up(
    node: tuple[StoreNode, AsyncClient], file: Path
) -> None:
    store, client = node

    async def lost(digest: bytes, offset: int, part: bytes) -> int:
        del digest, part
        store.parts.append(offset)
        raise Unavailable(Code.NOT_FOUND, "lost again")

    store.append_blob = lost  # type: ignore[method-assign] # of this one object
    with pytest.raises(AndonError, match="lost again"):
        await client.publish_file(file)
    assert len(store.parts) == BREAKS_MAX + 1


async def test_a_file_that_changes_while_it_is_sent_is_given_up(
    node: tuple[StoreNode, AsyncClient], file: Path
) -> None:
    store, client = node
    put(file, bytes(1000))
    here = store.blob_size

    async def changing(digest: bytes) -> int:
        put(file, b"%d" % len(store.parts) + bytes(1000))
        return await here(digest)

    store.blob_size = changing  # type: ignore[method-assign] # of this one object
    with pytest.raises(AndonError) as caught:
        await asyncio.wait_for(client.publish_file(file), 60)
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert store.parts.count(0) == BREAKS_MAX + 1


async def test_a_node_that_takes_parts_and_does_not_grow_is_given_up(
    node: tuple[StoreNode, AsyncClient], file: Path
) -> None:
    store, client = node

    async def idle(digest: bytes, offset: int, part: bytes) -> int:
        del digest, part
        store.parts.append(offset)
        return 0

    store.append_blob = idle  # type: ignore[method-assign] # of this one object
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(client.publish_file(file), 60)
    assert caught.value.code is Code.UNREACHABLE
    assert store.parts == [0] * (BREAKS_MAX + 1)


async def test_a_node_that_never_stops_sending_is_left(
    node: tuple[StoreNode, AsyncClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, client = node
    monkeypatch.setattr("andon.client.large_blobs.FILE_BYTES_MAX", 5000)

    async def endless(digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        del digest, size
        return offset + 2000, bytes(1000)

    store.blob_part = endless  # type: ignore[method-assign] # of this one object
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(client.fetch_file(bytes(32), tmp_path / "back"), 60)
    assert caught.value.code is Code.TOO_LARGE
    assert not growing(tmp_path / "back", bytes(32)).exists()


async def test_a_part_longer_than_a_node_sends_is_not_read(
    node: tuple[StoreNode, AsyncClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, client = node
    monkeypatch.setattr("andon.client.large_blobs.ANSWER_BYTES_MAX", 100_000)

    async def long(digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        del digest, size
        return 200_000, bytes(200_000)[offset:]

    store.blob_part = long  # type: ignore[method-assign] # of this one object
    identity = digest(Domain.BLOB, bytes(200_000))
    with pytest.raises(Unavailable) as caught:
        await client.fetch_file(identity, tmp_path / "back")
    assert caught.value.code is Code.TOO_LARGE
    assert content(growing(tmp_path / "back", identity)) == b""


async def test_an_unknown_blob_is_not_found(
    node: tuple[StoreNode, AsyncClient], tmp_path: Path
) -> None:
    with pytest.raises(AndonError) as caught:
        await node[1].fetch_file(bytes(32), tmp_path / "nothing")
    assert caught.value.code is Code.NOT_FOUND
