"""From peers' messages to events: cheap checks first, then the signatures that are still unknown.

A certificate whose votes we hold costs no verification, nor does one that we have seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from andon.core.block import block_hash, justification_digest
from andon.core.certificate import (
    Certificate,
    SignedVote,
    ValidatorSet,
    Vote,
    VoteKind,
    check_certificate_shape,
    check_vote_shape,
    vote_signing_bytes,
)
from andon.core.errors import Code, InvalidInput
from andon.core.keys import verify_vote_signature
from andon.core.wire import CertificateMessage, Proposal, VoteMessage
from consensus.bft import (
    CertificateReceived,
    Event,
    ProposalReceived,
    State,
    VoteReceived,
    certificates_of,
    leader_of,
)


@dataclass(frozen=True, slots=True)
class SignatureCheck:
    """One signature to verify; thread-safe and slow (about 140 us)."""

    key: bytes
    message: bytes
    signature: bytes

    def run(self) -> None:
        """Raise InvalidInput BAD_SIGNATURE if it is not good."""
        verify_vote_signature(self.key, self.message, self.signature)


@dataclass(slots=True)
class Taken:
    """An event that is true once `checks` have passed."""

    event: Event
    checks: list[SignatureCheck] = field(default_factory=list)
    proposal: Proposal | None = None


class Intake:
    """Reads the core's state, never writes it."""

    def __init__(
        self,
        chain_id: str,
        validators_of: Callable[[int], ValidatorSet],
        clock_ms: Callable[[], int],
    ) -> None:
        self._chain_id = chain_id
        self._validators_of = validators_of
        self._clock_ms = clock_ms

    def take(
        self, state: State, peer_key: bytes, message: VoteMessage | CertificateMessage | Proposal
    ) -> Taken | None:
        """Turn a message of the running epoch into an event; None if it tells nothing new.

        Raises:
            InvalidInput: what no honest node sends.
        """
        match message:
            case VoteMessage():
                return self._take_vote(state, message.vote)
            case CertificateMessage():
                return self._take_certificate(state, message.certificate)
            case Proposal():
                return self._take_proposal(state, peer_key, message)

    def _take_vote(self, state: State, signed: SignedVote) -> Taken | None:
        check_vote_shape(signed.vote)
        validators = state.validators.validators
        if signed.validator >= len(validators):
            raise InvalidInput(Code.BAD_VOTE, f"no validator {signed.validator} in this epoch")
        if _holds_vote(state, signed) or signed.vote.kind is VoteKind.PROPOSE:
            return None
        return Taken(VoteReceived(signed), [self._check(state.validators, signed)])

    def _take_certificate(self, state: State, certificate: Certificate) -> Taken | None:
        vote = certificate.vote
        if vote.slot <= state.base.slot or _certificate_of(state, vote) is not None:
            return None  # The core keeps the first one alone: other signatures tell it nothing.
        taken = Taken(CertificateReceived(certificate))
        self._add_certificate(state, certificate, taken)
        return taken

    def _take_proposal(self, state: State, peer_key: bytes, proposal: Proposal) -> Taken | None:
        vote, header = proposal.vote.vote, proposal.header
        check_vote_shape(vote)
        leader = leader_of(len(state.validators.validators), state.base.epoch, vote.slot)
        if vote.kind is not VoteKind.PROPOSE or proposal.vote.validator != leader:
            raise InvalidInput(Code.BAD_VOTE, "a proposal comes from the leader of its slot")
        if state.validators.validators[leader].key != peer_key:
            # Its signature does not cover the body: nobody else may hand that on.
            raise InvalidInput(Code.BAD_VOTE, "a proposal is not passed on")
        if vote.block != block_hash(header):
            raise InvalidInput(Code.BAD_BLOCK, "the leader signed another block")
        if header.justification_digest != justification_digest(proposal.justification):
            raise InvalidInput(Code.BAD_BLOCK, "the justification is not the one in the header")
        if len(proposal.transaction_ids) > state.params.block_transactions_max:
            raise InvalidInput(Code.TOO_MANY, "too many transactions in a proposal")
        if vote.slot <= state.base.slot or not self._is_timely(state, proposal):
            return None
        table = state.tables.get(vote.slot)
        if table is not None and vote.block in table.candidates:
            return None
        taken = Taken(
            ProposalReceived(
                vote=proposal.vote,
                header=header,
                justification=proposal.justification,
                slot_justification=proposal.slot_justification,
            ),
            proposal=proposal,
        )
        taken.checks.append(self._check(state.validators, proposal.vote))
        for justification in (proposal.justification, proposal.slot_justification):
            for certificate in certificates_of(justification):
                if not _holds_certificate(state, certificate):
                    self._add_certificate(state, certificate, taken)
        return taken

    def _is_timely(self, state: State, proposal: Proposal) -> bool:
        """R5: a leader's clock must be near ours. One proposed again passed this before."""
        if proposal.slot_justification is not None:
            return True
        distance_ms = abs(proposal.header.time_ms - self._clock_ms())
        return distance_ms <= state.params.clock_drift_ms

    def _add_certificate(self, state: State, certificate: Certificate, taken: Taken) -> None:
        epoch = certificate.vote.epoch
        same = epoch == state.base.epoch
        if not same and epoch + 1 != state.base.epoch:
            raise InvalidInput(Code.WRONG_EPOCH, f"a certificate of epoch {epoch}")
        validators = state.validators if same else self._validators_of(epoch)
        check_certificate_shape(validators, certificate)
        for signer in certificate.signers:
            signed = SignedVote(certificate.vote, signer.validator, signer.signature)
            if not (same and _holds_vote(state, signed)):
                taken.checks.append(self._check(validators, signed))

    def _check(self, validators: ValidatorSet, signed: SignedVote) -> SignatureCheck:
        key = validators.validators[signed.validator].key
        return SignatureCheck(
            key, vote_signing_bytes(self._chain_id, signed.vote), signed.signature
        )


def epoch_of(message: VoteMessage | CertificateMessage | Proposal) -> int:
    """Epoch that a message speaks of."""
    if isinstance(message, CertificateMessage):
        return message.certificate.vote.epoch
    return message.vote.vote.epoch


def find_bad(checks: list[SignatureCheck]) -> frozenset[int]:
    """Identities of the checks that fail."""
    bad: list[int] = []
    for check in checks:
        try:
            check.run()
        except InvalidInput:
            bad.append(id(check))
    return frozenset(bad)


def _holds_vote(state: State, signed: SignedVote) -> bool:
    table = state.tables.get(signed.vote.slot)
    held = None if table is None else table.votes.get(signed.validator)
    return held is not None and held.get(signed.vote.kind) == signed


def _certificate_of(state: State, vote: Vote) -> Certificate | None:
    """Give the certificate that the core has of this vote, by whatever signatures."""
    table = state.tables.get(vote.slot) if vote.epoch == state.base.epoch else None
    return None if table is None else table.certificates.get((vote.kind, vote.block))


def _holds_certificate(state: State, certificate: Certificate) -> bool:
    """Tell whether these very signatures were verified before."""
    return certificate in (state.base.certificate, _certificate_of(state, certificate.vote))
