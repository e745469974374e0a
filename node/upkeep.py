"""What a node does for its store beside consensus: snapshots, pruning, scrubs, collection, sync.

Nothing here decides about the chain. Snapshots and pruning follow commits; blobs that nothing
names are collected once a day; state sync runs once, before catch-up, on an empty chain; a node
that reached its halting height writes a snapshot, goes on serving for a moment so that others
reach it too, and ends with HALTED.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.core.block import Header
from andon.core.certificate import Vote
from andon.core.errors import Code, InvalidInput, Misuse, Unavailable
from node.drivers.block_tree import Committed
from node.drivers.collector import Collector
from node.drivers.execution import ExecutionDriver
from node.drivers.horizon import HINT
from node.drivers.scrubber import Folder, Scrubber, ScrubPorts
from node.drivers.scrubber import Source as Repairs
from node.drivers.state_sync import Fetched, Source, StateSync
from node.home import Opened
from node.storage import ChainStore, PortableFiles

PRUNE_EVERY_BLOCKS = 64
PRUNE_COUNT_MAX = 256
"""Blocks forgotten in one write, so that a commit never waits long."""
LINKS_WAIT_S = 60.0
OFFERS_WAIT_S = 10.0
OFFERS_POLL_S = 0.5
HALT_LINGER_S = 5.0
WORK_MAX = 8
READERS_EVERY_S = 60.0

log = structlog.get_logger()


class Peers(Source, Repairs, Protocol):
    """What peers give: portable states, and what repairs a store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepPorts:
    """What upkeep works on; `advance` closes slots in the sign state."""

    opened: Opened
    files: PortableFiles
    execution: ExecutionDriver
    source: Peers
    count_scrubbed: Callable[[str, int], None]
    folders: tuple[Folder, ...]
    peers: Callable[[], list[bytes]]
    punish: Callable[[bytes, float, str], None]
    advance: Callable[[Vote], Awaitable[None]]
    replaced: Callable[[], None]
    """The chain stands somewhere else now: consensus and the registry must be told."""


class Upkeep:
    """`committed` hears of blocks, `run` works, `sync_state` comes before catch-up."""

    def __init__(self, ports: UpkeepPorts) -> None:
        self._ports = ports
        self._work: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue(WORK_MAX)
        self.scrubber = Scrubber(
            ScrubPorts(
                chain_id=ports.execution.genesis_document.chain_id,
                store=ports.opened.store,
                blobs=ports.opened.blobs,
                writer=ports.execution,
                source=ports.source,
                peers=ports.peers,
                count=ports.count_scrubbed,
                values_per_s=ports.opened.config.scrub_values_per_s,
                folders=ports.folders,
            )
        )
        opened = ports.opened
        self._collector = Collector(
            opened.store, opened.blobs, opened.config.blobs_unreferenced_days
        )
        ports.execution.subscribe(self._committed)

    # -- following commits ----------------------------------------------------------------

    def _committed(self, header: Header, committed: Committed) -> None:
        del committed
        config, height = self._ports.opened.config, header.height
        if self._end():
            self._put(self._halt)
        elif config.snapshot_every_blocks and height % config.snapshot_every_blocks == 0:
            self._put(self._write_snapshot)
        if config.keep_blocks and height % PRUNE_EVERY_BLOCKS == 0:
            self._put(self._prune)

    def _end(self) -> str:
        """Why the chain ends here for this node, if it does."""
        with self._ports.opened.store.snapshot() as snapshot:
            return self._ports.execution.horizon.reason(snapshot.height(), snapshot)

    def _put(self, work: Callable[[], Awaitable[None]]) -> None:
        """Queue work; what exceeds the bound comes again with a later block."""
        if not self._work.full():
            self._work.put_nowait(work)

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            Misuse: HALTED at the configured height. Corrupt: the disk failed.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self.scrubber.run(), name="scrubber")
            group.create_task(self._collector.run(), name="collector")
            group.create_task(clear_readers(self._ports.opened.store), name="readers")
            await self._work_on()

    async def _work_on(self) -> None:
        ports = self._ports
        await asyncio.to_thread(ports.files.clear_leftovers)
        if self._end():
            self._put(self._halt)
        while True:
            work = await self._work.get()
            await work()

    async def _write_snapshot(self) -> None:
        ports = self._ports

        def write() -> int:
            with ports.opened.store.snapshot() as snapshot:
                height = ports.files.write(snapshot)
            ports.files.keep_newest(ports.opened.config.snapshots_kept)
            return height

        try:
            log.info("snapshot.written", height=await asyncio.to_thread(write))
        except (Unavailable, InvalidInput) as error:
            log.warning("snapshot.not_written", reason=str(error)[:200])

    async def _prune(self) -> None:
        execution = self._ports.execution
        window = execution.params().expiry_window_blocks
        kept = max(self._ports.opened.config.keep_blocks, window)
        below = execution.head().height + 1 - kept
        count = await execution.on_storage(
            lambda: self._ports.opened.store.prune(below, PRUNE_COUNT_MAX)
        )
        if count == PRUNE_COUNT_MAX:
            self._put(self._prune)

    async def _halt(self) -> None:
        reason = self._end()
        await self._write_snapshot()
        log.error("node.halted", height=self._ports.execution.head().height, reason=reason)
        await asyncio.sleep(HALT_LINGER_S)
        raise Misuse(Code.HALTED, reason, hint=HINT)

    # -- state sync -----------------------------------------------------------------------

    async def sync_state(self) -> None:
        """Replace an empty chain by a peer's snapshot, if the configuration wants that."""
        ports = self._ports
        if not ports.opened.config.state_sync or ports.execution.head().height > 0:
            return
        folder = ports.opened.home.data / "incoming"
        driver = StateSync(
            ports.execution.genesis_document,
            ports.source,
            folder,
            peers=ports.peers,
            punish=ports.punish,
        )
        fetched = await self._fetch(driver)
        if fetched is None:
            log.warning("state_sync.no_snapshot", hint="peers offer none; syncing by blocks")
            return
        checked = fetched.checked
        # As when a block is committed: the slots below are closed before the chain stands there.
        await ports.advance(checked.manifest.final.certificate.vote)
        await ports.execution.replace(lambda: _install(ports.opened.store, fetched))
        ports.replaced()
        log.info("state_sync.done", height=checked.height)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _fetch(self, driver: StateSync) -> Fetched | None:
        """Wait for peers and then a while for their offers."""
        polls = int(OFFERS_WAIT_S / OFFERS_POLL_S)
        for _ in range(int(LINKS_WAIT_S / OFFERS_POLL_S)):
            if self._ports.peers():
                polls -= 1
                fetched = await driver.fetch()
                if fetched is not None or polls <= 0:
                    return fetched
            await asyncio.sleep(OFFERS_POLL_S)
        return None


async def clear_readers(store: ChainStore) -> None:
    """Free what other processes held when they were killed: `andon snapshot`, a backup.

    Their pages would not be used again until the next start, and the map would grow.
    """
    while True:
        count = await asyncio.to_thread(store.clear_dead_readers)
        if count:
            log.warning("store.dead_readers_cleared", count=count)
        await asyncio.sleep(READERS_EVERY_S)


def _install(store: ChainStore, fetched: Fetched) -> None:
    # Consensus may have been faster on a young chain; never go back.
    if store.head_height() < fetched.checked.height:
        store.install(fetched.checked, fetched.read)
