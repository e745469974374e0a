"""A light client: follows headers by certificates, skips epochs it may skip, notices forks.

It holds one trusted header with the set that rules after it, and no chain. A header of the same or
the next epoch needs the quorum of a set that is known for certain. To skip further, the quorum of
the new set must hold more than a third of the weight of the trusted set, so at least one of its
honest members signed; that is only believed within the trust period, while validators can still
be held to account. Pure: the caller brings headers and the time.
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import Header, block_hash
from andon.core.certificate import Certificate, SignedVote, ValidatorSet, VoteKind, validators_hash
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Digest
from andon.core.proof import FinalHeader, TrustedSet, check_final_header

HEADERS_MAX = 1024
"""Verified headers remembered for noticing forks; the lowest heights leave first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightSettings:
    """What the client believes in, chosen by its owner."""

    chain_id: str
    trust_period_ms: int = 14 * 24 * 3600 * 1000
    clock_drift_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Trusted:
    """A header that is final for us, and the epoch and set of the blocks after it."""

    header: Header
    after: TrustedSet


@dataclass(frozen=True, slots=True)
class Fork:
    """Two conflicting final headers of one height, and the votes that convict whoever made both.

    `pairs` is empty if the certificates are of different slots: then the guilty stand in the
    justifications between (docs/protocol.md, "Every fork names its makers").
    """

    first: FinalHeader
    second: FinalHeader
    pairs: tuple[tuple[SignedVote, SignedVote], ...]


class ForkFound(InvalidInput):
    """Nothing more may be believed: more than a third of a validator set is faulty."""

    def __init__(self, fork: Fork) -> None:
        height = fork.first.header.height
        super().__init__(
            Code.BAD_PROOF,
            f"two final headers of height {height}",
            hint="stop, and send both headers to every member of the network",
        )
        self.fork = fork


class LightClient:
    """Verifies headers in any order; `trusted` is the highest one."""

    def __init__(self, settings: LightSettings, trusted: Trusted) -> None:
        self._settings = settings
        self._seen: dict[int, FinalHeader] = {}
        self._fork: Fork | None = None
        self.trusted = trusted

    def update(
        self,
        final: FinalHeader,
        validators: ValidatorSet,
        next_validators: ValidatorSet | None,
        now_ms: int,
    ) -> Digest:
        """Verify a header; trusts it from now on if it is the highest. Gives the block's hash.

        `validators` rule the header's epoch; `next_validators` are needed if it closes its epoch.

        Raises:
            ForkFound: it contradicts a verified one. InvalidInput: BAD_PROOF, WRONG_EPOCH,
                EXPIRED for a trusted header that is too old, and what certificates raise.
        """
        if self._fork is not None:
            raise ForkFound(self._fork)
        header = final.header
        self._check_time(header, now_ms)
        known = self.trusted.after
        if header.epoch != known.epoch or validators != known.validators:
            self._check_skip(final, validators, now_ms)
        identity = check_final_header(
            self._settings.chain_id, TrustedSet(header.epoch, validators), final
        )
        self._notice_fork(final, identity)
        self._check_order(header, identity)
        after = _after(header, validators, next_validators)
        if header.height > self.trusted.header.height:
            self.trusted = Trusted(header, after)
        return identity

    def _check_time(self, header: Header, now_ms: int) -> None:
        if header.time_ms > now_ms + self._settings.clock_drift_ms:
            raise _refused("the header is of the future")

    def _check_order(self, header: Header, identity: bytes) -> None:
        """Height, time and epoch grow together; equal heights are one block."""
        base = self.trusted.header
        if header.height == base.height and identity != block_hash(base):
            raise _refused("another header stands at the trusted height")
        if header.height > base.height and (
            header.time_ms <= base.time_ms or header.epoch < self.trusted.after.epoch
        ):
            raise _refused("time or epoch goes back")
        if header.height < base.height and (
            header.time_ms >= base.time_ms or header.epoch > base.epoch
        ):
            raise _refused("time or epoch runs ahead of the trusted header")

    def _check_skip(self, final: FinalHeader, validators: ValidatorSet, now_ms: int) -> None:
        """Believe a set that we do not know for certain, because honest members of ours signed."""
        header, base = final.header, self.trusted
        if header.epoch <= base.after.epoch:
            raise InvalidInput(
                Code.WRONG_EPOCH,
                f"the validators of epoch {header.epoch} are not known, or others",
                hint="ask for the closing headers from the genesis on",
            )
        if now_ms - base.header.time_ms >= self._settings.trust_period_ms:
            raise InvalidInput(
                Code.EXPIRED,
                "the trusted header is older than the trust period",
                hint="start anew from the genesis, or from a header that a member gives you",
            )
        if validators_hash(validators) != header.validators_hash:
            raise _refused("the header names another validator set")
        shared = shared_weight(base.after.validators, validators, final.certificate)
        if 3 * shared <= base.after.validators.total_weight:
            raise _refused(
                f"weight {shared} of {base.after.validators.total_weight} of the trusted set "
                "signed: not more than a third; fetch the closing headers between"
            )

    def _notice_fork(self, final: FinalHeader, identity: bytes) -> None:
        """Compare with what was verified at the same heights, also along the path."""
        height = final.header.height
        other = self._seen.get(height)
        if other is not None and block_hash(other.header) != identity:
            self._fork = Fork(other, final, guilty_pairs(other.certificate, final.certificate))
            raise ForkFound(self._fork)
        self._seen.setdefault(height, final)
        if len(self._seen) > HEADERS_MAX:
            del self._seen[min(self._seen)]


