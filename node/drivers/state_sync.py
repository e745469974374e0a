"""State sync: fetch a portable state from several peers at once, proved from genesis.

The manifest of the highest offered snapshot is proved before anything else is asked for; then its
chunks come from all peers that offer the height, each checked when it arrives and kept on disk, so
that a restart goes on where it was. Who gives a chunk that does not fit is punished and not asked
again; what one peer is slow with is asked of another, too, so no peer can hold the rest up. What
comes after the snapshot is ordinary catch-up (`node/drivers/sync.py`).

Whatever peers send, a node holds a piece of each fetch in memory, and of whole chunks only those
that are being checked; the rest is on disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis
from node.storage.blob_files import full
from node.storage.portable import (
    CHUNK_BYTES_MAX,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    Checked,
    check_manifest,
)

FETCHES_PER_PEER = 2
FAILURES_MAX = 3
"""A peer that failed to answer so often is not asked for more of this height."""
MANIFEST_S = 60.0
"""For the manifest, whose bytes a peer may draw out; who takes longer is not asked again."""
SLOW_S = 5.0
"""A chunk that is under way for so long is asked of a second peer."""
IDLE_S = 0.1
FETCHES_AT_ONCE_MAX = 16
"""Each holds a piece (`PIECE_BYTES`) in memory, and on disk its chunk."""
CHECKS_AT_ONCE_MAX = 1
"""Whole chunks in memory; one that is checked takes about three times its bytes."""
HEIGHTS_TRIED_MAX = 3
OFFERS_PER_PEER_MAX = 16
PENALTY_LIE = 50.0

log = structlog.get_logger()


class Source(Protocol):
    """Portable states at peers."""

    async def snapshots(self, node_key: bytes) -> list[int]:
        """Heights that a peer offers. Raises Unavailable or InvalidInput."""

    async def snapshot_file(self, node_key: bytes, height: int, name: str, bytes_max: int) -> bytes:
        """One file. Raises Unavailable or InvalidInput."""

    def snapshot_pieces(
        self, node_key: bytes, height: int, name: str, bytes_max: int
    ) -> AsyncIterator[bytes]:
        """One file, piece by piece. Raises Unavailable or InvalidInput."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A portable state that is complete and checked on this disk."""

    checked: Checked
    folder: Path

    def read(self, name: str) -> bytes:
        """Read one of its files."""
        return (self.folder / name).read_bytes()


@dataclass(slots=True)
class _UnderWay:
    since_s: float
    peers: list[bytes]


