"""What becomes of a damaged store that a node finds: repaired in place, or fetched anew from peers.

The node's own scrubber walks the copy, with a sound store for a peer. If that ends the process or
leaves anything that a full scrub finds, the store begins anew and catches up by blocks through the
node's own driver, as after a restart. Either way it must answer everything as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TypeVar

from andon.core.certificate import Vote
from andon.core.codec import decode
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.wire import AdoptableBlock, FinalBlock, Status
from node.drivers.certified import CertifiedChain as Certified
from node.drivers.contract_engine import ContractEngine
from node.drivers.execution import ExecutionDriver
from node.drivers.predictions import PredictionCache, PredictionService
from node.drivers.queries import ChainQueries
from node.drivers.scrubber import Scrubber, ScrubPorts
from node.drivers.sync import SyncDriver
from node.mempool import Verifier
from node.storage import BlobStore, ChainStore, scrub
from node.testing.lab.rot import (
    MAP_BYTES,
    MARK_SUFFIX,
    Specimen,
    answers_of,
    in_child,
    open_copy,
)

BLOCKS_BYTES_MAX = 16 * 1024 * 1024
CATCH_UP_S = 120.0
"""Wall time, for loaded machines; it takes about one second."""
PEER = b"p" * 32
T = TypeVar("T")


class Repair(Enum):
    """How a repair ended; the value is the exit status of its process."""

    IN_PLACE = 0
    ANEW = 3
    NONE = 4


class SoundPeer:
    """A peer with the specimen's store."""

    def __init__(self, store: ChainStore) -> None:
        self._queries = ChainQueries(store)

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        """Final blocks from a height on."""
        del node_key
        found = self._queries.final_blocks(first, count, BLOCKS_BYTES_MAX)
        return [decode(FinalBlock, raw, BLOCKS_BYTES_MAX) for raw in found]

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        """The same with what the blocks did."""
        del node_key
        found = self._queries.adoptable_blocks(first, count, BLOCKS_BYTES_MAX)
        return [decode(AdoptableBlock, raw, BLOCKS_BYTES_MAX) for raw in found]

    async def block_item(self, node_key: bytes, height: int) -> bytes:
        """One block with what it did."""
        del node_key
        return _there(self._queries.item(height))

    async def state_value(self, node_key: bytes, key: bytes) -> bytes:
        """A value of the state."""
        del node_key
        return _there(self._queries.value(key))

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """The specimen has no blobs."""
        del node_key, digest, offset
        raise Unavailable(Code.UNREACHABLE, "no blobs")


class _Here:
    """The storage thread, where there is no other."""

    async def on_storage(self, job: Callable[[], T]) -> T:
        return job()


def repair(specimen: Specimen, folder: Path) -> Repair:
    """Repair a damaged copy, each way in a process of its own: either may die."""
    status = in_child(lambda: _mend(specimen, folder))
    if status == Repair.IN_PLACE.value:
        return Repair.IN_PLACE
    status = in_child(lambda: _fetch_anew(specimen, folder))
    return Repair.ANEW if status == Repair.ANEW.value else Repair.NONE


def _mend(specimen: Specimen, folder: Path) -> int:
    with contextlib.suppress(AndonError):
        store, peer = open_copy(specimen, folder), ChainStore(specimen.folder, MAP_BYTES)
        ports = ScrubPorts(
            chain_id=specimen.genesis.chain_id,
            store=store,
            blobs=BlobStore(folder.with_suffix(".blobs")),
            writer=_Here(),
            source=SoundPeer(peer),
            peers=lambda: [PEER],
            count=lambda _outcome, _number: None,
            values_per_s=0,
        )
        asyncio.run(Scrubber(ports).walk())
        if _is_sound(specimen, store):
            return Repair.IN_PLACE.value
    return Repair.NONE.value


def _fetch_anew(specimen: Specimen, folder: Path) -> int:
    shutil.rmtree(folder)
    store = ChainStore(folder, MAP_BYTES, mark=folder.with_suffix(MARK_SUFFIX))
    peer = ChainStore(specimen.folder, MAP_BYTES)
    asyncio.run(_catch_up(specimen, store, SoundPeer(peer)))
    ended = Repair.ANEW if _is_sound(specimen, store) else Repair.NONE
    return int(ended.value)


async def _catch_up(specimen: Specimen, store: ChainStore, peer: SoundPeer) -> None:
    verifier = Verifier()
    execution = ExecutionDriver(
        genesis=specimen.genesis,
        engine=ContractEngine(),
        store=store,
        predictions=PredictionService(None, PredictionCache(1)),
        verifier=verifier,
    )
    sync = SyncDriver(
        specimen.genesis.chain_id,
        Certified(execution, _advance),
        peer,
        adopts=True,
        punish=lambda _peer, _points, _reason: None,
        sync_started=lambda: None,
        sync_ended=lambda: None,
        validator_of=lambda _peer: None,
    )
    sync.note_status(PEER, Status(height=specimen.heights, epoch=0, slot=0, head=bytes(32)))
    try:
        async with asyncio.timeout(CATCH_UP_S), asyncio.TaskGroup() as group:
            running = group.create_task(sync.run())
            while execution.head().height < specimen.heights:  # noqa: ASYNC110 - a campaign's poll
                await asyncio.sleep(0.01)
            running.cancel()
    finally:
        execution.close()
        verifier.close()


async def _advance(vote: Vote) -> None:
    """There is no sign state here."""
    del vote


def _is_sound(specimen: Specimen, store: ChainStore) -> bool:
    with store.snapshot() as snapshot:
        scrub(snapshot)
    return answers_of(store, specimen.heights, specimen.transactions) == specimen.answers


def _there(found: bytes | None) -> bytes:
    if found is None:
        raise Unavailable(Code.UNREACHABLE, "not here")
    return found