def trusted_from_genesis(header: Header, genesis_set: TrustedSet) -> Trusted:
    """Start at height 0. The header follows from the genesis document, which names the set.

    Raises:
        InvalidInput: BAD_PROOF if the two do not belong together.
    """
    is_first = header.height == 0 and header.epoch == 0 and genesis_set.epoch == 0
    if not is_first or header.validators_hash != validators_hash(genesis_set.validators):
        raise _refused("the header is not the genesis header of this set")
    return Trusted(header, genesis_set)


def shared_weight(trusted: ValidatorSet, signing: ValidatorSet, certificate: Certificate) -> int:
    """Weight in the trusted set of those who signed as members of another set."""
    keys = [
        signing.validators[signer.validator].key
        for signer in certificate.signers
        if signer.validator < len(signing.validators)
    ]
    unique = dict.fromkeys(keys)
    return sum(member.weight for member in trusted.validators if member.key in unique)


def guilty_pairs(
    first: Certificate, second: Certificate
) -> tuple[tuple[SignedVote, SignedVote], ...]:
    """Votes of those who signed both of two certificates that contradict each other."""
    left, right = first.vote, second.vote
    same_slot = (left.epoch, left.slot) == (right.epoch, right.slot)
    kinds = {left.kind, right.kind}
    is_contradiction = left.block != right.block and (
        (left.kind is right.kind and left.kind in (VoteKind.NOTAR, VoteKind.FINAL))
        or kinds == {VoteKind.FINAL, VoteKind.SKIP}
    )
    if not same_slot or not is_contradiction:
        return ()
    signatures = {signer.validator: signer.signature for signer in first.signers}
    return tuple(
        (
            SignedVote(left, signer.validator, signatures[signer.validator]),
            SignedVote(right, signer.validator, signer.signature),
        )
        for signer in second.signers
        if signer.validator in signatures
    )


def _after(
    header: Header, validators: ValidatorSet, next_validators: ValidatorSet | None
) -> TrustedSet:
    if not header.closes_epoch:
        return TrustedSet(header.epoch, validators)
    if next_validators is None or validators_hash(next_validators) != header.next_validators_hash:
        raise _refused(
            "the header closes its epoch, and the next validators are not those it names"
        )
    return TrustedSet(header.epoch + 1, next_validators)


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(Code.BAD_PROOF, reason)
