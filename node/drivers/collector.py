"""Removes blobs that nothing on the chain names, once they are old.

Users store blobs before they name them in a transaction, and some never do: a broken run, a typo, a
test. A blob that a node's state and kept blocks do not name (`node/storage/references.py`) is
removed when it has lain for `blobs_unreferenced_days`, counted by the time of the last final block,
so that a node that lags removes nothing that blocks to come may name. Storing it again, or asking
to, makes it new. Private envelopes are not touched: the contract `private` says when they go.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

import structlog

from andon.core.errors import Corrupt, Unavailable
from node.storage import BlobStore, ChainStore
from node.storage.references import Names, Place, Search, is_named_at

FIRST_AFTER_S = 3600.0
AGAIN_AFTER_S = 24 * 3600.0
REST_FACTOR = 4.0
"""So many times longer than it searched, it rests: a fifth of a core at most."""
PLACES_MAX = 200_000
"""Blobs of which it remembers where they are named; others are searched for in every round."""
PLACES_PER_STEP = 1000
_DAY_NS = 24 * 3600 * 1_000_000_000
_MS_NS = 1_000_000

P = ParamSpec("P")
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
        self._named: dict[bytes, Place] = {}
        """Where a blob was found: while it is named there, it is not looked for again."""

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
        before_ns, old, height = await asyncio.to_thread(self._old)
        await self._forget_places(old)
        # Not on the loop: 100,000 blobs take a second.
        names = await asyncio.to_thread(Names, old - self._named.keys())
        search = Search(height)
        try:
            while names.missing and not search.is_done:
                await _paced(self._step, search, names)
            return await asyncio.to_thread(self._remove, search, names, before_ns)
        finally:
            room = PLACES_MAX - len(self._named)
            self._named |= itertools.islice(search.found.items(), room)

    def _old(self) -> tuple[int, set[bytes], int]:
        with self._store.snapshot() as snapshot:
            height = snapshot.height()
            header = snapshot.header(height)
        now_ns = 0 if header is None else header.time_ms * _MS_NS
        before_ns = now_ns - self._days * _DAY_NS
        self._blobs.forget_uploads(before_ns)
        return before_ns, set(self._blobs.older(before_ns)), height

    async def _forget_places(self, old: set[bytes]) -> None:
        """Forget the places that no longer name an old blob: it is searched for again."""
        places = [(blob, place) for blob, place in self._named.items() if blob in old]
        self._named = {}
        for start in range(0, len(places), PLACES_PER_STEP):
            await _paced(self._look_at, places[start : start + PLACES_PER_STEP])

    def _look_at(self, places: list[tuple[bytes, Place]]) -> None:
        with self._store.snapshot() as snapshot:
            self._named |= (found for found in places if is_named_at(snapshot, *found))

    def _step(self, search: Search, names: Names) -> None:
        # A view of its own: one that is held keeps LMDB from using the pages of later commits.
        with self._store.snapshot() as snapshot:
            search.step(snapshot, names)

    def _remove(self, search: Search, names: Names, before_ns: int) -> Collected:
        """Look at the blocks that came meanwhile, and remove what is left."""
        count = size = 0
        if names.missing:
            with self._store.snapshot() as snapshot:
                search.is_done = False
                while not search.is_done:
                    search.step(snapshot, names)
        for identity in sorted(names.missing):
            removed = self._blobs.remove_old(identity, before_ns)
            if removed is not None:
                log.info("blob.collected", blob=identity.hex(), size_bytes=removed)
                count, size = count + 1, size + removed
        return Collected(count, size)


async def _paced(job: Callable[P, None], *given: P.args, **named: P.kwargs) -> None:
    """Run a step of the search in a thread, then rest."""
    began_s = time.monotonic()
    await asyncio.to_thread(job, *given, **named)
    await asyncio.sleep(REST_FACTOR * (time.monotonic() - began_s))
