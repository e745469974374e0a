"""Bring a blob from peers: proved piece by piece where a root is registered, else as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import structlog

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.pieces import PIECE_BYTES, check_piece

FETCHED_BLOB_BYTES_MAX = 64 * 1024 * 1024
"""Of a blob that is fetched to be read whole; one of `BLOB_BYTES_MAX` goes to the disk in parts."""
PEERS_ASKED_MAX = 8
START_S = 30.0
RATE_BYTES_MIN = 256 * 1024
"""A peer that gives less in a second, from its start on, is left for the next one."""

log = structlog.get_logger()


class Store(Protocol):
    """Blobs on disk (blocking)."""

    def has(self, identity: bytes) -> bool:
        """Tell whether the blob is here."""

    def get(self, identity: bytes) -> bytes:
        """Read and check a blob."""

    def put(self, blob: bytes) -> bytes:
        """Store a blob."""

    def remove(self, identity: bytes) -> None:
        """Forget a blob."""

    def pieces_here(self, identity: bytes) -> int:
        """How many pieces of an unfinished blob are on disk."""

    def add_piece(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append a proved piece."""

    def finish(self, identity: bytes) -> bytes:
        """Take the pieces as the blob."""


class Chunks(Protocol):
    """Parts of blobs at peers."""

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Fetch a part from `offset` on; also the total size."""


class Source(Chunks, Protocol):
    """Parts of blobs at peers, and pieces with their proofs."""

    async def blob_piece(self, node_key: bytes, digest: bytes, index: int) -> tuple[bytes, bytes]:
        """Fetch one piece with its Merkle proof."""


class Wanted(Protocol):
    """A blob whose size and root of pieces are registered."""

    @property
    def blob(self) -> bytes:
        """Its digest."""

    @property
    def size(self) -> int:
        """Its bytes."""

    @property
    def pieces(self) -> bytes:
        """Merkle root of its pieces."""


async def fetch_pieces(store: Store, source: Source, peers: list[bytes], wanted: Wanted) -> bytes:
    """Fetch a blob whose pieces have a registered root; each is proved and kept as it comes.

    A peer that fails or lies is left at that piece; what is on disk stays, also through a kill.

    Raises:
        Unavailable: UNREACHABLE if no peer gives the rest, STORAGE_FULL.
        InvalidInput: DIGEST_MISMATCH if root and digest in the registry contradict each other.
    """
    identity = wanted.blob
    count = -(-wanted.size // PIECE_BYTES)
    have = min(await asyncio.to_thread(store.pieces_here, identity), count)
    for peer in peers[:PEERS_ASKED_MAX]:
        try:
            while have < count:
                piece, proof = await source.blob_piece(peer, identity, have)
                check_piece(wanted.pieces, wanted.size, have, piece, proof)
                await asyncio.to_thread(store.add_piece, identity, have, piece)
                have += 1
        except InvalidInput as error:
            log.warning("blob.false_piece", peer=peer.hex(), piece=have, reason=error.message[:200])
            continue
        except Unavailable as error:
            if error.code is Code.STORAGE_FULL:
                raise
            continue
        break
    if have < count:
        raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")
    return await asyncio.to_thread(store.finish, identity)


async def find_blob(
    store: Store, source: Chunks, peers: Callable[[], list[bytes]], identity: bytes
) -> bytes:
    """Give a blob of unknown size from here or from peers, and keep it.

    Raises:
        Unavailable: UNREACHABLE if nobody gives it.
    """
    if await asyncio.to_thread(store.has, identity):
        return await asyncio.to_thread(store.get, identity)
    blob = await fetch_unsized(source, peers()[:PEERS_ASKED_MAX], identity, FETCHED_BLOB_BYTES_MAX)
    await asyncio.to_thread(store.put, blob)
    return blob


async def fetch_unsized(
    source: Chunks, peers: list[bytes], identity: bytes, bytes_max: int
) -> bytes:
    """Fetch a blob of unknown size; each peer, in order, says how large it is.

    Raises:
        Unavailable: UNREACHABLE if none of them gives it.
    """
    for peer in peers:
        try:
            total, _ = await source.blob_part(peer, identity, 0)
            if 0 < total <= bytes_max:
                return await fetch_blob(source, [peer], identity, total)
        except (Unavailable, InvalidInput):
            continue
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")


async def pieces_from(
    source: Chunks, peer: bytes, identity: bytes, here: int, size: int
) -> AsyncIterator[bytes]:
    """Give the pieces of a blob of `size` bytes from `here` on, unchecked.

    It ends early at a peer that gives another size, none or part of a piece (one that gives single
    bytes would keep us for millions of requests), or gives them too slowly.

    Raises:
        Unavailable, InvalidInput: as the source.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + START_S + (size - here) / RATE_BYTES_MIN
    while here < size:
        try:
            async with asyncio.timeout_at(until_s):
                total, piece = await source.blob_part(peer, identity, here)
        except TimeoutError:
            log.info("blob.slow_peer", peer=peer.hex(), here=here, size=size)
            return
        if total != size or len(piece) != min(PIECE_BYTES, size - here):
            return
        here += len(piece)
        yield piece


async def fetch_blob(source: Chunks, peers: list[bytes], identity: bytes, size: int) -> bytes:
    """Fetch a blob piece by piece; a peer that fails is replaced and the pieces kept.

    Raises:
        Unavailable: UNREACHABLE if no peer gives the whole blob with the right digest.
    """
    body = bytearray()
    for peer in peers[:PEERS_ASKED_MAX]:
        # Once more without the pieces of others, if one of them may have lied.
        for _ in range(2 if body else 1):
            try:
                async for piece in pieces_from(source, peer, identity, len(body), size):
                    body += piece
            except (Unavailable, InvalidInput):
                break
            if len(body) < size:
                break
            if digest(Domain.BLOB, bytes(body)) == identity:
                return bytes(body)
            body.clear()
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")
