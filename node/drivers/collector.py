"""Removes blobs that nothing on the chain names, once they are old.

Users store blobs before they name them in a transaction, and some never do: a broken run, a typo, a
test. A blob that a node's state and kept blocks do not name (`node/storage/references.py`) is
removed when it has lain for `blobs_unreferenced_days`, counted by the time of the last final block,
so that a node that lags removes nothing that blocks to come may name. Storing it again, or asking
to, makes it new. Private envelopes are not touched: the contract `private` says when they go.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import structlog

from andon.core.errors import Corrupt, Unavailable
from node.storage import BlobStore, ChainStore
from node.storage.references import HistorySearch, Names, look_in_state

FIRST_AFTER_S = 3600.0
AGAIN_AFTER_S = 24 * 3600.0
REST_FACTOR = 4.0
"""So many times longer than it searched the history, it rests: a fifth of a core at most."""
_DAY_NS = 24 * 3600 * 1_000_000_000
_MS_NS = 1_000_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collected:
    """What one round removed."""

    blobs: int = 0
    size_bytes: int = 0


class Collector:
    """`run` collects once a day; `collect` once, for tests."""

    def __init__(self, store: ChainStore, blobs: BlobStore, days: int) -> None:
        self._store = store
        self._blobs = blobs
        self._days = days
        self._named: dict[bytes, int] = {}
        """Heights that named a blob: while such a block is kept, it is not looked for again."""

    async def run(self) -> None:
        """Collect again and again until cancelled; a bound of 0 days is for never."""
        if not self._days:
            return
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            try:
                done = await self.collect()
            except (Corrupt, Unavailable, OSError) as error:
                # The scrubber repairs what rotted or ends the node; until then nothing is known.
                log.warning("blobs.not_collected", reason=str(error)[:200])
            else:
                log.info("blobs.collected", count=done.blobs, size_bytes=done.size_bytes)
            await asyncio.sleep(AGAIN_AFTER_S)

    async def collect(self) -> Collected:
        """Remove what is old and not named.

        Raises:
            Corrupt, Unavailable, OSError: that cannot be told, or not now.
        """
        before_ns, old, first = await asyncio.to_thread(self._old)
        kept = old & {name for name, height in self._named.items() if height >= first}
        self._named = {name: self._named[name] for name in kept}
        # Not on the loop: 100,000 blobs take a second.
        names = await asyncio.to_thread(Names, old - kept)
        if names.missing:
            # The state first: what a later block takes out of it and puts elsewhere is found here,
            # and what a later block brings, in that block.
            await asyncio.to_thread(self._look_in_state, names)
        history = HistorySearch()
        while names.missing and not history.is_done:
            took_s = await asyncio.to_thread(self._step, history, names)
            await asyncio.sleep(REST_FACTOR * took_s)
        self._named |= history.found
        return await asyncio.to_thread(self._remove, history, names, before_ns)

    def _old(self) -> tuple[int, set[bytes], int]:
        with self._store.snapshot() as snapshot:
            header, first = snapshot.header(snapshot.height()), snapshot.first_height()
        now_ns = 0 if header is None else header.time_ms * _MS_NS
        before_ns = now_ns - self._days * _DAY_NS
        self._blobs.forget_uploads(before_ns)
        return before_ns, set(self._blobs.older(before_ns)), first

    def _look_in_state(self, names: Names) -> None:
        with self._store.snapshot() as snapshot:
            look_in_state(snapshot, names)

    def _step(self, history: HistorySearch, names: Names) -> float:
        began_s = time.monotonic()
        with self._store.snapshot() as snapshot:
            history.step(snapshot, names)
        return time.monotonic() - began_s

    def _remove(self, history: HistorySearch, names: Names, before_ns: int) -> Collected:
        """Look at the blocks that came meanwhile, and remove what is left."""
        count = size = 0
        if names.missing:
            with self._store.snapshot() as snapshot:
                history.is_done = False
                while not history.is_done:
                    history.step(snapshot, names)
        for identity in sorted(names.missing):
            removed = self._blobs.remove_old(identity, before_ns)
            if removed is not None:
                log.info("blob.collected", blob=identity.hex(), size_bytes=removed)
                count, size = count + 1, size + removed
        return Collected(count, size)
