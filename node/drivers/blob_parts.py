"""Sound content for a damaged blob of any size from peers, in the memory of a piece."""

from __future__ import annotations

import asyncio
from typing import Protocol

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.pieces import PIECE_BYTES
from node.drivers.blob_fetch import Chunks, pieces_from
from node.storage import BLOB_BYTES_MAX


class Mends(Protocol):
    """Where the new content grows beside the damaged one."""

    def size(self, identity: bytes) -> int:
        """How many bytes the damaged blob has."""

    def mending(self, identity: bytes) -> int:
        """How many pieces of the new content are here."""

    def add_mending(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append a piece."""

    def end_mending(self, identity: bytes) -> int:
        """Check the whole and put it in the blob's place; returns its size."""


async def fetch_in_parts(store: Mends, source: Chunks, peers: list[bytes], identity: bytes) -> None:
    """Put sound content in the place of a damaged blob; what came of it stays for another peer.

    Nobody is believed about its size. Whoever says that of the damaged file is asked first, so one
    that claims gigabytes gets to send them only if none of those has the blob.

    Raises:
        Unavailable: UNREACHABLE if no peer gives it, STORAGE_FULL.
    """
    for peer, size in await _claims(store, source, peers, identity):
        try:
            if await _mend_from(store, source, (peer, size), identity):
                return
        except (Unavailable, InvalidInput) as error:
            if error.code is Code.STORAGE_FULL:
                raise
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")


async def _claims(
    store: Mends, source: Chunks, peers: list[bytes], identity: bytes
) -> list[tuple[bytes, int]]:
    """Peers with the size that each claims, the likely ones first."""
    here = await asyncio.to_thread(store.size, identity)
    claims = []
    for peer in peers:
        try:
            size, _ = await source.blob_part(peer, identity, 0)
        except (Unavailable, InvalidInput):
            continue
        if 0 <= size <= BLOB_BYTES_MAX:
            claims.append((peer, size))
    return sorted(claims, key=lambda claim: claim[1] != here)


async def _mend_from(
    store: Mends, source: Chunks, claim: tuple[bytes, int], identity: bytes
) -> bool:
    """Raises InvalidInput if what came from this peer alone is not the blob."""
    peer, size = claim
    while True:
        begun = here = await asyncio.to_thread(store.mending, identity) * PIECE_BYTES
        if not 0 < here <= size:
            begun = here = 0
            await asyncio.to_thread(store.add_mending, identity, 0, b"")
        async for piece in pieces_from(source, peer, identity, here, size):
            await asyncio.to_thread(store.add_mending, identity, here // PIECE_BYTES, piece)
            here += len(piece)
        if here < size:
            return False
        try:
            await asyncio.to_thread(store.end_mending, identity)
        except InvalidInput:
            # All is dropped. Pieces of another peer may be at fault: once more without them.
            if not begun:
                raise
            continue
        return True
