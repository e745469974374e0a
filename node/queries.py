"""Reads of the stored chain off the event loop, as RPC and peers want them.

`node.drivers.queries` reads one snapshot an answer; here its answers take the faces' shape, run
in threads, and events are paged.
"""

from __future__ import annotations

import asyncio

from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES
from andon.core.proof import FinalHeader
from node.blob_proofs import BlobProofs
from node.drivers.changes import ChangeReader
from node.drivers.contract_engine import ContractEngine
from node.drivers.queries import BlockRead, ChainQueries
from node.envelopes import Envelopes
from node.facade import (
    BlockAnswer,
    Change,
    Cursor,
    EventAnswer,
    PredictionAnswer,
    StateAnswer,
    TransactionAnswer,
)
from node.net.server import ADOPTABLE_BYTES_PER_FETCH_MAX, BLOCKS_BYTES_PER_FETCH_MAX
from node.storage import BlobStore, ChainStore, PortableFiles, Snapshot

EVENTS_PER_PAGE_MAX = 1024
BLOCKS_PER_PAGE_MAX = 64
ENTRIES_MAX = 10_000
AFTER_BLOCK = 2**31
"""A transaction number that no block reaches: the cursor after a whole block."""


class Queries:
    """Asynchronous reads."""

    def __init__(self, store: ChainStore, chain: ChainQueries) -> None:
        self._store = store
        self._chain = chain
        self._changes = ChangeReader(store, ContractEngine())
        self._pages: dict[Cursor, asyncio.Future[tuple[list[EventAnswer], Cursor]]] = {}

    async def block(self, reference: int | bytes | None) -> BlockAnswer:
        """Find a block. Raises InvalidInput HEIGHT_UNKNOWN or NOT_FOUND."""
        return await asyncio.to_thread(self._block, reference)

    def _block(self, reference: int | bytes | None) -> BlockAnswer:
        height: int | None
        if reference is None:
            height = self._chain.height()
        elif isinstance(reference, int):
            height = reference
        else:
            height = self._chain.height_of(reference) if len(reference) == DIGEST_BYTES else None
        if height is None:
            raise InvalidInput(Code.NOT_FOUND, "no final block has this hash")
        return _answer(self._chain.block(height))

    async def transaction(self, identity: bytes) -> TransactionAnswer | None:
        """Find a final transaction; None if no block holds it."""
        return await asyncio.to_thread(self._transaction, identity)

    def _transaction(self, identity: bytes) -> TransactionAnswer | None:
        usable = len(identity) == DIGEST_BYTES
        place = self._chain.transaction_place(identity) if usable else None
        if place is None:
            return None
        height, index = place
        block = _answer(self._chain.block(height))
        raw = block.final.block.transactions[index]
        return TransactionAnswer(transaction_id=identity, raw=raw, block=block, index=index)

    async def changes(self, identity: bytes) -> tuple[Change, ...]:
        """What a final transaction changed. Raises as `ChangeReader.changes`."""
        found = await asyncio.to_thread(self._changes.changes, identity)
        return tuple(Change(key=key, before=before, after=after) for key, before, after in found)

    async def prediction(self, identity: bytes) -> PredictionAnswer:
        """Find a prediction. Raises InvalidInput NOT_FOUND."""
        index, read = await asyncio.to_thread(self._chain.prediction, identity)
        return PredictionAnswer(record=read.predictions[index], index=index, block=_answer(read))

    async def state(self, key: bytes) -> StateAnswer:
        """Read a state key with its proof. Raises InvalidInput before block 1."""
        read = await asyncio.to_thread(self._chain.state, key)
        return StateAnswer(key=key, value=read.value, proof=read.proof, final=read.final)

    async def epoch_closings(self) -> tuple[FinalHeader, ...]:
        """Headers of blocks that closed an epoch."""
        return await asyncio.to_thread(self._chain.epoch_closings)

    async def value(self, key: bytes) -> bytes | None:
        """Read a state key without a proof."""
        return await asyncio.to_thread(self.value_now, key)

    def value_now(self, key: bytes) -> bytes | None:
        """Read a state key, blocking."""
        with self._store.snapshot() as snapshot:
            return snapshot.get(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read state entries under a prefix, above `after`, ascending."""

        def run() -> list[tuple[bytes, bytes]]:
            with self._store.snapshot() as snapshot:
                return snapshot.iterate(prefix, after, min(count_max, ENTRIES_MAX))

        return await asyncio.to_thread(run)

    async def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights below `below` of blocks with receipts, newest first."""

        def run() -> list[int]:
            with self._store.snapshot() as snapshot:
                return snapshot.busy_heights(below, min(count_max, ENTRIES_MAX))

        return await asyncio.to_thread(run)

    async def events(self, after: Cursor) -> tuple[list[EventAnswer], Cursor]:
        """A page of events after a cursor, and the cursor to go on from.

        Streams that wait at one place share one read: a block wakes all of them at once.

        Raises:
            Unavailable: CURSOR_EXPIRED.
        """
        page = self._pages.get(after)
        if page is None:
            loop = asyncio.get_running_loop()
            page = self._pages[after] = loop.run_in_executor(None, self._events, after)
            page.add_done_callback(lambda _: self._pages.pop(after, None))
        return await asyncio.shield(page)

    def _events(self, after: Cursor) -> tuple[list[EventAnswer], Cursor]:
        with self._store.snapshot() as snapshot:
            return _events(snapshot, after)


def _answer(read: BlockRead) -> BlockAnswer:
    return BlockAnswer(
        hash=read.hash, final=read.final, receipts=read.receipts, predictions=read.predictions
    )


def _events(snapshot: Snapshot, after: Cursor) -> tuple[list[EventAnswer], Cursor]:
    if after.height < snapshot.first_height():
        raise Unavailable(
            Code.CURSOR_EXPIRED,
            "that history is pruned here",
            oldest=f"{snapshot.first_height()}-0-0",
        )
    answers: list[EventAnswer] = []
    place, top = after, snapshot.height()
    for height in range(after.height, min(top, after.height + BLOCKS_PER_PAGE_MAX) + 1):
        for number, receipt in enumerate(snapshot.receipts(height)):
            for index, event in enumerate(receipt.events):
                cursor = Cursor(height, number, index)
                if cursor > after:
                    answers.append(
                        EventAnswer(
                            cursor=cursor, transaction_id=receipt.transaction_id, event=event
                        )
                    )
        place = Cursor(height, AFTER_BLOCK, 0)
        if len(answers) >= EVENTS_PER_PAGE_MAX:
            break
    return answers, max(place, after)


class StoredShelf:
    """What peers may fetch: final blocks, blobs and portable states, read in threads."""

    def __init__(
        self, chain: ChainQueries, blobs: BlobStore, files: PortableFiles, envelopes: Envelopes
    ) -> None:
        self._chain = chain
        self._blobs = blobs
        self._proofs = BlobProofs(blobs)
        self._files = files
        self._envelopes = envelopes

    def close(self) -> None:
        """Stop the thread that hashes blobs."""
        self._proofs.close()

    async def snapshots(self) -> list[int]:
        """Heights of the portable states that are here."""
        return await asyncio.to_thread(self._files.heights)

    async def snapshot_piece(
        self, height: int, name: str, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        """One piece of a file of a portable state and its total size."""
        try:
            return await asyncio.to_thread(self._files.piece, height, name, offset, size)
        except InvalidInput:
            return None

    async def block_item(self, height: int) -> bytes | None:
        """A final block with what it did, encoded."""
        return await asyncio.to_thread(self._chain.item, height)

    async def state_value(self, key: bytes) -> bytes | None:
        """What the last state holds at a key."""
        return await asyncio.to_thread(self._chain.value, key)

    async def final_blocks(self, first: int, count: int) -> list[bytes]:
        """Encoded FinalBlocks from height `first`."""
        return await asyncio.to_thread(
            self._chain.final_blocks, max(1, first), count, BLOCKS_BYTES_PER_FETCH_MAX
        )

    async def adoptable_blocks(self, first: int, count: int) -> list[bytes]:
        """Encoded AdoptableBlocks from height `first`."""
        return await asyncio.to_thread(
            self._chain.adoptable_blocks, max(1, first), count, ADOPTABLE_BYTES_PER_FETCH_MAX
        )

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes] | None:
        """One piece of a blob and its total size."""
        try:
            return await asyncio.to_thread(self._blobs.piece, digest, offset, size)
        except (InvalidInput, Corrupt):  # what is damaged, other peers give
            return None

    async def private_part(
        self, peer: bytes, digest: bytes, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        """One piece of a private payload's envelope and its total size."""
        return await self._envelopes.chunk(peer, digest, offset, size)

    async def blob_proof(self, peer: bytes, digest: bytes, index: int) -> bytes | None:
        """The Merkle proof of one piece of a blob; Unavailable if this peer asks for too much."""
        try:
            return await self._proofs.proof(peer, digest, index)
        except Corrupt:  # what is damaged, other peers give
            return None
