"""Blocks: header, justification, transactions, prediction outputs; receipts and records.

State root, receipts root and predictions root stand in the same header as the transactions, so
one header with its Final certificate proves everything that the block did.
"""

from __future__ import annotations

from typing import NewType

from andon.core.certificate import Certificate
from andon.core.codec import Record, encode
from andon.core.hashing import Digest, Domain, digest

Height = NewType("Height", int)
"""Counts blocks from genesis (0)."""

Slot = NewType("Slot", int)
"""Counts leaders' turns inside an epoch, from 1; slot 0 is the epoch's starting block."""

Epoch = NewType("Epoch", int)
"""Counts validator sets; an epoch ends with the final block that changes the set."""

PROTOCOL_VERSION = 1
"""What a network speaks from its genesis on, until its members decide otherwise."""

PROTOCOLS = (1, 2)
"""What this release speaks. 2 has the rules of 1: with it an upgrade is rehearsed."""

PREDICTION_INDEX_BYTES = 4


class Header(Record, frozen=True):
    """The signed summary of a block; its hash is the block's id. `proposer` is a key."""

    version: int
    chain_id: str
    epoch: int
    slot: int
    height: int
    time_ms: int
    parent: bytes
    proposer: bytes
    justification_digest: bytes
    transactions_root: bytes
    predictions_root: bytes
    receipts_root: bytes
    state_root: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    gas_used: int

    @property
    def closes_epoch(self) -> bool:
        """True if the next block belongs to a new epoch with another validator set."""
        return self.validators_hash != self.next_validators_hash


class Justification(Record, frozen=True):
    """Why the block may stand where it does.

    `parent_certificate` is the parent's Notar certificate, or, for the first block of a later
    epoch, the Final certificate of the block that closed the previous one; None only on genesis.
    `skips` holds one Skip certificate for every slot between the parent's and this block's.
    """

    parent_certificate: Certificate | None
    skips: tuple[Certificate, ...]


class PredictionOutput(Record, frozen=True, gc=False):
    """The proposer's claim, recomputed by every validator before it votes."""

    model_id: bytes
    input_digest: bytes
    output: tuple[int, ...]


class Block(Record, frozen=True):
    """A whole block; `transactions` are raw signed transactions in execution order."""

    header: Header
    justification: Justification
    transactions: tuple[bytes, ...]
    predictions: tuple[PredictionOutput, ...]


class Event(Record, frozen=True):
    """A structured event of a contract; `fields` is an encoded map."""

    contract: str
    name: str
    fields: bytes


class Failure(Record, frozen=True):
    """Why a transaction failed: stable code, place in the contract, the contract's own message."""

    code: str
    contract: str
    method: str
    line: int
    message: str


class Receipt(Record, frozen=True):
    """Outcome of one transaction: leaf of the receipts root. `results` has one value a call."""

    transaction_id: bytes
    ok: bool
    gas_used: int
    results: tuple[bytes, ...]
    failure: Failure | None
    events: tuple[Event, ...]


class PredictionRecord(Record, frozen=True, gc=False):
    """A committed prediction: leaf of the predictions root."""

    id: bytes
    transaction_id: bytes
    contract: str
    model_id: bytes
    input_digest: bytes
    output: tuple[int, ...]
    kind: str
    height: int


def block_hash(header: Header) -> Digest:
    """Id of a block."""
    return digest(Domain.HEADER, encode(header))


def justification_digest(justification: Justification) -> Digest:
    """Digest that the header carries."""
    return digest(Domain.JUSTIFICATION, encode(justification))


def prediction_id(transaction_id: bytes, index: int) -> bytes:
    """Id of the `index`-th prediction of a transaction: its id and the index (36 bytes).

    Readable on purpose: whoever finds a transaction finds its predictions, without an index.
    """
    return transaction_id + index.to_bytes(PREDICTION_INDEX_BYTES, "big")


def prediction_ids(transaction_id: bytes, first: int, count: int) -> list[bytes]:
    """Ids of `count` predictions of a transaction, from its `first`-th on."""
    places = range(first, first + count)
    return [transaction_id + place.to_bytes(PREDICTION_INDEX_BYTES, "big") for place in places]
