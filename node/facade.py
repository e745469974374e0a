"""What the RPC faces may ask of a node: one Protocol and the answers it gives.

`node/app.py` implements it; `node/rpc` and its tests consume it. Answers hold core records, so
that every face renders the same facts. Errors are `andon.core.errors`: InvalidInput for the
caller's fault, Unavailable for "not now".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from andon.core.block import Event, Failure, PredictionRecord, Receipt
from andon.core.certificate import Certificate, ValidatorSet, Vote
from andon.core.errors import InvalidInput, Unavailable
from andon.core.genesis import Genesis
from andon.core.proof import FinalHeader
from andon.core.state_proof import StateProof
from andon.core.wire import FinalBlock


class Wait(Enum):
    """What `submit` waits for before it answers."""

    NONE = "none"
    ACCEPTED = "accepted"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The hash always; `receipt`, `height` and `index` (place in the block) only once final."""

    transaction_id: bytes
    stage: Wait
    receipt: Receipt | None = None
    height: int | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswer:
    """Outcome of a read-only call at `height`; `result` is an encoded value."""

    ok: bool
    result: bytes
    gas_used: int
    failure: Failure | None
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockAnswer:
    """A final block with all leaves of its receipts and predictions roots, in leaf order."""

    hash: bytes
    final: FinalBlock
    receipts: tuple[Receipt, ...]
    predictions: tuple[PredictionRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAnswer:
    """`block` and `index` (its place in the block) are None while the transaction is pending."""

    transaction_id: bytes
    raw: bytes
    block: BlockAnswer | None
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A state key that a transaction changed; None where there is no value."""

    key: bytes
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateAnswer:
    """The value of one state key (None if absent) with its path in the block's state root."""

    key: bytes
    value: bytes | None
    proof: StateProof
    final: FinalBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionAnswer:
    """A committed prediction; `index` is its leaf in the block's predictions root."""

    record: PredictionRecord
    index: int
    block: BlockAnswer


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """Place of an event: height, transaction in the block, event in the transaction."""

    height: int
    transaction: int
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAnswer:
    """One contract event with its durable cursor."""

    cursor: Cursor
    transaction_id: bytes
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """One registered validator as this node sees it."""

    validator_key: bytes
    node_key: bytes
    organisation: str
    address: str
    weight: int
    connected: bool
    height: int
    """Last height it claimed; a hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MismatchStatus:
    """The last prediction on which this node's worker and a proposer disagreed."""

    model_id: bytes
    input_digest: bytes
    element: int
    expected: int
    computed: int
    height: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """Where the node stands."""

    version: str
    chain_id: str
    genesis_hash: bytes
    node_key: bytes
    validator_key: bytes | None
    """None for a node that is not in the validator set."""
    height: int
    block_hash: bytes
    state_root: bytes
    time_ms: int
    epoch: int
    slot: int
    is_syncing: bool
    mempool_count: int
    mempool_bytes: int
    worker_state: str
    worker_detail: str
    models_loaded: int
    mismatch: MismatchStatus | None
    peers: tuple[PeerStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One criterion of readiness."""

    name: str
    is_ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Verdict of one probe: ok if every check is."""

    is_ok: bool
    checks: tuple[HealthCheck, ...]


SubmitResult = Submitted | InvalidInput | Unavailable
"""What came of one transaction of many: the last two are what `submit` raises."""


class NodeFacade(Protocol):
    """The node as its RPC server sees it. All coroutines run on the node's loop."""

    @property
    def genesis(self) -> Genesis:
        """The document this network started from."""

    async def submit(self, raw: bytes, wait: Wait, timeout_ms: int) -> Submitted:
        """Admit a transaction and wait as told; the same bytes again give the same answer.

        Raises:
            InvalidInput: any admission rule. Unavailable: CONFIRMATION_TIMEOUT with field
                `transaction_id`, MEMPOOL_FULL, SYNCING.
        """

    async def submit_all(self, raws: Sequence[bytes]) -> list[SubmitResult]:
        """Admit transactions with one wait for their signatures; for each, in order, a result."""

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        """Run a view (or rehearse an upgrade); nothing is kept.

        It runs on the state after block `height`, None for the last final one.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN if that state is not kept, with what is.
        """

    async def transaction(self, identity: bytes) -> TransactionAnswer:
        """Find a transaction. Raises InvalidInput NOT_FOUND."""

    async def changes(self, identity: bytes) -> tuple[Change, ...]:
        """What a final transaction changed in the state, by key.

        Raises:
            InvalidInput: NOT_FOUND; HEIGHT_UNKNOWN if the state before it is no longer kept;
                TOO_LARGE if its block is too costly to execute again.
        """

    async def block(self, reference: int | bytes | None) -> BlockAnswer:
        """Find a final block by height or hash; None is the last.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN or NOT_FOUND.
        """

    async def epoch_closings(self) -> tuple[FinalHeader, ...]:
        """Headers of final blocks that closed an epoch, ascending: what a light client needs."""

    async def state(self, key: bytes) -> StateAnswer:
        """Read one state key with its proof against the last final header."""

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read up to `count_max` state keys with `prefix` above `after`, ascending (no proof)."""

    async def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights below `below` of blocks with transactions or scheduled runs, newest first."""

    async def prediction(self, identity: bytes) -> PredictionAnswer:
        """Find a committed prediction. Raises InvalidInput NOT_FOUND."""

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """The validators of an epoch; None is the current one.

        Raises:
            InvalidInput: WRONG_EPOCH if the chain has not reached it.
        """

    def gathered(self, vote: Vote) -> Certificate | None:
        """All signatures this node holds on a recent vote, also those behind the quorum."""

    def events(self, after: Cursor | None) -> AsyncGenerator[EventAnswer, None]:
        """Stream events after a cursor (None: from now on), without gaps, for ever.

        Raises:
            Unavailable: CURSOR_EXPIRED if that history is pruned.
        """

    async def publish_blob(self, blob: bytes) -> bytes:
        """Store a content-addressed blob for peers to fetch; returns its digest."""

    async def blob(self, digest: bytes) -> bytes:
        """Read a stored blob. Raises InvalidInput NOT_FOUND."""

    async def append_blob(self, digest: bytes, offset: int, part: bytes) -> int:
        """Append a part of a large blob; returns how much of it is here.

        Raises:
            InvalidInput: BAD_ARGUMENTS at another offset, TOO_LARGE.
        """

    async def complete_blob(self, digest: bytes) -> int:
        """Keep what was appended if it is the blob; returns its size.

        Raises:
            InvalidInput: DIGEST_MISMATCH, NOT_FOUND.
        """

    async def blob_size(self, digest: bytes) -> int:
        """How many bytes of a blob are here, whole or not yet."""

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes]:
        """The total size of a stored blob, and part of it. Raises InvalidInput NOT_FOUND."""

    def status(self) -> NodeStatus:
        """Where the node stands."""

    def metrics_text(self) -> bytes:
        """Prometheus exposition."""

    def health(self, probe: str) -> Health:
        """Answer `live`, `ready` or `startup`."""
