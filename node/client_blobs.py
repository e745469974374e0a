"""What clients do with a node's blobs, on threads of its own.

The loop's own threads check votes and blocks. A client that has gigabytes hashed, or many parts
written, must not hold those, so it gets a few others and a bounded queue for them.
"""

from __future__ import annotations

import asyncio

from node.blob_threads import BlobThreads
from node.storage import BlobQuota, BlobStore
from node.upload_budget import charge_of_client

PART_THREADS = 2
"""For what is put, appended and read."""
CHECK_THREADS = 1
"""For the check of what was sent in parts, which may take many seconds."""
JOBS_MAX = 64
"""At work and waiting, of each kind; a part that waits is held in memory."""


class ClientBlobs:
    """A store of blobs for clients, within the quota of all users and the budget of each."""

    def __init__(self, store: BlobStore, quota: BlobQuota) -> None:
        self._store = store
        self._quota = quota
        self._parts = BlobThreads(PART_THREADS, "blob", JOBS_MAX)
        self._checks = BlobThreads(CHECK_THREADS, "blob-check", JOBS_MAX)
        self._completing: dict[bytes, asyncio.Future[int]] = {}

    def close(self) -> None:
        """Stop the threads."""
        self._parts.close()
        self._checks.close()

    async def publish(self, blob: bytes) -> bytes:
        """Store a blob; every method here raises Unavailable RATE_LIMITED if too much waits."""
        charge = charge_of_client()
        return await self._parts.do(lambda: self._quota.publish(self._store, blob, charge))

    async def get(self, identity: bytes) -> bytes:
        """Read a stored blob."""
        return await self._parts.do(lambda: self._store.get(identity))

    async def append(self, identity: bytes, offset: int, part: bytes) -> int:
        """Append a part of a large blob."""
        charge = charge_of_client()
        return await self._parts.do(
            lambda: self._quota.append(self._store, identity, offset, part, charge)
        )

    async def complete(self, identity: bytes) -> int:
        """Keep what was appended if it is the blob; who asks again meanwhile, waits for the same.

        A client that gives up waiting does not end the check: it finds the blob when it asks again.
        """
        job = self._completing.get(identity)
        if job is None:
            job = self._checks.do(lambda: self._store.complete(identity))
            self._completing[identity] = job
            job.add_done_callback(lambda done: self._completed(identity, done))
        return await asyncio.shield(job)

    def _completed(self, identity: bytes, done: asyncio.Future[int]) -> None:
        del self._completing[identity]
        if not done.cancelled():
            done.exception()  # seen, also if no client waits for it any more

    async def size(self, identity: bytes) -> int:
        """How many bytes of a blob are here, whole or not yet."""
        return await self._parts.do(lambda: self._store.size(identity))

    async def piece(self, identity: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Part of a stored blob, and its total size."""
        return await self._parts.do(lambda: self._store.piece(identity, offset, size))
