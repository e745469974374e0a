"""The blobs of the node in memory: its share of the facade, apart because the facade is long."""

from __future__ import annotations

from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain
from andon.core.hashing import digest as digest_of
from node.upload_budget import charge_of_client


class MemoryBlobs:
    """Blobs and their parts in dictionaries."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}
        self._uploads: dict[bytes, bytes] = {}

    async def publish_blob(self, blob: bytes) -> bytes:
        """Keep a blob; its client pays for it as on a node."""
        charge_of_client()(len(blob))
        return self._keep(blob)

    def _keep(self, blob: bytes) -> bytes:
        identity = digest_of(Domain.BLOB, blob)
        self._blobs[identity] = blob
        return identity

    async def blob(self, digest: bytes) -> bytes:
        """Read a blob."""
        if digest not in self._blobs:
            raise InvalidInput(Code.NOT_FOUND, f"no blob {digest.hex()[:16]}")
        return self._blobs[digest]

    async def append_blob(self, digest: bytes, offset: int, part: bytes) -> int:
        """Append a part of a blob."""
        here = self._uploads.get(digest, b"")
        if offset != len(here):
            raise InvalidInput(Code.BAD_ARGUMENTS, f"{len(here)} bytes are here")
        charge_of_client()(len(part))
        self._uploads[digest] = here + part
        return len(self._uploads[digest])

    async def complete_blob(self, digest: bytes) -> int:
        """Keep what was appended if it is the blob."""
        found = self._uploads.pop(digest, self._blobs.get(digest, b""))
        if self._keep(found) != digest:
            raise InvalidInput(Code.DIGEST_MISMATCH, "the parts are not the blob")
        return len(found)

    async def blob_size(self, digest: bytes) -> int:
        """How many bytes of a blob are here."""
        return len(self._blobs.get(digest, self._uploads.get(digest, b"")))

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Part of a blob."""
        blob = await self.blob(digest)
        return len(blob), blob[offset : offset + size]
