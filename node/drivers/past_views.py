"""Read-only calls on the state after a block, off the thread that makes and checks blocks.

They have an engine, compiled contracts and a thread of their own: a client's calls, or a source
that somebody has rehearsed, take neither the turn nor the memory of blocks.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from andon.core.block import block_hash
from andon.core.errors import Code, InvalidInput
from andon.core.transaction import Call
from consensus.ledger import Engine, Outcome, Overlay, Parent
from consensus.ledger.succession import read_params
from node.drivers.dry_run import VIEW_GAS_MAX, View, run_view, settled_view
from node.drivers.predictions import PredictionService
from node.storage import ChainStore, Snapshot
from node.storage.undo import rewind


class PastViews:
    """Runs one call at a time; the others wait on the event loop. `close` at the end."""

    def __init__(self, store: ChainStore, engine: Engine, predictions: PredictionService) -> None:
        """Take an engine of its own: an engine serves one thread at a time."""
        self._store = store
        self._engine = engine
        self._predictions = predictions
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="views")

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def view(
        self, height: int | None, call: Call, sender: bytes, gas_limit: int = VIEW_GAS_MAX
    ) -> tuple[int, Outcome]:
        """Run a read-only call on the state after block `height`, or after the last final one.

        Cost: the values that the blocks since then replaced, and the call.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN with what is kept.
            Unavailable: WORKER_DOWN or PREDICTION_MISSING if it needs outputs not at hand.
        """
        limit = min(gas_limit, VIEW_GAS_MAX)

        async def run() -> View:
            loop = asyncio.get_running_loop()
            # Not held while outputs are fetched: a worker that restarts would stop every view.
            async with self._turn:
                job = loop.run_in_executor(self._thread, self._view, height, call, sender, limit)
                try:
                    return await asyncio.shield(job)
                finally:
                    # Whoever hangs up keeps its turn until the job ends, or jobs would pile up.
                    await asyncio.wait([job])

        return await settled_view(run, self._predictions)

    def _view(self, height: int | None, call: Call, sender: bytes, gas_limit: int) -> View:
        with self._store.snapshot() as snapshot:
            parent = past_parent(snapshot, snapshot.height() if height is None else height)
            cache = self._predictions.cache
            return run_view(parent, call, sender, gas_limit, engine=self._engine, cache=cache)


def past_parent(snapshot: Snapshot, height: int) -> Parent:
    """Block `height` as the parent of the next; valid while the snapshot is open.

    Raises:
        InvalidInput: HEIGHT_UNKNOWN.
    """
    state = rewind(snapshot, height)
    header = snapshot.header(height)
    validators = None
    if header is not None:
        validators = snapshot.validators(header.epoch + (1 if header.closes_epoch else 0))
    if header is None or validators is None:
        raise InvalidInput(Code.HEIGHT_UNKNOWN, f"the header of block {height} is not kept here")
    return Parent(
        header=header,
        hash=block_hash(header),
        state=state,
        validators=validators,
        params=read_params(Overlay(state)),
    )
