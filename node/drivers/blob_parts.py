"""Blobs of any size from peers into the store, in the memory of a piece."""

from __future__ import annotations

import asyncio
from typing import Protocol

from andon.core.errors import Code, InvalidInput, Unavailable
from node.drivers.blob_fetch import Chunks


class Uploads(Protocol):
    """Where a blob grows part by part."""

    def uploaded(self, identity: bytes) -> int:
        """How many bytes are here."""

    def append(self, identity: bytes, offset: int, part: bytes) -> int:
        """Append a part; returns how many bytes are here."""

    def complete(self, identity: bytes) -> int:
        """Check and keep the whole; returns its size."""


async def fetch_in_parts(
    store: Uploads, source: Chunks, peers: list[bytes], identity: bytes
) -> None:
    """Fetch a blob of any size into the store, in the memory of a piece; what is here stays.

    Raises:
        Unavailable: UNREACHABLE if no peer gives it, STORAGE_FULL.
    """
    for peer in peers:
        try:
            here = await asyncio.to_thread(store.uploaded, identity)
            total = here + 1
            while here < total:
                total, piece = await source.blob_chunk(peer, identity, here)
                if not piece:
                    break
                here = await asyncio.to_thread(store.append, identity, here, piece)
            await asyncio.to_thread(store.complete, identity)
        except (Unavailable, InvalidInput) as error:
            if error.code is Code.STORAGE_FULL:
                raise
            continue
        return
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")
