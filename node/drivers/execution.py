"""The ledger as the node uses it: build, validate, commit, over one execution thread.

Threads: the execution thread owns every overlay and the block tree; the storage thread is the
one writer of the chain; signatures have a pool of their own. A block is executed once, when it is
built or when it is validated; the result waits in the block tree until it is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from andon.core.block import Block, Header, Justification, block_hash
from andon.core.certificate import Certificate, ValidatorSet
from andon.core.errors import AndonError, Code, InvalidInput, Misuse, Unavailable
from andon.core.genesis import Genesis, Params
from andon.core.transaction import Transaction
from andon.core.wire import Effects, FinalBlock
from consensus.ledger import (
    Engine,
    Executed,
    GenesisState,
    PredictionUnavailable,
    Turn,
    genesis_state,
)
from node.drivers.admission import Admission
from node.drivers.adopting import adopt_or_execute
from node.drivers.base_state import BaseState, stored_head
from node.drivers.block_tree import BlockTree, Committed, KnownBlock, stored_blocks
from node.drivers.building import LATE_SHARE_MIN, build_in_time, late_of
from node.drivers.dry_run import DryRunner
from node.drivers.horizon import Horizon
from node.drivers.predictions import PredictionService, Question
from node.drivers.queries import ChainQueries
from node.drivers.transaction_pool import TransactionPool, drop_hopeless
from node.lane import Lane
from node.mempool import Verifier
from node.phases import COMMIT, PROPOSAL, RECOMPUTE, SIGNATURES, VOTES, Lap, Observe, unobserved
from node.storage import ChainStore

PREDICTION_WAIT_MS = 500
"""How long a leader lets its worker compute for transactions that it would leave out."""
WAITED_TRANSACTIONS_MAX = 512
HURRY_MS = 20
"""How long a leader lets its worker finish what is prefetched before it takes transactions."""

T = TypeVar("T")


class ExecutionDriver:
    """One node's chain. `attach` a pool, keep `run` running, `close` at the end."""

    def __init__(
        self,
        *,
        genesis: Genesis,
        engine: Engine,
        store: ChainStore,
        predictions: PredictionService,
        verifier: Verifier,
        observe: Observe = unobserved,
        horizon: Horizon | None = None,
    ) -> None:
        """Open the chain in `store`, from genesis if it is empty (blocking, some 10 ms).

        Raises:
            InvalidInput: BAD_GENESIS. Corrupt: STORAGE_DAMAGED.
        """
        self._engine = engine
        self._store = store
        self._predictions = predictions
        self._verifier = verifier
        self._observe = observe
        self.horizon = horizon or Horizon()
        self.genesis_document = genesis
        self.genesis: GenesisState = genesis_state(genesis, engine)
        if store.is_empty():
            store.initialise(self.genesis)
        store.check(block_hash(self.genesis.header))
        self.queries = ChainQueries(store)
        self._base = BaseState(store)
        self._tree = BlockTree(self._base, stored_head(store, self._base))
        self._dry_runner = DryRunner(engine, predictions.cache)
        self.admission = Admission(
            store,
            final=lambda: self._tree.final,
            guess=self._dry_runner.guess,
            dry_run=self._dry_run,
            prefetch=predictions.prefetch,
        )
        self._pool: TransactionPool | None = None
        self._listeners: list[Callable[[Header, Committed], None]] = []
        self._execution = Lane("execution")
        self._storage = Lane("storage")
        self._validating = asyncio.Lock()

    def attach(self, pool: TransactionPool) -> None:
        """Say where transactions for own blocks come from."""
        self._pool = pool

    async def run(self) -> None:
        """Serve prefetch and predictions until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._predictions.run())
            group.create_task(self.admission.run())

    def close(self) -> None:
        """Stop the threads and close what is open, the store excepted."""
        self._storage.close()
        self._execution.close()
        self.admission.close()
        self._base.close()

    # -- where the chain stands -----------------------------------------------------------

    def head(self) -> Header:
        """Header of the last final block."""
        return self._tree.final.header

    def head_hash(self) -> bytes:
        """Hash of the last final block."""
        return self._tree.final.hash

    def epoch(self) -> int:
        """Epoch of the next block."""
        return self._tree.final.child_epoch

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Give the set of an epoch; None is that of the next block.

        Raises:
            InvalidInput: WRONG_EPOCH if it has not begun.
        """
        final = self._tree.final
        if epoch is None or epoch == final.child_epoch:
            return final.validators
        return self.queries.validators(epoch)

    def params(self) -> Params:
        """Parameters for the next block."""
        return self._tree.final.params

    def known(self, identity: bytes) -> bool:
        """Tell whether the block is final, or executed and checked."""
        known = self._tree.get(identity)
        if known is not None:
            return known.is_checked
        return identity == self.head_hash() or self.queries.height_of(identity) is not None

    def block(self, identity: bytes) -> Block | None:
        """Give a block that is executed here or final."""
        known = self._tree.get(identity)
        if known is not None:
            return known.block
        height = self.queries.height_of(identity)
        if height is None:
            return None
        return self._store.read_block(height)

    def final_block(self, height: int) -> FinalBlock | None:
        """Give a final block with its certificate."""
        return self.queries.final_block(height)

    def subscribe(self, listener: Callable[[Header, Committed], None]) -> None:
        """Call `listener` on the loop after every commit, in order of height."""
        self._listeners.append(listener)

    async def wait_transactions(self, parent: bytes, timeout_ms: int) -> bool:
        """Wait until a transaction is there that `parent` and its ancestors do not hold."""
        held = self._tree.transaction_ids(parent)
        return await self._attached_pool().wait_nonempty(timeout_ms, held)

    # -- blocks ---------------------------------------------------------------------------

    async def build(
        self, parent: bytes, epoch: int, slot: int, justification: Justification, time_ms: int
    ) -> Block:
        """Make, execute and remember a block on `parent` out of waiting transactions.

        Raises:
            Unavailable: NOT_FOUND if the parent is not known here. Misuse: a wrong epoch.
        """
        lap = Lap(self._observe)
        turn = Turn(slot=slot, justification=justification, time_ms=time_ms)
        above = self._tree.parent(parent)
        if above.child_epoch != epoch:
            raise Misuse(Code.WRONG_EPOCH, f"the epoch after this parent is {above.child_epoch}")
        self.horizon.check(above)
        await self._predictions.hurry(HURRY_MS / 1000)
        candidates = self._attached_pool().take(
            above.params.block_bytes_max,
            above.params.transaction_gas_max,
            above.params.block_transactions_max,
            self._tree.transaction_ids(parent),
        )
        block, executed, left_out = await self._execute(
            lambda: self._build(parent, turn, candidates, lap)
        )
        late = late_of(candidates, left_out)
        if late and len(late) * LATE_SHARE_MIN >= len(candidates):
            if await self._compute_for(late[:WAITED_TRANSACTIONS_MAX]):
                block, executed, left_out = await self._execute(
                    lambda: self._build(parent, turn, candidates, lap)
                )
        elif late:
            self.admission.find_out(late[:WAITED_TRANSACTIONS_MAX])
        drop_hopeless(self._attached_pool(), left_out, is_empty=not block.transactions)
        known = KnownBlock(block=block, executed=executed, is_checked=True)
        await self._execute(lambda: self._tree.add(known))
        lap(PROPOSAL)
        known.votes = lap
        return block

    async def validate(self, block: Block, *, is_certified: bool = False) -> None:
        """Check, execute and recompute a block; does nothing for one that is known.

        With `is_certified` the caller holds a Final certificate over the block, and the outputs
        that a quorum recomputed are taken as they are: this is how a node without a worker, or
        with one that is still warming up, follows the chain. Never vote after that.

        Raises:
            InvalidInput: the rule that is broken; PREDICTION_MISMATCH with fields model_id,
                input_digest, element, expected, computed, height. The verdict is about these
                bytes: another body may belong to the same header.
            Unavailable: the parent is unknown, or the worker is down.
        """
        identity = block_hash(block.header)
        async with self._validating:
            if self.known(identity):
                return
            lap = Lap(self._observe)
            verified = await self._verifier.verify_block(block.transactions)
            lap(SIGNATURES)
            executed = await self._execute(lambda: self._validate(block, verified, None, lap))
            if not is_certified:
                # If this raises, the block stays unchecked, and nothing can stand on it.
                await self._recompute(block, executed)
                lap(RECOMPUTE)
            known = self._tree.get(identity)
            if known is not None:
                known.is_checked = True
                known.votes = lap

    async def adopt(
        self, blocks: Sequence[tuple[Block, Effects | None]]
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        """Take over blocks in a row, of all of which the caller holds a Final certificate.

        Signatures are taken as they are, and so is what a block did if its effects say it; else it
        is executed (S2, S4). Never vote after that. One job for all: a step to the thread and back
        costs as much as a small block. Returns how many were good, and why the next one was not.
        """
        async with self._validating:
            return await self._execute(lambda: self._adopt(blocks))

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make a block and its ancestors final and durable; returns the last final header.

        Committing again does nothing. Certificates of ancestors may be given to be kept, too.

        Raises:
            Unavailable: NOT_FOUND if the branch is not executed here.
            Corrupt: the disk failed; the process must end.
        """
        flushed = self._storage.run(lambda: self._flush(identity, certificates))
        # A caller that is cancelled must not leave a stored block unannounced.
        flushed.add_done_callback(self._announce_all)
        await asyncio.shield(flushed)
        return self.head()

    async def on_storage(self, job: Callable[[], T]) -> T:
        """Run a job on the thread of the one writer of the chain."""
        return await self._storage.run(job)

    async def replace(self, install: Callable[[], None]) -> None:
        """Stand on what `install` puts into the store; nothing is committed meanwhile."""

        def restart() -> None:
            self._base.restart()
            self._tree.restart(stored_head(self._store, self._base))

        def work() -> None:
            install()
            self._execution.call(restart)

        await self.on_storage(work)
        self.admission.refresh()

    # -- helpers --------------------------------------------------------------------------

    def _attached_pool(self) -> TransactionPool:
        if self._pool is None:
            raise Misuse(Code.NOT_READY, "attach a pool first")
        return self._pool

    async def _execute(self, job: Callable[[], T]) -> T:
        return await self._execution.run(job)

    def _build(
        self, parent: bytes, turn: Turn, candidates: Sequence[Transaction], lap: Lap
    ) -> tuple[Block, Executed, dict[bytes, InvalidInput | PredictionUnavailable]]:
        lap(PROPOSAL)
        above, outputs = self._tree.parent(parent), self._predictions.cache
        return build_in_time(above, turn, candidates, self._engine, outputs, lap=lap)

    def _validate(
        self,
        block: Block,
        verified: Sequence[Transaction] | None,
        effects: Effects | None,
        lap: Lap,
    ) -> Executed:
        find = self._tree.parent if effects is None else self._tree.flat_parent
        parent = find(block.header.parent)
        self.horizon.check(parent)
        executed = adopt_or_execute(parent, block, self._engine, verified, effects, lap)
        self._tree.add(KnownBlock(block=block, executed=executed, is_checked=False))
        return executed

    def _adopt(
        self, blocks: Sequence[tuple[Block, Effects | None]]
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        for count, (block, effects) in enumerate(blocks):
            identity, lap = block_hash(block.header), Lap(self._observe)
            try:
                if not self.known(identity):
                    self._validate(block, None, effects, lap)
            except (InvalidInput, Unavailable) as error:
                return count, error
            known = self._tree.get(identity)
            if known is not None and not known.is_checked:
                known.is_checked, known.votes = True, lap
        return len(blocks), None

    def _flush(self, identity: bytes, certificates: tuple[Certificate, ...]) -> list[KnownBlock]:
        """Store a branch and make it the root; on the storage thread, so one at a time."""
        if self.queries.height_of(identity) is not None:
            return []
        blocks = self._tree.branch(identity)
        for known in blocks:
            if known.votes is not None:
                known.votes(VOTES)
        lap = Lap(self._observe)
        self._store.append(stored_blocks(blocks, certificates))
        self._execution.call(lambda: self._tree.finalise(blocks))
        lap(COMMIT)
        return blocks

    async def _recompute(self, block: Block, executed: Executed) -> None:
        """Compare every claimed output with our own worker's."""
        if not self._predictions.can_predict:
            return
        await self._predictions.check(
            block.header.height, executed.prediction_outputs, executed.prediction_inputs
        )

    async def _compute_for(self, transactions: Sequence[Transaction]) -> bool:
        """Have the outputs computed that these transactions lack; False if it takes too long."""
        try:
            async with asyncio.timeout(PREDICTION_WAIT_MS / 1000):
                left: Sequence[Transaction] = transactions
                while left:
                    questions, left = await self._dry_run(left)
                    await self._predictions.fetch(questions)
        except (TimeoutError, AndonError):
            return False
        return True

    async def _dry_run(
        self, transactions: Sequence[Transaction]
    ) -> tuple[list[Question], Sequence[Transaction]]:
        return await self._execute(lambda: self._dry_runner.run(self._tree.final, transactions))

    def _announce_all(self, flushed: asyncio.Future[list[KnownBlock]]) -> None:
        if self.admission.is_closed or flushed.cancelled() or flushed.exception() is not None:
            return
        self.admission.refresh()
        for known in flushed.result():
            self._announce(known)

    def _announce(self, known: KnownBlock) -> None:
        executed, header = known.executed, known.block.header
        ids = [receipt.transaction_id for receipt in executed.receipts]
        if self._pool is not None:
            self._pool.on_commit(ids, header.height)
        self._predictions.cache.age(header.height)
        predicting = {record.transaction_id for record in executed.predictions}
        self._dry_runner.learn_from_block(
            self._verifier.known(raw)
            for raw, identity in zip(known.block.transactions, ids, strict=False)
            if identity in predicting
        )
        committed = known.committed()
        for listener in self._listeners:
            listener(header, committed)
