"""Check what a node proves, from the genesis document alone; remembers epochs it has followed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis
from andon.core.json_value import from_hex
from andon.core.proof import (
    Finality,
    PredictionSubject,
    ProofBundle,
    ReceiptSubject,
    StateSubject,
    TransactionSubject,
    Verified,
    check_finality,
    decode_bundle,
    subject_transaction,
    verify_subject,
)

KNOWN_MAX = 8


@dataclass(slots=True)
class Verifier:
    """Checks bundles of one network; remembers the headers that it last found final."""

    genesis: Genesis
    _known: deque[Finality] = field(default_factory=lambda: deque(maxlen=KNOWN_MAX))

    def _verify(self, bundle: ProofBundle) -> Verified:
        known = next((found for found in self._known if found.covers(bundle)), None)
        if known is None:
            known = check_finality(self.genesis, bundle)
            self._known.append(known)
        return verify_subject(self.genesis.chain_id, bundle, known)

    def prediction(self, proof: str, identity: bytes) -> tuple[Verified, ProofBundle]:
        """Check that a bundle proves this prediction.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        bundle = decode_bundle(from_hex(proof))
        verified = self._verify(bundle)
        subject = verified.subject
        if not isinstance(subject, PredictionSubject) or subject.record.id != identity:
            raise _other()
        return verified, bundle

    def state(self, proof: str, key: bytes) -> tuple[Verified, bytes | None]:
        """Check that a bundle proves this state key; gives its value, None if absent.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        verified = self._verify(decode_bundle(from_hex(proof)))
        subject = verified.subject
        if not isinstance(subject, StateSubject) or subject.key != key:
            raise _other()
        return verified, subject.value

    def receipt(self, proof: str, transaction_id: bytes) -> tuple[Verified, ReceiptSubject]:
        """Check that a bundle proves the receipt of this transaction.

        Raises:
            InvalidInput: BAD_PROOF and what `verify_bundle` raises.
        """
        verified = self._verify(decode_bundle(from_hex(proof)))
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
        verified = self._verify(decode_bundle(from_hex(proof)))
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