class _Chunks:
    """Names of what is lacking, and who was asked for it since when."""

    def __init__(self, names: list[str]) -> None:
        self.lacking = set(names)
        self._todo = deque(names)
        self._under_way: dict[str, _UnderWay] = {}

    def take(self, peer: bytes) -> str | None:
        """What this peer is to fetch next: what nobody fetches, or what another is slow with."""
        now_s = asyncio.get_running_loop().time()
        while self._todo:
            name = self._todo.popleft()
            if name in self.lacking:
                self._under_way[name] = _UnderWay(now_s, [peer])
                return name
        for name, found in self._under_way.items():
            is_slow = now_s - found.since_s >= SLOW_S and name in self.lacking
            if is_slow and peer not in found.peers:
                found.peers.append(peer)
                found.since_s = now_s
                return name
        return None

    def end(self, peer: bytes, name: str) -> None:
        """A peer is done with it, well or not."""
        found = self._under_way.get(name)
        if found is not None:
            found.peers.remove(peer)
            if not found.peers:
                del self._under_way[name]
                if name in self.lacking:
                    self._todo.append(name)

    async def cancel_at_end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait until nothing is lacking, or nobody works, then stop who does."""
        while self.lacking and not all(task.done() for task in tasks):
            await asyncio.wait(tasks, timeout=IDLE_S)
        for task in tasks:
            task.cancel()


class StateSync:
    """Fetches into `folder`, one sub-folder a height."""

    def __init__(
        self,
        genesis: Genesis,
        source: Source,
        folder: Path,
        *,
        peers: Callable[[], list[bytes]],
        punish: Callable[[bytes, float, str], None],
    ) -> None:
        self._genesis = genesis
        self._source = source
        self._folder = folder
        self._peers = peers
        self._punish = punish
        self._liars: set[bytes] = set()
        self._slow: set[bytes] = set()
        self._checks = asyncio.Semaphore(CHECKS_AT_ONCE_MAX)

    async def fetch(self) -> Fetched | None:
        """Fetch the highest snapshot that can be proved and completed; None if there is none."""
        offers = await self._offers()
        for height in sorted(offers, reverse=True)[:HEIGHTS_TRIED_MAX]:
            found = await self._fetch_height(height, offers[height])
            if found is not None:
                return found
        return None

    async def _offers(self) -> dict[int, list[bytes]]:
        peers = self._peers()
        offers: dict[int, list[bytes]] = {}
        for peer, heights in zip(
            peers, await asyncio.gather(*map(self._offer, peers)), strict=True
        ):
            for height in heights[-OFFERS_PER_PEER_MAX:]:
                offers.setdefault(height, []).append(peer)
        return offers

    async def _offer(self, peer: bytes) -> list[int]:
        try:
            return await self._source.snapshots(peer)
        except Unavailable:
            return []
        except InvalidInput as error:
            self._condemn(peer, error)
            return []

    async def _fetch_height(self, height: int, peers: list[bytes]) -> Fetched | None:
        folder = self._folder / str(height)
        for peer in peers:
            if peer in self._liars or peer in self._slow:
                continue
            try:
                data = await self._manifest(peer, height)
                checked = await asyncio.to_thread(check_manifest, self._genesis, data)
                _check_height(checked, height)
            except Unavailable:
                continue
            except InvalidInput as error:
                self._condemn(peer, error)
                continue
            await asyncio.to_thread(_begin, folder, data)
            if await self._fetch_chunks(checked, folder, peers):
                return Fetched(checked, folder)
        return None

    async def _manifest(self, peer: bytes, height: int) -> bytes:
        try:
            async with asyncio.timeout(MANIFEST_S):
                return await self._source.snapshot_file(peer, height, MANIFEST, MANIFEST_BYTES_MAX)
        except TimeoutError:
            self._slow.add(peer)
            raise Unavailable(Code.UNREACHABLE, "the manifest takes too long") from None

    async def _fetch_chunks(self, checked: Checked, folder: Path, peers: list[bytes]) -> bool:
        names = checked.names()
        lacking = await asyncio.to_thread(_lacking, checked, folder)
        log.info(
            "state_sync.started", height=checked.height, chunks=len(names), lacking=len(lacking)
        )
        chunks = _Chunks(lacking)
        failures = dict.fromkeys(peers, 0)
        while chunks.lacking:
            usable = [p for p in peers if p not in self._liars and failures[p] < FAILURES_MAX]
            if not usable:
                log.warning(
                    "state_sync.gave_up", height=checked.height, lacking=len(chunks.lacking)
                )
                return False
            usable.sort(key=lambda peer: failures[peer])
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._work(checked, folder, peer, chunks, failures))
                    for peer in usable[: FETCHES_AT_ONCE_MAX // FETCHES_PER_PEER]
                    for _ in range(FETCHES_PER_PEER)
                ]
                # Whoever is still busy when all is there is slow, and is not waited for.
                group.create_task(chunks.cancel_at_end(tasks))
        return True

    async def _work(
        self,
        checked: Checked,
        folder: Path,
        peer: bytes,
        chunks: _Chunks,
        failures: dict[bytes, int],
    ) -> None:
        """Fetch chunks from one peer until none is lacking, or the peer fails or lies."""
        while chunks.lacking and peer not in self._liars and failures[peer] < FAILURES_MAX:
            name = chunks.take(peer)
            if name is None:
                await asyncio.sleep(IDLE_S)
                continue
            # Two peers may be asked for one chunk, and neither may write into the other's file.
            part = folder / f"{name}.{peer.hex()[:16]}.part"
            try:
                await self._fetch_part(peer, checked.height, name, part)
                async with self._checks:
                    if name in chunks.lacking:
                        await asyncio.to_thread(_accept, checked, name, part)
                        chunks.lacking.discard(name)
                    else:
                        failures[peer] += 1  # another was asked later and was faster
            except Unavailable as error:
                if error.code is Code.STORAGE_FULL:
                    raise
                failures[peer] += 1
            except InvalidInput as error:
                self._condemn(peer, error)
            finally:
                part.unlink(missing_ok=True)
                chunks.end(peer, name)

    async def _fetch_part(self, peer: bytes, height: int, name: str, part: Path) -> None:
        """Write a chunk to a file as it comes; raises as the source, and STORAGE_FULL."""
        try:
            with part.open("wb") as file:
                pieces = self._source.snapshot_pieces(peer, height, name, CHUNK_BYTES_MAX)
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
        except OSError as error:
            raise full("a chunk", error) from None

    def _condemn(self, peer: bytes, error: InvalidInput) -> None:
        if peer not in self._liars:
            self._liars.add(peer)
            log.warning("state_sync.liar", peer=peer.hex()[:16], reason=str(error)[:200])
            self._punish(peer, PENALTY_LIE, f"state sync {error.code.name}")


def _check_height(checked: Checked, height: int) -> None:
    if checked.height != height:
        raise InvalidInput(Code.BAD_PROOF, f"a snapshot of {checked.height} as one of {height}")


def _begin(folder: Path, manifest: bytes) -> None:
    """Store a checked manifest, and drop the parts that a killed node left.

    Raises:
        Unavailable: STORAGE_FULL.
    """
    part = folder / f"{MANIFEST}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in folder.glob("*.part"):
            leftover.unlink()
        part.write_bytes(manifest)
        part.rename(folder / MANIFEST)
    except OSError as error:
        raise full("a manifest", error) from None


def _accept(checked: Checked, name: str, part: Path) -> None:
    """Give a file its name if it is the chunk; raises as `Checked.check`, and STORAGE_FULL."""
    try:
        checked.check(name, part.read_bytes())
        part.rename(part.parent / name)
    except OSError as error:
        raise full("a chunk", error) from None


def _lacking(checked: Checked, folder: Path) -> list[str]:
    """Names of chunks that are not here, or not sound, from an earlier attempt."""
    lacking: list[str] = []
    for name in checked.names():
        try:
            checked.check(name, (folder / name).read_bytes())
        except (OSError, AndonError):
            lacking.append(name)
    return lacking
