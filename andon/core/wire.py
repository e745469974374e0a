"""Messages between peers: one tagged union, sent in batches over authenticated links.

A frame is the encoding of a `Frame`: up to `FRAME_MESSAGES_MAX` messages, at most
`FRAME_BYTES_MAX` bytes. Answers carry what was asked for and nothing else; heights that a peer
claims are hints, never facts.
"""

from __future__ import annotations

from typing import Union

from andon.core.block import Block, Header, Justification, PredictionOutput
from andon.core.certificate import Certificate, SignedVote
from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput

FRAME_BYTES_MAX = 8 * 1024 * 1024
FRAME_MESSAGES_MAX = 1024
TRANSACTIONS_WANTED_MAX = 4096


class Transactions(Record, frozen=True, tag=1):
    """Raw transactions: gossip, or the answer to `TransactionsWanted`."""

    raws: tuple[bytes, ...]


class TransactionsWanted(Record, frozen=True, tag=2):
    """Ids of transactions that a compact proposal named and the asker lacks."""

    ids: tuple[bytes, ...]


class Proposal(Record, frozen=True, tag=3):
    """A compact block: header, ids instead of transactions, the leader's PROPOSE vote.

    `justification` is the block's own, except when the block that closes an epoch is proposed
    again in a later slot: then it justifies that slot.
    """

    vote: SignedVote
    header: Header
    justification: Justification
    slot_justification: Justification | None
    transaction_ids: tuple[bytes, ...]
    predictions: tuple[PredictionOutput, ...]


class VoteMessage(Record, frozen=True, tag=4):
    """One signed vote."""

    vote: SignedVote


class CertificateMessage(Record, frozen=True, tag=5):
    """One certificate; every certificate first seen is forwarded (rule in docs/protocol.md)."""

    certificate: Certificate


class Status(Record, frozen=True, tag=6):
    """Where the sender stands: a hint for catch-up."""

    height: int
    epoch: int
    slot: int
    head: bytes


class BlockWanted(Record, frozen=True, tag=7):
    """Ask for an unfinalised block by hash (a certificate named it, its proposal never came)."""

    block: bytes


class BlockMessage(Record, frozen=True, tag=8):
    """A whole block, final or not; the receiver checks everything."""

    block: Block


Message = Union[
    Transactions,
    TransactionsWanted,
    Proposal,
    VoteMessage,
    CertificateMessage,
    Status,
    BlockWanted,
    BlockMessage,
]


class Frame(Record, frozen=True):
    """What travels in one WebSocket message."""

    messages: tuple[Message, ...]


class FinalBlock(Record, frozen=True):
    """A block with the Final certificate of itself or of a descendant.

    `path` holds the headers from the block's child up to the certified one, ascending; empty if
    the certificate names the block itself.
    """

    block: Block
    path: tuple[Header, ...]
    certificate: Certificate


class Writes(Record, frozen=True):
    """What a block changed in the state: keys, ascending, and their new values; None deletes."""

    keys: tuple[bytes, ...]
    values: tuple[bytes | None, ...]


class Effects(Record, frozen=True):
    """What a block did: the leaves of its receipts and predictions roots, and its writes."""

    receipts: tuple[bytes, ...]
    predictions: tuple[bytes, ...]
    writes: Writes


class AdoptableBlock(Record, frozen=True):
    """A final block with what it did: who holds it against the roots need not execute it."""

    final: FinalBlock
    effects: Effects


def encode_frame(messages: tuple[Message, ...]) -> bytes:
    """Encode a batch."""
    return encode(Frame(messages=messages))


def decode_frame(data: bytes) -> tuple[Message, ...]:
    """Decode a batch.

    Raises:
        InvalidInput: TOO_LARGE, TOO_MANY, MALFORMED, NOT_CANONICAL.
    """
    frame = decode(Frame, data, FRAME_BYTES_MAX)
    if not 1 <= len(frame.messages) <= FRAME_MESSAGES_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a frame has 1 to {FRAME_MESSAGES_MAX} messages")
    return frame.messages
