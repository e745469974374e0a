"""Check what a node proves, from the genesis document alone; remembers epochs it has followed."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis
from andon.core.json_value import from_hex
from andon.core.proof import (
    PredictionSubject,
    ProofBundle,
    ReceiptSubject,
    StateSubject,
    TransactionSubject,
    Verified,
    decode_bundle,
    subject_transaction,
    verify_bundle,
)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks bundles of one network."""

    genesis: Genesis

    def prediction(self, proof: str, identity: bytes) -> tuple[Verified, ProofBundle]:
        """Check that a bundle proves this prediction.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        bundle = decode_bundle(from_hex(proof))
        verified = verify_bundle(self.genesis, bundle)
        subject = verified.subject
        if not isinstance(subject, PredictionSubject) or subject.record.id != identity:
            raise _other()
        return verified, bundle

    def state(self, proof: str, key: bytes) -> tuple[Verified, bytes | None]:
        """Check that a bundle proves this state key; gives its value, None if absent.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        verified = verify_bundle(self.genesis, decode_bundle(from_hex(proof)))
        subject = verified.subject
        if not isinstance(subject, StateSubject) or subject.key != key:
            raise _other()
        return verified, subject.value

    def receipt(self, proof: str, transaction_id: bytes) -> tuple[Verified, ReceiptSubject]:
        """Check that a bundle proves the receipt of this transaction.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        verified = verify_bundle(self.genesis, decode_bundle(from_hex(proof)))
        subject = verified.subject
        if not isinstance(subject, ReceiptSubject):
            raise _other()
        if subject.receipt.transaction_id != transaction_id:
            raise _other()
        return verified, subject

    def transaction(self, proof: str, transaction_id: bytes) -> Verified:
        """Check that a bundle proves the inclusion of this transaction.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        verified = verify_bundle(self.genesis, decode_bundle(from_hex(proof)))
        subject = verified.subject
        if not isinstance(subject, TransactionSubject):
            raise _other()
        if subject_transaction(subject) != transaction_id:
            raise _other()
        return verified


def _other() -> InvalidInput:
    return InvalidInput(
        Code.BAD_PROOF,
        "the proof holds, but of something else than was asked for",
        hint="ask another node: this one answers wrongly",
    )
