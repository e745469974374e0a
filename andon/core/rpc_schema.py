"""The RPC faces as types: parameters and results of every method, shared by node and client.

JSON has no 64-bit integers and no bytes, so heights, times and gas are decimal strings (`Uint`)
and bytes are 0x hex (`Hex`). Open values (arguments, results, event fields) are `Json` as
`andon.core.json_value` writes them, carried as raw JSON. Codes of errors: `andon.core.errors`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Hex = Annotated[str, msgspec.Meta(pattern="^0x([0-9a-f]{2})*$", description="bytes as 0x hex")]
Uint = Annotated[
    str, msgspec.Meta(pattern="^(0|[1-9][0-9]{0,19})$", description="integer as decimal text")
]
Height = int | Uint

EVENTS_LIMIT_MAX = 500
BLOCKS_LIMIT_MAX = 100
ENTRIES_LIMIT_MAX = 500
WAIT_TIMEOUT_MS_MAX = 60_000
WAIT_TIMEOUT_MS = 15_000


class Schema(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, frozen=True):
    """Base of parameters: unknown names are refused, so that a typing error is seen."""


class Reply(msgspec.Struct, kw_only=True, frozen=True):
    """Base of results: a newer node may add fields."""


class Empty(Schema, frozen=True):
    """No parameters."""


class SubmitParams(Schema, frozen=True):
    """Submit a signed transaction; the same bytes again give the same answer."""

    raw: Hex
    wait: Literal["none", "accepted", "final"] = "accepted"
    timeout_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_TIMEOUT_MS_MAX)] = WAIT_TIMEOUT_MS


class CallParams(Schema, frozen=True):
    """Run a view, or rehearse `contracts.upgrade`, as `sender` after `height` or the last block."""

    contract: str
    method: str
    args: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sender: Hex | None = None
    height: Height | None = None


class TransactionParams(Schema, frozen=True):
    """Name a transaction; `proof` adds bundles for its receipt and its bytes."""

    hash: Hex
    proof: bool = False


class BlockParams(Schema, frozen=True):
    """Name a block by height or by hash; neither means the last final one."""

    height: Height | None = None
    hash: Hex | None = None
    raw: bool = False


class BlocksParams(Schema, frozen=True):
    """List final blocks, newest first, below the height `before` (none: from the last)."""

    before: Height | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=BLOCKS_LIMIT_MAX)] = 20


class EntriesParams(Schema, frozen=True):
    """List the entries of a map, ascending by key, above `cursor` (the node's word, no proof)."""

    contract: str
    variable: str
    cursor: Hex = "0x"
    limit: Annotated[int, msgspec.Meta(ge=1, le=ENTRIES_LIMIT_MAX)] = 100


class StateParams(Schema, frozen=True):
    """Name a variable of a contract, and for a map its key (an open value); or a raw key."""

    contract: str = ""
    variable: str = ""
    key: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    raw_key: Hex | None = None


class PredictionParams(Schema, frozen=True):
    """Name a committed prediction."""

    id: Hex
    proof: bool = True


class EventsParams(Schema, frozen=True):
    """Read events after `cursor` (empty: from now on), waiting `wait_ms` for the first."""

    cursor: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=EVENTS_LIMIT_MAX)] = 100
    wait_ms: Annotated[int, msgspec.Meta(ge=0, le=WAIT_TIMEOUT_MS_MAX)] = 0
    contract: str = ""
    name: str = ""


class BlobParams(Schema, frozen=True):
    """Store a blob for the peers to fetch."""

    blob: Hex


class DigestParams(Schema, frozen=True):
    """Name a blob."""

    digest: Hex


class FailureReply(Reply, frozen=True):
    """Why a call failed: stable code, place in the contract, the contract's own message."""

    code: str
    contract: str
    method: str
    line: int
    message: str


class EventReply(Reply, frozen=True):
    """One event of a contract; `cursor` resumes a stream after it."""

    cursor: str
    height: Uint
    tx_hash: Hex
    contract: str
    name: str
    fields: msgspec.Raw


class ReceiptReply(Reply, frozen=True):
    """Outcome of a transaction; `results` has one open value a call."""

    tx_hash: Hex
    ok: bool
    gas_used: Uint
    results: list[msgspec.Raw]
    failure: FailureReply | None
    events: list[EventReply]


class SubmitReply(Reply, frozen=True):
    """The hash always; receipt and height once final."""

    hash: Hex
    state: Literal["none", "accepted", "final"]
    height: Uint | None
    receipt: ReceiptReply | None


class CallReply(Reply, frozen=True):
    """Outcome of a read-only call."""

    ok: bool
    result: msgspec.Raw
    gas_used: Uint
    failure: FailureReply | None
    height: Uint


class CallEntry(Reply, frozen=True):
    """One call inside a transaction, decoded."""

    contract: str
    method: str
    args: msgspec.Raw


