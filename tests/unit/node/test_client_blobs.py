"""What clients do with blobs holds neither the loop's threads nor each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from node.client_blobs import JOBS_MAX, ClientBlobs
from node.storage import BlobQuota, BlobStore

LARGE = b"a large blob"
LARGE_ID = digest(Domain.BLOB, LARGE)


class SlowStore(BlobStore):
    """A store whose checks take until they are let go, as those of gigabytes do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.go = threading.Event(), threading.Event()
        self.checks = 0

    def _accept(self, path: Path, identity: bytes) -> int:
        self.checks += 1
        self.begun.set()
        assert self.go.wait(60)
        return super()._accept(path, identity)


@pytest.fixture
def store(tmp_path: Path) -> SlowStore:
    return SlowStore(tmp_path)


@pytest.fixture
def blobs(store: SlowStore, tmp_path: Path) -> Iterator[ClientBlobs]:
    found = ClientBlobs(store, BlobQuota(tmp_path, 0))
    yield found
    store.go.set()
    found.close()


async def begin_check(
    group: asyncio.TaskGroup, store: SlowStore, blobs: ClientBlobs
) -> asyncio.Task[int]:
    await blobs.append(LARGE_ID, 0, LARGE)
    check = group.create_task(blobs.complete(LARGE_ID))
    while not store.begun.is_set():  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(0.005)
    return check


async def test_parts_and_reads_of_others_go_on_while_a_large_blob_is_checked(
    store: SlowStore, blobs: ClientBlobs
) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        check = await begin_check(group, store, blobs)
        small = await blobs.publish(b"small")
        assert await blobs.get(small) == b"small"
        assert await blobs.append(bytes(32), 0, b"part") == 4
        with pytest.raises(InvalidInput, match="is being checked"):
            await blobs.append(LARGE_ID, len(LARGE), b"more")
        assert not check.done()
        store.go.set()
        assert await check == len(LARGE)
    assert await blobs.get(LARGE_ID) == LARGE


async def test_many_requests_for_blobs_hold_none_of_the_loops_threads(
    store: SlowStore, blobs: ClientBlobs
) -> None:
    names = [f"blob {number}".encode() for number in range(12)]
    for name in names:
        store.append(digest(Domain.BLOB, name), 0, name)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        checks = [group.create_task(blobs.complete(digest(Domain.BLOB, name))) for name in names]
        for number in range(40):
            group.create_task(blobs.publish(b"%d" % number))
        assert await asyncio.to_thread(lambda: "votes are checked") == "votes are checked"
        assert not any(check.done() for check in checks)
        store.go.set()
    assert [check.result() for check in checks] == [len(name) for name in names]


async def test_who_asks_again_for_a_check_waits_for_the_same_one(
    store: SlowStore, blobs: ClientBlobs
) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        first = await begin_check(group, store, blobs)
        first.cancel()  # its client has gone
        again = [group.create_task(blobs.complete(LARGE_ID)) for _ in range(3)]
        await asyncio.sleep(0)
        store.go.set()
    assert [one.result() for one in again] == [len(LARGE)] * 3
    assert store.checks == 1
    assert await blobs.complete(LARGE_ID) == len(LARGE)


async def test_what_waits_is_bounded_and_the_others_are_told_to_come_again(
    store: SlowStore, blobs: ClientBlobs
) -> None:
    async def complete_unknown(number: int) -> None:
        with pytest.raises(InvalidInput) as caught:
            await blobs.complete(bytes([number]) * 32)
        assert caught.value.code is Code.NOT_FOUND

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        check = await begin_check(group, store, blobs)
        for number in range(JOBS_MAX - 1):
            group.create_task(complete_unknown(number))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as caught:
            await blobs.complete(b"x" * 32)
        assert caught.value.code is Code.RATE_LIMITED
        store.go.set()
    assert check.result() == len(LARGE)
    await complete_unknown(JOBS_MAX)
