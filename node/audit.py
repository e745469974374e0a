"""Recompute what the chain has committed: replay blocks, ask an own worker, compare.

Inputs of predictions are not on the chain by themselves, transactions are; so blocks are executed
again from genesis, with the outputs that they claim, which also checks every root. Each block's
Final certificate is checked first. Memory holds the present state and one batch of inputs.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from andon.core.block import PredictionOutput
from andon.core.codec import decode_value
from andon.core.errors import Code, Corrupt, Misuse, Unavailable
from andon.core.genesis import Genesis
from andon.core.state_key import state_key
from andon.core.wire import FinalBlock
from andon.core.worker import READY, Explained
from consensus.ledger import (
    MemoryState,
    Parent,
    check_and_execute_block,
    genesis_state,
    parent_of,
)
from node.checkout import CHECKOUT
from node.drivers.certified import check_final_block
from node.drivers.contract_engine import ContractEngine
from node.workers.supervisor import Supervisor, WorkerSettings

BATCH_WINDOWS_MAX = 1024
BATCH_BYTES_MAX = 16 * 1024 * 1024
START_S = 120.0
START_POLL_S = 0.1
ATTESTED = "attested"


class Source(Protocol):
    """Where blocks and model packages come from; nothing it says is believed unchecked."""

    async def final_block(self, height: int) -> FinalBlock:
        """Give a final block."""

    async def blob(self, identity: bytes) -> bytes:
        """Give a blob with this digest."""


class Worker(Protocol):
    """The local backend."""

    def has_model(self, model_id: bytes) -> bool:
        """Tell whether it is loaded."""

    async def load(self, blob: bytes, reread: Callable[[], bytes]) -> object:
        """Check and load a package."""

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Give one output a window."""

    async def explain(
        self, model_id: bytes, window: bytes, committed: tuple[int, ...]
    ) -> Explained:
        """Say where an output parts from what the model means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first committed output that this machine does not compute."""

    height: int
    model_id: bytes
    input_digest: bytes
    report: Explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an audit saw. `reached` is the last height whose outputs were all compared."""

    first: int
    last: int
    reached: int
    predictions: int
    attested: int
    difference: Difference | None

    @property
    def is_complete(self) -> bool:
        """Whether the whole range was compared and agrees."""
        return self.difference is None and self.reached == self.last


@dataclass(frozen=True, slots=True)
class _Claim:
    height: int
    output: PredictionOutput
    window: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Heights to compare, both inclusive, and how long the audit may take."""

    first: int
    last: int
    seconds: float


