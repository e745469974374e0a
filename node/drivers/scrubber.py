"""Finds rot in a running node's store before anybody asks for it, and repairs it from peers.

A patrol walks the chain at a bounded rate, then blobs and private envelopes are read. A block comes
back from any peer, under a certificate that our own validators' quorum signed; an entry of the
state under the leaf that our own tree holds for it; the tree is computed anew from the entries; a
blob, or an envelope from another keeper, has its digest for a name. So nothing is believed that a
peer says. What cannot be repaired so, because LMDB's own pages are broken or state and tree are
lost together, ends the node: at the next start the store is set aside and comes back through
catch-up (`node.home`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, assert_never

import msgspec
import structlog

from andon.core.block import Header
from andon.core.certificate import ValidatorSet
from andon.core.codec import decode
from andon.core.errors import Code, Corrupt, InvalidInput, Unavailable
from andon.core.state_proof import check_state_proof, value_digest
from andon.core.wire import FinalBlock
from consensus.ledger import MemoryState, update_tree
from node.drivers.blob_parts import fetch_in_parts
from node.drivers.certified import check_final_block
from node.storage import (
    BlobStore,
    ChainStore,
    Damage,
    HistoryItem,
    Part,
    Patrol,
    check_item,
    proof_of,
)
from node.storage.values import damaged

STEP_VALUES = 64
FIRST_AFTER_S = 60.0
"""A node that has just started has better things to do."""
AGAIN_AFTER_S = 3600.0
PEERS_ASKED_MAX = 4
ITEM_BYTES_MAX = 16 * 1024 * 1024
TROUBLES_MAX = 64
BLOB_VALUE_BYTES = 4096
"""So many bytes of a blob count as one value."""
READ, FOUND, REPAIRED = "read", "damaged", "repaired"

T = TypeVar("T")
log = structlog.get_logger()


class Source(Protocol):
    """Peers by node key. Each raises Unavailable or InvalidInput; nothing is checked."""

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        """Final blocks from a height on."""

    async def block_item(self, node_key: bytes, height: int) -> bytes:
        """One block with what it did, encoded."""

    async def state_value(self, node_key: bytes, key: bytes) -> bytes:
        """A value of the state."""

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Total size and one piece of a blob."""


