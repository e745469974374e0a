"""Transactions: signed lists of contract calls without sequence numbers.

Replay is stopped by the chain's set of recent ids within the expiry window, so a sender may
submit in parallel and never gets stuck behind a lost transaction (architecture, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from andon.core.codec import Record, Value, decode, encode, encode_arguments
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, PublicKey, SigningKey, verify

TransactionId = NewType("TransactionId", bytes)

TRANSACTION_BYTES_MAX = 1024 * 1024
CALLS_MAX = 64
NONCE_BYTES = 8
NAME_BYTES_MAX = 32


class Call(Record, frozen=True):
    """One contract call; `args` is the canonical encoding of a map from name to value."""

    contract: str
    method: str
    args: bytes


class TransactionBody(Record, frozen=True):
    """What a sender signs. `expires_height` is the last height that may include it."""

    chain_id: str
    sender: bytes
    nonce: bytes
    expires_height: int
    gas_limit: int
    calls: tuple[Call, ...]


class SignedTransaction(Record, frozen=True):
    """The body's canonical bytes and the sender's signature over them."""

    body: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A decoded transaction whose shape is right; its signature is a separate check."""

    raw: bytes
    id: TransactionId
    body: TransactionBody
    body_bytes: bytes
    signature: bytes

    @property
    def sender(self) -> PublicKey:
        """The account that signs."""
        return PublicKey(self.body.sender)


def make_call(contract: str, method: str, args: Mapping[str, Value]) -> Call:
    """Build a call from named arguments."""
    return Call(contract=contract, method=method, args=encode_arguments(args))


def transaction_id(body_bytes: bytes) -> TransactionId:
    """Id of the signed body; the signature is no part of it (a signer can make many)."""
    return TransactionId(digest(Domain.TRANSACTION, body_bytes))


def signing_bytes(body_bytes: bytes) -> bytes:
    """What the signature covers: the domain tag and the id."""
    return Domain.TRANSACTION.value + transaction_id(body_bytes)


def sign_transaction(body: TransactionBody, key: SigningKey) -> bytes:
    """Encode and sign; returns the raw bytes to submit."""
    body_bytes = encode(body)
    signature = key.sign(signing_bytes(body_bytes))
    return encode(SignedTransaction(body=body_bytes, signature=signature))


def parse_transaction(raw: bytes) -> Transaction:
    """Decode raw bytes and check every rule that needs no state and no signature.

    Raises:
        InvalidInput: TOO_LARGE, MALFORMED, NOT_CANONICAL, TOO_MANY.
    """
    signed = decode(SignedTransaction, raw, TRANSACTION_BYTES_MAX)
    body = decode(TransactionBody, signed.body, TRANSACTION_BYTES_MAX)
    if len(body.sender) != PUBLIC_KEY_BYTES or len(signed.signature) != SIGNATURE_BYTES:
        raise InvalidInput(Code.MALFORMED, "sender or signature has the wrong length")
    if len(body.nonce) != NONCE_BYTES:
        raise InvalidInput(Code.MALFORMED, f"a nonce has {NONCE_BYTES} random bytes")
    if not 1 <= len(body.calls) <= CALLS_MAX:
        raise InvalidInput(
            Code.TOO_MANY,
            f"{len(body.calls)} calls; a transaction carries 1 to {CALLS_MAX}",
            hint="split the batch",
        )
    if (
        min(body.expires_height, body.gas_limit) < 0
        or max(body.expires_height, body.gas_limit) >= 2**63
    ):
        raise InvalidInput(Code.MALFORMED, "expiry height and gas limit are below 2**63")
    for call in body.calls:
        if not (0 < len(call.contract) <= NAME_BYTES_MAX and 0 < len(call.method) <= 64):
            raise InvalidInput(Code.MALFORMED, "contract or method name has a bad length")
    return Transaction(
        raw=raw,
        id=transaction_id(signed.body),
        body=body,
        body_bytes=signed.body,
        signature=signed.signature,
    )


def check_signature(transaction: Transaction) -> None:
    """Verify the sender's signature.

    Raises:
        InvalidInput: BAD_SIGNATURE.
    """
    verify(
        transaction.body.sender,
        Domain.TRANSACTION.value + transaction.id,
        transaction.signature,
    )