class Auditor:
    """One audit. `now_s` is a monotonic clock."""

    def __init__(
        self,
        genesis: Genesis,
        source: Source,
        worker: Worker,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain_id = genesis.chain_id
        self._source = source
        self._worker = worker
        self._now_s = now_s
        self._engine = ContractEngine()
        start = genesis_state(genesis, self._engine)
        self._state = MemoryState()
        self._state.apply(start.executed.overlay)
        self._parent = self._above(parent_of(start.header, start.executed))
        self._claims: list[_Claim] = []
        self._bytes = 0
        self._predictions = 0
        self._attested = 0

    def _above(self, parent: Parent) -> Parent:
        return Parent(
            header=parent.header,
            hash=parent.hash,
            state=self._state,
            validators=parent.validators,
            params=parent.params,
        )

    async def run(self, bounds: Range, progress: Callable[[int], None]) -> Result:
        """Replay to the end of the range or of the time; stops at the first difference.

        Raises:
            InvalidInput: a block that breaks a rule, or whose certificate is bad.
            Unavailable: the source lacks a block or blob, or the worker is down.
        """
        if not 1 <= bounds.first <= bounds.last:
            raise Misuse(Code.BAD_ARGUMENTS, "heights are from 1, and --from is not above --to")
        end_s, reached = self._now_s() + bounds.seconds, bounds.first - 1
        difference: Difference | None = None
        for height in range(1, bounds.last + 1):
            if self._now_s() >= end_s:
                break
            await self._replay(height, is_compared=height >= bounds.first)
            is_full = len(self._claims) >= BATCH_WINDOWS_MAX or self._bytes >= BATCH_BYTES_MAX
            if is_full or height == bounds.last:
                difference = await self._compare()
                if difference is not None:
                    break
            if not self._claims:
                reached = max(reached, height)
            progress(height)
        if difference is None and self._claims:
            difference = await self._compare()
            if difference is None:
                reached = self._parent.header.height
        return Result(
            first=bounds.first,
            last=bounds.last,
            reached=reached if difference is None else difference.height - 1,
            predictions=self._predictions,
            attested=self._attested,
            difference=difference,
        )

    async def _replay(self, height: int, *, is_compared: bool) -> None:
        final = await self._source.final_block(height)
        check_final_block(self._chain_id, self._parent.validators, final)
        block = final.block
        executed = await asyncio.to_thread(
            check_and_execute_block, self._parent, block, self._engine
        )
        # Repeated ids were refused by the quorum; forgetting them keeps memory at the state's.
        executed.overlay.transaction_ids.clear()
        self._state.apply(executed.overlay)
        self._parent = self._above(parent_of(block.header, executed))
        if not is_compared:
            return
        self._attested += sum(record.kind == ATTESTED for record in executed.predictions)
        rows = zip(executed.prediction_outputs, executed.prediction_inputs, strict=True)
        for output, (_, window) in rows:
            self._claims.append(_Claim(height, output, window))
            self._bytes += len(window)

    async def _compare(self) -> Difference | None:
        """Recompute what was claimed, model by model; the lowest height's difference counts."""
        claims, self._claims, self._bytes = self._claims, [], 0
        computed: dict[int, tuple[int, ...]] = {}
        for model_id in dict.fromkeys(claim.output.model_id for claim in claims):
            places = [i for i, c in enumerate(claims) if c.output.model_id == model_id]
            await self._load(model_id)
            outputs = await self._worker.predict(model_id, [claims[i].window for i in places])
            computed.update(zip(places, outputs, strict=True))
        for place, claim in enumerate(claims):
            committed = claim.output.output
            if computed[place] != committed:
                report = await self._worker.explain(claim.output.model_id, claim.window, committed)
                return Difference(
                    height=claim.height,
                    model_id=claim.output.model_id,
                    input_digest=claim.output.input_digest,
                    report=report,
                )
            self._predictions += 1
        return None

    async def _load(self, model_id: bytes) -> None:
        if self._worker.has_model(model_id):
            return
        raw = self._state.get(state_key("models", "packages", model_id))
        entry = None if raw is None else decode_value(raw)
        identity = entry.get("blob") if isinstance(entry, dict) else None
        if not isinstance(identity, bytes):
            raise Corrupt(Code.NOT_FOUND, f"no blob is registered for {model_id.hex()[:16]}")
        blob = await self._source.blob(identity)
        await self._worker.load(blob, lambda: blob)


@asynccontextmanager
async def local_worker(backend: str, fault: str = "none") -> AsyncIterator[Supervisor]:
    """Run a worker process of our own while the block lasts.

    Raises:
        Unavailable: WORKER_DOWN if it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="andon-audit-") as folder:
        settings = WorkerSettings(
            home=Path(folder), checkout=CHECKOUT, backend=backend, fault=fault
        )
        worker = Supervisor(settings, random.Random(0))  # noqa: S311 - spreads retries only
        async with asyncio.TaskGroup() as group:
            running = group.create_task(worker.run())
            try:
                await _up(worker)
                yield worker
            finally:
                running.cancel()


async def _up(worker: Supervisor) -> None:
    try:
        async with asyncio.timeout(START_S):
            while worker.state != READY:  # noqa: ASYNC110 - the supervisor polls, too
                await asyncio.sleep(START_POLL_S)
    except TimeoutError:
        raise Unavailable(
            Code.WORKER_DOWN, f"the local backend is {worker.state}: {worker.detail}"
        ) from None


async def audit(
    genesis: Genesis,
    source: Source,
    bounds: Range,
    *,
    backend: str,
    progress: Callable[[int], None],
    fault: str = "none",
) -> Result:
    """Audit a range with a worker of our own. Raises as `Auditor.run` and `local_worker`."""
    async with local_worker(backend, fault) as worker:
        return await Auditor(genesis, source, worker).run(bounds, progress)