class Writer(Protocol):
    """The thread of the chain's one writer."""

    async def on_storage(self, job: Callable[[], T]) -> T:
        """Run a job there."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of files that have their digests for names; `mend` gets one anew."""

    part: str
    store: BlobStore
    mend: Callable[[bytes], Awaitable[None]]
    """Raises Unavailable if nobody gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubPorts:
    """What a scrubber works on; `count` takes an outcome and a number."""

    chain_id: str
    store: ChainStore
    blobs: BlobStore
    writer: Writer
    source: Source
    peers: Callable[[], list[bytes]]
    count: Callable[[str, int], None]
    values_per_s: int
    folders: tuple[Folder, ...] = ()
    """What else is kept by digest, beside the blobs."""


@dataclass(slots=True)
class Tally:
    """What one round or more have seen."""

    read: int = 0
    found: int = 0
    repaired: int = 0
    troubles: dict[tuple[str, bytes], str] = field(default_factory=dict)
    """What is damaged and not repaired yet, by part and key."""


class Scrubber:
    """`run` walks for ever; `walk` once, for tests and campaigns."""

    def __init__(self, ports: ScrubPorts) -> None:
        self._ports = ports
        self._patrol = Patrol()
        self.tally = Tally()
        self._seen: set[tuple[str, bytes]] = set()

    def trouble(self) -> str:
        """What is damaged and could not be repaired; empty if nothing is."""
        if not self.tally.troubles:
            return ""
        first = next(iter(self.tally.troubles.values()))
        return f"{len(self.tally.troubles)} damaged parts wait for a peer: {first}"

    async def run(self) -> None:
        """Walk again and again until cancelled.

        Raises:
            Corrupt: STORAGE_DAMAGED for what cannot be repaired in a running node.
        """
        if self._ports.values_per_s == 0:
            return
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            await self.walk()
            log.info("storage.scrubbed", read=self.tally.read, damaged=self.tally.found)
            await asyncio.sleep(AGAIN_AFTER_S)

    async def walk(self) -> None:
        """Read everything once; raises as `run`."""
        self._seen.clear()
        while True:
            read, found = await asyncio.to_thread(self._step)
            await self._take(read, found)
            if self._patrol.is_done:
                break
        for folder in (Folder("blob", self._ports.blobs, self._mend_blob), *self._ports.folders):
            for identity in await asyncio.to_thread(folder.store.digests):
                await self._check_file(folder, identity)
        # What was not found again is sound by other means, or pruned and of no concern.
        for place in self.tally.troubles.keys() - self._seen:
            del self.tally.troubles[place]

    def _step(self) -> tuple[int, list[Damage]]:
        with self._ports.store.snapshot() as snapshot:
            return self._patrol.step(snapshot, STEP_VALUES)

    async def _take(self, read: int, found: list[Damage]) -> None:
        self._count_read(read)
        for part in Part:  # blocks before entries before the tree that is built of them
            damages = [damage for damage in found if damage.part is part]
            if part is Part.TREE:
                damages = damages[:1]  # one repair rebuilds all of it
            for damage in damages:
                await self._mend(damage)
        if self._ports.values_per_s:
            await asyncio.sleep(read / self._ports.values_per_s)

    async def _mend(self, damage: Damage) -> None:
        match damage.part:
            case Part.BLOCK:
                repair = self._mend_block(damage.height)
            case Part.ENTRY:
                repair = self._mend_entry(damage.key)
            case Part.TREE:
                repair = self._ports.writer.on_storage(self._rebuild_tree)
            case _:
                assert_never(damage.part)
        await self._repair((damage.part.value, damage.key), damage.reason, repair)

    async def _repair(self, place: tuple[str, bytes], reason: str, repair: Awaitable[None]) -> None:
        part, key = place
        self._seen.add(place)
        self.tally.found += 1
        self._ports.count(FOUND, 1)
        log.error("storage.damaged", part=part, key=key.hex()[:64], reason=reason[:300])
        try:
            await repair
        except Unavailable as error:
            if len(self.tally.troubles) < TROUBLES_MAX:
                self.tally.troubles[place] = f"{part} {key.hex()[:16]}: {reason}"
            log.warning("storage.not_repaired", part=part, reason=error.message[:200])
            return
        self.tally.troubles.pop(place, None)
        self.tally.repaired += 1
        self._ports.count(REPAIRED, 1)
        log.warning("storage.repaired", part=part, key=key.hex()[:64])

    # -- blocks ---------------------------------------------------------------------------

    async def _mend_block(self, height: int) -> None:
        """Raises Unavailable if no peer gives it, Corrupt if it cannot be written or is genesis."""
        if height == 0:
            raise damaged("block 0 is damaged")
        for peer in self._ports.peers()[:PEERS_ASKED_MAX]:
            try:
                item, certified = await self._fetch_block(peer, height)
            except (Unavailable, InvalidInput) as error:
                log.info("storage.peer_failed", peer=peer.hex(), reason=str(error)[:200])
                continue
            store = self._ports.store
            await self._ports.writer.on_storage(lambda: store.restore_block(item, certified))  # noqa: B023 - awaited here
            return
        raise Unavailable(Code.UNREACHABLE, f"no linked peer gives a sound block {height}")

    async def _fetch_block(self, peer: bytes, height: int) -> tuple[HistoryItem, Header]:
        """One block, checked, under the certificate of the header that comes with it."""
        finals = await self._ports.source.blocks(peer, height, 1)
        if len(finals) != 1 or finals[0].block.header.height != height:
            raise Unavailable(Code.UNREACHABLE, "the peer gives another block, or none")
        (final,) = finals
        validators = await asyncio.to_thread(self._validators, final.block.header.epoch)
        await asyncio.to_thread(check_final_block, self._ports.chain_id, validators, final)
        raw = await self._ports.source.block_item(peer, height)
        item = decode(HistoryItem, raw, ITEM_BYTES_MAX)
        if item.block != final.block:
            raise InvalidInput(Code.BAD_BLOCK, "the peer gives another body")
        check_item(item)
        certified = final.path[-1] if final.path else final.block.header
        if final.path and not await asyncio.to_thread(self._holds, certified):
            raise Unavailable(Code.UNREACHABLE, "the peer proves it by a block that is not here")
        return msgspec.structs.replace(item, certificate=final.certificate), certified

    def _holds(self, header: Header) -> bool:
        with self._ports.store.snapshot() as snapshot:
            return snapshot.header(header.height) == header

    def _validators(self, epoch: int) -> ValidatorSet:
        with self._ports.store.snapshot() as snapshot:
            validators = snapshot.validators(epoch)
        if validators is None:
            raise damaged(f"the validators of epoch {epoch} are missing")
        return validators

    # -- the state ------------------------------------------------------------------------

    async def _mend_entry(self, key: bytes) -> None:
        """Raises Unavailable if no peer has it as we do, Corrupt if we cannot tell what it was."""
        for peer in self._ports.peers()[:PEERS_ASKED_MAX]:
            try:
                value = await self._ports.source.state_value(peer, key)
            except (Unavailable, InvalidInput):
                continue
            if await self._ports.writer.on_storage(lambda: self._put_entry(key, value)):  # noqa: B023 - awaited here
                return
        raise Unavailable(Code.UNREACHABLE, "no linked peer has this entry as our tree proves it")

    def _put_entry(self, key: bytes, value: bytes) -> bool:
        """Write a value if it is what our tree holds; on the storage thread, so nothing moves."""
        try:
            with self._ports.store.snapshot() as snapshot:
                proved = check_state_proof(*proof_of(snapshot, key))
        except (InvalidInput, Corrupt):
            # What is damaged is the tree: the entries must be whole then.
            self._rebuild_tree()
            return True
        if proved.value_digest is None:
            raise damaged("the state has an entry that its tree does not have")
        if value_digest(value) != proved.value_digest:
            return False
        self._ports.store.rewrite([("state", key, value)])
        return True

    def _rebuild_tree(self) -> None:
        """Compute the tree from the entries; on the storage thread, some 10 us an entry."""
        with self._ports.store.snapshot() as snapshot:
            header = snapshot.header(snapshot.height())
            root, nodes = update_tree(MemoryState(), dict(snapshot.entries("state")))
        if header is None or root != header.state_root:
            raise damaged("neither the tree nor the entries of the state are whole")
        self._ports.store.replace_tree(nodes)

    # -- blobs and envelopes --------------------------------------------------------------

    async def _check_file(self, folder: Folder, identity: bytes) -> None:
        try:
            size = await asyncio.to_thread(folder.store.check, identity)
        except Corrupt as error:
            await self._repair((folder.part, identity), error.message, folder.mend(identity))
            return
        except (InvalidInput, Unavailable):
            return  # removed meanwhile, or no file can be opened now: it comes next time
        self._count_read(1 + size // BLOB_VALUE_BYTES)
        if self._ports.values_per_s:
            await asyncio.sleep(size / BLOB_VALUE_BYTES / self._ports.values_per_s)

    async def _mend_blob(self, identity: bytes) -> None:
        ports = self._ports
        asked = ports.peers()[:PEERS_ASKED_MAX]
        await fetch_in_parts(ports.blobs, ports.source, asked, identity)

    def _count_read(self, read: int) -> None:
        self.tally.read += read
        self._ports.count(READ, read)
