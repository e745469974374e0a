"""Envelopes of private payloads on disk: kept while the chain says so, copied between keepers.

A keeper that lacks an envelope (it was down when the owner handed it out, or lost its disk) gets
it from another keeper over the link between nodes. A node gives an envelope to the keepers of that
payload and to no other peer. What comes is bound by the size on chain and proved by its digest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from andon.client.payloads import CONTRACT, ENVELOPE_BYTES_MAX
from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.state_key import state_key, state_prefix
from node.drivers.blob_fetch import fetch_blob
from node.storage import BlobStore

STORED = "STORED"
PURGED = ("PURGING", "PURGED")
ENTRIES_PER_LOOK_MAX = 256
COPIES_PER_LOOK_MAX = 8

log = structlog.get_logger(__name__)


class State(Protocol):
    """The last final state."""

    async def value(self, key: bytes) -> bytes | None:
        """Read a key."""

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read the first entries under a prefix."""


class Keepers(Protocol):
    """Pieces of envelopes at other keepers."""

    async def private_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Fetch one piece; also the total size."""


class Envelopes:
    """The folder of envelopes of one node, and what the chain says about them."""

    def __init__(self, folder: Path, node_key: bytes, state: State) -> None:
        self.store = BlobStore(folder)
        self.node_key = node_key
        self.state = state
        self._changing = asyncio.Lock()
        """Held while an envelope is written or removed: none appears after we signed it is gone."""

    async def entry(self, identity: bytes) -> dict[str, Value]:
        """What the chain has about a payload; empty if nothing."""
        raw = await self.state.value(state_key(CONTRACT, "payloads", identity))
        return {} if raw is None else parse_entry(raw)

    async def keep(self, identity: bytes, envelope: bytes) -> bool:
        """Write an envelope whose digest is checked; False if it is no longer to be kept."""
        async with self._changing:
            if not is_kept_by(await self.entry(identity), self.node_key):
                return False
            await asyncio.to_thread(self.store.put, envelope)
            return True

    async def mend(self, envelope: bytes) -> None:
        """Put a sound envelope in the place of a damaged one, if it is still to be kept."""
        async with self._changing:
            if is_kept_by(await self.entry(digest(Domain.BLOB, envelope)), self.node_key):
                await asyncio.to_thread(self.store.mend, envelope)

    async def remove(self, identity: bytes) -> None:
        """Delete an envelope; nothing happens if it is not here."""
        async with self._changing:
            await asyncio.to_thread(self.store.remove, identity)

    async def find(self, identity: bytes) -> bytes | None:
        """Read an envelope that is to be kept; None if we have none, or it is to be purged."""
        if not await asyncio.to_thread(self.store.has, identity):
            return None
        if not is_kept_by(await self.entry(identity), self.node_key):
            return None
        return await asyncio.to_thread(self.store.get, identity)

    async def chunk(
        self, peer: bytes, identity: bytes, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        """Total size and one piece of an envelope for a peer that is a keeper, too; else None."""
        if not is_kept_by(await self.entry(identity), peer):
            return None
        try:
            return await asyncio.to_thread(self.store.piece, identity, offset, size)
        except InvalidInput:
            return None


class Copies:
    """Gets the envelopes that we should keep and lack."""

    def __init__(
        self, envelopes: Envelopes, keepers: Keepers, peers: Callable[[], list[bytes]]
    ) -> None:
        self._envelopes = envelopes
        self._keepers = keepers
        self._peers = peers
        self._after: bytes | None = None
        """Where the next look goes on; None for the first entry."""

    async def look(self) -> int:
        """Go over the next entries of the chain and copy what is missing; gives how many came."""
        prefix = state_prefix(CONTRACT, "payloads")
        rows = await self._envelopes.state.entries(prefix, self._after, ENTRIES_PER_LOOK_MAX)
        self._after = rows[-1][0] if len(rows) == ENTRIES_PER_LOOK_MAX else None
        copied = tried = 0
        for key, raw in rows:
            identity, entry = decode_value(key[len(prefix) :]), parse_entry(raw)
            if not isinstance(identity, bytes) or not await self._is_missing(identity, entry):
                continue
            copied += await self._copy(identity, entry)
            tried += 1
            if tried == COPIES_PER_LOOK_MAX:
                self._after = key  # Those that nobody gives must not keep the others waiting.
                break
        return copied

    async def _is_missing(self, identity: bytes, entry: dict[str, Value]) -> bool:
        if not is_kept_by(entry, self._envelopes.node_key):
            return False
        return not await asyncio.to_thread(self._envelopes.store.has, identity)

    async def mend(self, identity: bytes) -> None:
        """Get an envelope that is damaged on our disk anew; one that is not to be kept is removed.

        Raises:
            Unavailable: no other keeper gives it, or the disk is full.
        """
        entry = await self._envelopes.entry(identity)
        if not is_kept_by(entry, self._envelopes.node_key):
            await self._envelopes.remove(identity)
            return
        envelope = await self._fetch(identity, entry)
        await self._envelopes.mend(envelope)

    async def _copy(self, identity: bytes, entry: dict[str, Value]) -> bool:
        try:
            envelope = await self._fetch(identity, entry)
        except Unavailable:
            return False  # No keeper has it yet: the owner is still handing it out.
        if not await self._envelopes.keep(identity, envelope):
            return False
        log.info("private.copied", payload=identity.hex(), size_bytes=len(envelope))
        return True

    async def _fetch(self, identity: bytes, entry: dict[str, Value]) -> bytes:
        size, linked = entry.get("size"), self._peers()
        sources = [peer for peer in linked if is_kept_by(entry, peer)]
        if not isinstance(size, int) or not 0 < size <= ENVELOPE_BYTES_MAX or not sources:
            raise Unavailable(Code.UNREACHABLE, "no other keeper of the payload is linked")
        return await fetch_blob(_Source(self._keepers), sources, identity, size)


class _Source:
    """Pieces of envelopes as `fetch_blob` asks for them."""

    def __init__(self, keepers: Keepers) -> None:
        self._keepers = keepers

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Fetch one piece; also the total size."""
        return await self._keepers.private_part(node_key, digest, offset)


def parse_entry(raw: bytes) -> dict[str, Value]:
    """Read an entry of the contract's `payloads`."""
    value = decode_value(raw)
    return {str(name): item for name, item in value.items()} if isinstance(value, dict) else {}


def is_kept_by(entry: dict[str, Value], node_key: bytes) -> bool:
    """Tell whether the chain wants a node to keep the envelope."""
    keepers = entry.get("keepers")
    return entry.get("status") == STORED and isinstance(keepers, list) and node_key in keepers
