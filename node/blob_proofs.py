"""Merkle proofs of blobs' pieces for peers, so that asking for them costs a node little.

A proof needs the digests of all pieces, so the first one of a blob costs a hash of the blob, which
may have 4 GiB. That is done once, on a thread of its own, and remembered. A peer may have one blob
hashed at a time, and so many bytes on average: who asks for ever other ones, or again and again for
one that is damaged, is told to come later.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.merkle import Tree, tree_of_digests
from andon.core.pieces import piece_proof
from node.blob_threads import BlobThreads
from node.net.limits import RECORDS_MAX, TokenBucket
from node.storage import BlobStore

HASHES_WAITING_MAX = 16
"""Blobs that are hashed or wait for it, for all peers."""
HASH_BYTES_PER_S = 16.0 * 1024 * 1024
"""For each peer, on average; a core hashes some 500 MiB/s."""
HASH_BYTES_BURST = 8.0 * 1024 * 1024 * 1024
"""A peer that comes new fetches every model at once."""
PIECES_KEPT_MAX = 128 * 1024
"""Pieces whose digests are remembered, of blobs of 128 GiB: some 20 MB."""
PIECES_PER_TREE = 4
"""What remembering a blob takes beside its pieces, counted in pieces."""


class BlobProofs:
    """Proofs of pieces out of one store."""

    def __init__(self, store: BlobStore, pieces_kept_max: int = PIECES_KEPT_MAX) -> None:
        self._store = store
        self._pieces_kept_max = pieces_kept_max
        self._threads = BlobThreads(1, "blob-proof", HASHES_WAITING_MAX)
        self._trees: OrderedDict[bytes, Tree] = OrderedDict()
        self._pieces_kept = 0
        self._hashing: dict[bytes, asyncio.Future[Tree]] = {}
        self._peers: OrderedDict[bytes, TokenBucket] = OrderedDict()
        self._busy: set[bytes] = set()

    def close(self) -> None:
        """Stop the thread."""
        self._threads.close()

    async def proof(self, peer: bytes, identity: bytes, index: int) -> bytes | None:
        """The proof of one piece of a blob; None if the blob or the piece is not here.

        Raises:
            Unavailable: RATE_LIMITED if this peer, or all together, have too much hashed.
            Corrupt: STORAGE_DAMAGED.
        """
        tree = self._trees.get(identity)
        if tree is None:
            try:
                tree = await self._tree(peer, identity)
            except InvalidInput:
                return None
        else:
            self._trees.move_to_end(identity)
        return piece_proof(tree, index) if 0 <= index < len(tree[0]) else None

    async def _tree(self, peer: bytes, identity: bytes) -> Tree:
        job = self._hashing.get(identity)
        if job is None:
            # The size is what it costs, and asked first, on a thread of the loop: no disk is waited
            # for on the loop itself.
            size = await asyncio.to_thread(self._store.size_of, identity)
            job = self._hashing.get(identity) or self._begin(peer, identity, size)
        # Who goes away does not end it: it asks again, and so may others.
        return await asyncio.shield(job)

    def _begin(self, peer: bytes, identity: bytes, size: int) -> asyncio.Future[Tree]:
        now_s = asyncio.get_running_loop().time()
        bucket = self._bucket(peer, now_s)
        wait_s = bucket.take(0, now_s)
        if peer in self._busy or wait_s > 0:
            raise Unavailable(
                Code.RATE_LIMITED,
                "this peer has enough blobs hashed",
                hint="ask another node, or again later",
                retry_ms=int(wait_s * 1000),
            )
        job = self._threads.do(lambda: tree_of_digests(self._store.leaves(identity)))
        bucket.take(size, now_s)
        self._busy.add(peer)
        self._hashing[identity] = job
        job.add_done_callback(lambda done: self._ended(peer, identity, done))
        return job

    def _bucket(self, peer: bytes, now_s: float) -> TokenBucket:
        bucket = self._peers.pop(peer, None)
        if bucket is None:
            bucket = TokenBucket(HASH_BYTES_PER_S, HASH_BYTES_BURST, now_s)
            if len(self._peers) >= RECORDS_MAX:
                self._peers.popitem(last=False)
        self._peers[peer] = bucket
        return bucket

    def _ended(self, peer: bytes, identity: bytes, done: asyncio.Future[Tree]) -> None:
        self._busy.discard(peer)
        del self._hashing[identity]
        if done.cancelled() or done.exception() is not None:
            return  # also seen if nobody waits for it any more
        tree = done.result()
        self._trees[identity] = tree
        self._pieces_kept += _weight(tree)
        while self._pieces_kept > self._pieces_kept_max:
            self._pieces_kept -= _weight(self._trees.popitem(last=False)[1])


def _weight(tree: Tree) -> int:
    return len(tree[0]) + PIECES_PER_TREE