class PredictionReply(Reply, frozen=True):
    """A committed prediction; `votes` signed its block and recomputed `output`.

    Votes are those of the Final certificate and, with `proof` (a `ProofBundle`), late ones too.
    """

    id: Hex
    tx_hash: Hex
    contract: str
    model_id: Hex
    input_digest: Hex
    output: list[int]
    kind: str
    height: Uint
    time_ms: Uint
    index: int
    votes: list[Hex]
    validators: int
    proof: Hex | None


class TransactionReply(Reply, frozen=True):
    """A transaction, pending or final."""

    hash: Hex
    state: Literal["pending", "final"]
    sender: Hex
    expires_height: Uint
    gas_limit: Uint
    calls: list[CallEntry]
    height: Uint | None
    index: int | None
    time_ms: Uint | None
    receipt: ReceiptReply | None
    predictions: list[PredictionReply]
    raw: Hex
    receipt_proof: Hex | None
    transaction_proof: Hex | None


class HeaderReply(Reply, frozen=True):
    """A header; its hash is the block's."""

    version: int
    chain_id: str
    epoch: Uint
    slot: Uint
    height: Uint
    time_ms: Uint
    parent: Hex
    proposer: Hex
    justification_digest: Hex
    transactions_root: Hex
    predictions_root: Hex
    receipts_root: Hex
    state_root: Hex
    validators_hash: Hex
    next_validators_hash: Hex
    gas_used: Uint


class BlockReply(Reply, frozen=True):
    """A final block, `raw` on demand; the `tx_hash` of a scheduled run names no transaction."""

    hash: Hex
    header: HeaderReply
    transactions: list[Hex]
    scheduled: list[ReceiptReply]
    predictions: list[Hex]
    signers: list[Hex]
    certified_height: Uint
    size_bytes: int
    raw: Hex | None


class BlocksReply(Reply, frozen=True):
    """Blocks, newest first; go on with `before`, which is null at the end."""

    blocks: list[BlockReply]
    before: Uint | None


class EntryReply(Reply, frozen=True):
    """One entry of a map: its key and value as open values."""

    key: msgspec.Raw
    value: msgspec.Raw


class EntriesReply(Reply, frozen=True):
    """Entries in order; go on with `cursor`, which is null at the end."""

    entries: list[EntryReply]
    cursor: Hex | None


class StateReply(Reply, frozen=True):
    """A state value (null with `present` false if absent) and the bundle that proves it."""

    key: Hex
    present: bool
    value: msgspec.Raw
    height: Uint
    proof: Hex


class ValidatorReply(Reply, frozen=True):
    """One validator of the current epoch."""

    key: Hex
    weight: Uint


class ValidatorsReply(Reply, frozen=True):
    """The current epoch's validators and what they need to agree."""

    epoch: Uint
    validators: list[ValidatorReply]
    total_weight: Uint
    quorum: Uint


class EventsReply(Reply, frozen=True):
    """Events in order; go on with `cursor`."""

    events: list[EventReply]
    cursor: str


class BlobReply(Reply, frozen=True):
    """A stored blob; `blob` only when it was asked for."""

    digest: Hex
    size_bytes: int
    blob: Hex | None


class PeerReply(Reply, frozen=True):
    """One registered validator as this node sees it."""

    validator_key: Hex
    node_key: Hex
    organisation: str
    address: str
    weight: Uint
    connected: bool
    height: Uint


class MismatchReply(Reply, frozen=True):
    """The last prediction on which this node's worker and a proposer disagreed."""

    model_id: Hex
    input_digest: Hex
    element: int
    expected: int
    computed: int
    height: Uint
    count: int


class StatusReply(Reply, frozen=True):
    """Where the node stands."""

    version: str
    chain_id: str
    genesis_hash: Hex
    node_key: Hex
    validator_key: Hex | None
    height: Uint
    block_hash: Hex
    state_root: Hex
    time_ms: Uint
    epoch: Uint
    slot: Uint
    is_syncing: bool
    is_ready: bool
    not_ready: list[str]
    mempool_count: int
    mempool_bytes: int
    worker_state: str
    worker_detail: str
    models_loaded: int
    mismatch: MismatchReply | None
    peers: list[PeerReply]


class GenesisReply(Reply, frozen=True):
    """The genesis document as operators exchange it."""

    genesis_hash: Hex
    document: msgspec.Raw


class CheckReply(Reply, frozen=True):
    """One criterion of a health probe."""

    name: str
    ok: bool
    detail: str


class HealthReply(Reply, frozen=True):
    """Verdict of a probe."""

    ok: bool
    checks: list[CheckReply]


class ErrorReply(Reply, frozen=True):
    """A typed error: stable code and name, whose fault, what to do."""

    code: int
    name: str
    message: str
    data: msgspec.Raw
