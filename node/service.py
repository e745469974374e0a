"""The node as its RPC faces see it: implements `NodeFacade` over the parts that app.py joins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

import andon
from andon.core.block import Header
from andon.core.certificate import Certificate, ValidatorSet, Vote
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis, genesis_hash
from andon.core.hashing import ZERO_DIGEST
from andon.core.proof import FinalHeader
from andon.core.transaction import Call, parse_transaction
from node.client_blobs import ClientBlobs
from node.drivers.block_tree import Committed
from node.drivers.execution import ExecutionDriver
from node.drivers.past_views import PastViews
from node.drivers.sync import SyncDriver
from node.facade import (
    BlockAnswer,
    CallAnswer,
    Change,
    Cursor,
    EventAnswer,
    Health,
    NodeStatus,
    PeerStatus,
    PredictionAnswer,
    StateAnswer,
    SubmitResult,
    Submitted,
    TransactionAnswer,
    Wait,
)
from node.finality import FinalityTracker
from node.gas_budget import paid
from node.gossip import Gossip
from node.mempool import Admitted, Mempool
from node.mismatch import MismatchLog
from node.net.network import Network
from node.net.peers import PeerTable
from node.queries import AFTER_BLOCK, Queries
from node.workers.supervisor import Supervisor

WAIT_MS_MAX = 120_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service draws on. `slot` and `gathered` read consensus, the rest its own part."""

    genesis: Genesis
    node_key: bytes
    validator_key: bytes | None
    execution: ExecutionDriver
    queries: Queries
    past: PastViews
    mempool: Mempool
    gossip: Gossip
    finality: FinalityTracker
    blobs: ClientBlobs
    worker: Supervisor
    network: Network
    table: PeerTable
    sync: SyncDriver
    mismatches: MismatchLog
    slot: Callable[[], int]
    gathered: Callable[[Vote], Certificate | None]


