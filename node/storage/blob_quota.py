"""How much users may store in a node's folder of blobs; what the chain itself brings is not asked.

Packages of the registry are bounded by the registry's own quotas, and a validator must be able to
fetch them whatever its users have stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from andon.core.errors import Code, Unavailable
from andon.core.hashing import Digest, Domain, digest
from node.storage.blobs import BlobStore

BLOBS_MAX = 100_000
"""Files in one folder; each takes a block of the disk however small it is."""
COUNT_AGAIN_EVERY = 256


class BlobQuota:
    """Totals of one folder, counted anew before anybody is refused. Blocking, for any thread."""

    def __init__(self, folder: Path, bytes_max: int, blobs_max: int = BLOBS_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._blobs_max = blobs_max
        self._lock = Lock()
        self._admitted = COUNT_AGAIN_EVERY
        self._bytes = self._blobs = 0

    def publish(self, store: BlobStore, blob: bytes, charge: Callable[[int], None]) -> Digest:
        """Store a user's blob in the folder's store; one that is there already is not counted.

        `charge` is told of the bytes before they are stored, and may refuse them.

        Raises:
            InvalidInput: TOO_LARGE. Unavailable: BLOB_QUOTA, STORAGE_FULL.
        """
        identity = digest(Domain.BLOB, blob)
        if not store.has(identity):
            charge(len(blob))
            self.admit(len(blob))
        return store.put(blob)

    def append(
        self,
        store: BlobStore,
        identity: bytes,
        offset: int,
        part: bytes,
        charge: Callable[[int], None],
    ) -> int:
        """Store a part of a user's blob; returns how much of it is here.

        Raises:
            InvalidInput: BAD_ARGUMENTS, TOO_LARGE. Unavailable: BLOB_QUOTA, STORAGE_FULL.
        """
        charge(len(part))
        self.admit(len(part))
        return store.append(identity, offset, part)

    def admit(self, size_bytes: int) -> None:
        """Count one more blob of a user.

        Raises:
            Unavailable: BLOB_QUOTA.
        """
        with self._lock:
            if self._admitted >= COUNT_AGAIN_EVERY or not self._has_room(size_bytes):
                self._count()
            if not self._has_room(size_bytes):
                raise Unavailable(
                    Code.BLOB_QUOTA,
                    f"{self._blobs} blobs of {self._bytes} bytes are stored here, and "
                    f"{size_bytes} more exceed {self._bytes_max} bytes or {self._blobs_max} blobs",
                    hint="publish to another node, or have its operator raise blobs_mib",
                )
            self._admitted += 1
            self._bytes += size_bytes
            self._blobs += 1

    def _has_room(self, size_bytes: int) -> bool:
        has_bytes = not self._bytes_max or self._bytes + size_bytes <= self._bytes_max
        return has_bytes and self._blobs < self._blobs_max

    def _count(self) -> None:
        self._bytes = self._blobs = self._admitted = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    self._bytes += entry.stat().st_size
                except FileNotFoundError:  # removed meanwhile
                    continue
                self._blobs += 1