class NodeService:
    """One node's answers."""

    def __init__(
        self,
        parts: Parts,
        metrics_text: Callable[[NodeStatus], bytes],
        health: Callable[[str, NodeStatus], Health],
    ) -> None:
        self._parts = parts
        self._metrics_text = metrics_text
        self._health = health
        self._genesis_hash = genesis_hash(parts.genesis)
        self._grown = asyncio.Event()
        parts.execution.subscribe(self._on_commit)

    def _on_commit(self, header: Header, committed: Committed) -> None:
        self._parts.finality.committed(committed.receipts, header.height)
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    @property
    def genesis(self) -> Genesis:
        """The document this network started from."""
        return self._parts.genesis

    # -- transactions ---------------------------------------------------------------------

    async def submit(self, raw: bytes, wait: Wait, timeout_ms: int) -> Submitted:
        """Admit a transaction, spread it, wait as told. `none` waits for admission, not more."""
        (found,) = await self.submit_all((raw,), wait)
        if not isinstance(found, Submitted):
            raise found
        if wait is not Wait.FINAL or found.receipt is not None:
            return found
        # No await stands between admission and this: the commit cannot slip through.
        limit_ms, identity = max(1, min(timeout_ms, WAIT_MS_MAX)), found.transaction_id
        receipt, height, index = await self._parts.finality.wait(identity, limit_ms)
        return Submitted(
            transaction_id=identity, stage=wait, receipt=receipt, height=height, index=index
        )

    async def submit_all(
        self, raws: Sequence[bytes], stage: Wait = Wait.ACCEPTED
    ) -> list[SubmitResult]:
        """Admit transactions and spread them; for each what came of it, in order."""
        admitted = await self._parts.mempool.admit_all(raws)
        # All are spread before anything is read: a read that fails, or takes long, holds up none.
        for raw, result in zip(raws, admitted, strict=True):
            if isinstance(result, Admitted) and result.is_new:
                self._parts.finality.admitted(result.id)
                self._parts.gossip.spread(raw)
        found: list[SubmitResult] = []
        for raw, result in zip(raws, admitted, strict=True):
            if isinstance(result, Admitted):
                found.append(Submitted(transaction_id=result.id, stage=stage))
            elif result.code is Code.DUPLICATE:
                found.append(await self._submitted_before(parse_transaction(raw).id))
            else:
                found.append(result)
        return found

    async def _submitted_before(self, identity: bytes) -> SubmitResult:
        try:
            found = await self._parts.queries.transaction(identity)
        except Unavailable as error:
            return error
        if found is None or found.block is None or found.index is None:
            return InvalidInput(Code.DUPLICATE, "this transaction was seen before")
        return Submitted(
            transaction_id=identity,
            stage=Wait.FINAL,
            receipt=found.block.receipts[found.index],
            height=found.block.final.block.header.height,
            index=found.index,
        )

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        """Run a read-only call on the last final state, or on that after block `height`."""
        call, caller = Call(contract=contract, method=method, args=args), sender or ZERO_DIGEST

        async def run() -> CallAnswer:
            at, outcome = await self._parts.past.view(height, call, caller)
            return CallAnswer(
                ok=outcome.ok,
                result=outcome.result,
                gas_used=outcome.gas_used,
                failure=outcome.failure,
                height=at,
            )

        return await paid(run)

    async def transaction(self, identity: bytes) -> TransactionAnswer:
        """Find a transaction, final or waiting."""
        found = await self._parts.queries.transaction(identity)
        if found is not None:
            return found
        waiting = self._parts.mempool.get(identity)
        if waiting is None:
            raise InvalidInput(
                Code.NOT_FOUND,
                f"transaction {identity.hex()[:16]} is neither final nor waiting here",
                hint="it may have expired; submit it again under a new expiry height",
            )
        return TransactionAnswer(transaction_id=identity, raw=waiting.raw, block=None, index=None)

    async def changes(self, identity: bytes) -> tuple[Change, ...]:
        """What a final transaction changed in the state."""
        return await self._parts.queries.changes(identity)

    # -- the chain ------------------------------------------------------------------------

    async def block(self, reference: int | bytes | None) -> BlockAnswer:
        """Find a final block."""
        return await self._parts.queries.block(reference)

    async def epoch_closings(self) -> tuple[FinalHeader, ...]:
        """Headers of final blocks that closed an epoch."""
        return await self._parts.queries.epoch_closings()

    async def state(self, key: bytes) -> StateAnswer:
        """Read one state key with its proof."""
        return await self._parts.queries.state(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read state entries under a prefix."""
        return await self._parts.queries.entries(prefix, after, count_max)

    async def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights of blocks that did something, newest first."""
        return await self._parts.queries.busy_heights(below, count_max)

    async def prediction(self, identity: bytes) -> PredictionAnswer:
        """Find a committed prediction."""
        return await self._parts.queries.prediction(identity)

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """The validators of an epoch."""
        return self._parts.execution.validators(epoch)

    def gathered(self, vote: Vote) -> Certificate | None:
        """All signatures this node holds on a recent vote."""
        return self._parts.gathered(vote)

    async def events(self, after: Cursor | None) -> AsyncGenerator[EventAnswer, None]:
        """Stream events after a cursor, without gaps, for ever."""
        head = self._parts.execution.head
        cursor = Cursor(head().height, AFTER_BLOCK, 0) if after is None else after
        while True:
            grown = self._grown  # taken before the look, so that no commit is missed
            page, cursor = await self._parts.queries.events(cursor)
            for answer in page:
                yield answer
            if not page and cursor.height >= head().height:
                await grown.wait()

    # -- blobs ----------------------------------------------------------------------------

    async def publish_blob(self, blob: bytes) -> bytes:
        """Store a blob for peers to fetch, within the quota of users."""
        return await self._parts.blobs.publish(blob)

    async def blob(self, digest: bytes) -> bytes:
        """Read a stored blob."""
        return await self._parts.blobs.get(digest)

    async def append_blob(self, digest: bytes, offset: int, part: bytes) -> int:
        """Append a part of a large blob, within the quota of users."""
        return await self._parts.blobs.append(digest, offset, part)

    async def complete_blob(self, digest: bytes) -> int:
        """Keep what was appended if it is the blob."""
        return await self._parts.blobs.complete(digest)

    async def blob_size(self, digest: bytes) -> int:
        """How many bytes of a blob are here, whole or not yet."""
        return await self._parts.blobs.size(digest)

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """Part of a stored blob."""
        return await self._parts.blobs.piece(digest, offset, size)

    # -- the node -------------------------------------------------------------------------

    def status(self) -> NodeStatus:
        """Where the node stands."""
        parts = self._parts
        header = parts.execution.head()
        return NodeStatus(
            version=andon.__version__,
            chain_id=parts.genesis.chain_id,
            genesis_hash=self._genesis_hash,
            node_key=parts.node_key,
            validator_key=parts.validator_key,
            height=header.height,
            block_hash=parts.execution.head_hash(),
            state_root=header.state_root,
            time_ms=header.time_ms,
            epoch=parts.execution.epoch(),
            slot=parts.slot(),
            is_syncing=parts.sync.is_syncing,
            mempool_count=len(parts.mempool),
            mempool_bytes=parts.mempool.size_bytes,
            worker_state=parts.worker.state,
            worker_detail=parts.worker.detail,
            models_loaded=parts.worker.models_loaded,
            mismatch=parts.mismatches.last,
            peers=tuple(
                PeerStatus(
                    validator_key=peer.validator_key,
                    node_key=peer.node_key,
                    organisation=peer.organisation,
                    address=peer.address,
                    weight=peer.weight,
                    connected=parts.network.is_linked(peer.node_key),
                    height=parts.sync.claimed(peer.node_key),
                )
                for peer in parts.table.all()
                if not peer.is_observer
            ),
        )

    def metrics_text(self) -> bytes:
        """Prometheus exposition."""
        return self._metrics_text(self.status())

    def health(self, probe: str) -> Health:
        """Answer `live`, `ready` or `startup`."""
        return self._health(probe, self.status())
