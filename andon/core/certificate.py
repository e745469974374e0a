"""Votes, certificates and validator sets: the signed words of Simplex.

A vote names epoch, slot and block; its signature also covers the chain id. A certificate is the
sorted list of signatures of validators whose weight reaches the quorum floor(2W/3)+1. Signatures
stay attributable, so that every fork exposes its signers (docs/protocol.md).
"""

from __future__ import annotations

import itertools
from enum import IntEnum

from andon.core.codec import Record, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES, ZERO_DIGEST, Digest, Domain, digest
from andon.core.keys import check_public_key, verify_vote_signature

VALIDATORS_MAX = 128
WEIGHT_MAX = 2**32


class VoteKind(IntEnum):
    """What a validator may sign in a slot. PROPOSE is the leader's signature on its block."""

    PROPOSE = 0
    NOTAR = 1
    SKIP = 2
    FINAL = 3


class Vote(Record, frozen=True):
    """An unsigned vote. `block` is 32 zero bytes for SKIP."""

    kind: VoteKind
    epoch: int
    slot: int
    block: bytes


class SignedVote(Record, frozen=True):
    """A vote with the signer's index in its epoch's validator set."""

    vote: Vote
    validator: int
    signature: bytes


class Signer(Record, frozen=True):
    """One signature inside a certificate."""

    validator: int
    signature: bytes


class Certificate(Record, frozen=True):
    """A quorum of signatures on one vote, ascending by validator index."""

    vote: Vote
    signers: tuple[Signer, ...]


class Validator(Record, frozen=True):
    """One member of a validator set; `key` is its consensus key."""

    key: bytes
    weight: int


class ValidatorSet(Record, frozen=True):
    """The validators of an epoch, ascending by key, without duplicates."""

    validators: tuple[Validator, ...]

    @property
    def total_weight(self) -> int:
        """Sum W of all weights."""
        return sum(validator.weight for validator in self.validators)

    @property
    def quorum(self) -> int:
        """Q = floor(2W/3) + 1: any two quorums share an honest validator if f < W/3."""
        return 2 * self.total_weight // 3 + 1

    def index_of(self, key: bytes) -> int | None:
        """Index of a consensus key, None if it is not in the set."""
        for index, validator in enumerate(self.validators):
            if validator.key == key:
                return index
        return None


def make_validator_set(validators: tuple[Validator, ...]) -> ValidatorSet:
    """Order and check a set.

    Raises:
        InvalidInput: BAD_GENESIS for an empty or too large set, a duplicate, a weight out of range;
            BAD_KEY for a key outside the prime-order subgroup.
    """
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise InvalidInput(Code.BAD_GENESIS, f"a set has 1 to {VALIDATORS_MAX} validators")
    ordered = tuple(sorted(validators, key=lambda validator: validator.key))
    for left, right in itertools.pairwise(ordered):
        if left.key == right.key:
            raise InvalidInput(Code.BAD_GENESIS, f"validator {left.key.hex()[:16]} stands twice")
    for validator in ordered:
        check_public_key(validator.key)
        if not 1 <= validator.weight <= WEIGHT_MAX:
            raise InvalidInput(Code.BAD_GENESIS, f"a weight lies in 1..{WEIGHT_MAX}")
    return ValidatorSet(validators=ordered)


def validators_hash(validators: ValidatorSet) -> Digest:
    """Digest of a set, as headers carry it."""
    return digest(Domain.VALIDATORS, encode(validators))


class _VoteToSign(Record, frozen=True):
    chain_id: str
    vote: Vote


def vote_signing_bytes(chain_id: str, vote: Vote) -> bytes:
    """What a validator signs: domain tag, chain id, vote."""
    return Domain.VOTE.value + encode(_VoteToSign(chain_id=chain_id, vote=vote))


def check_vote_shape(vote: Vote) -> None:
    """Check what needs no state: digest length, zero block exactly for SKIP, slot of at least 1.

    Raises:
        InvalidInput: BAD_VOTE.
    """
    if len(vote.block) != DIGEST_BYTES or (vote.kind is VoteKind.SKIP) != (
        vote.block == ZERO_DIGEST
    ):
        raise InvalidInput(Code.BAD_VOTE, "a vote names a block of 32 bytes, and none for SKIP")
    if not 1 <= vote.slot < 2**63 or not 0 <= vote.epoch < 2**63:
        raise InvalidInput(Code.BAD_VOTE, "slot or epoch is out of range")


def check_signed_vote(chain_id: str, validators: ValidatorSet, signed: SignedVote) -> None:
    """Check shape, index and signature of a vote against its epoch's set (about 140 us).

    Raises:
        InvalidInput: BAD_VOTE or BAD_SIGNATURE.
    """
    check_vote_shape(signed.vote)
    if not 0 <= signed.validator < len(validators.validators):
        raise InvalidInput(Code.BAD_VOTE, f"no validator {signed.validator} in this epoch")
    verify_vote_signature(
        validators.validators[signed.validator].key,
        vote_signing_bytes(chain_id, signed.vote),
        signed.signature,
    )


def check_certificate_shape(validators: ValidatorSet, certificate: Certificate) -> None:
    """Check everything but the signatures: order, indices, weight of at least the quorum.

    Raises:
        InvalidInput: BAD_CERTIFICATE or BAD_VOTE.
    """
    check_vote_shape(certificate.vote)
    if certificate.vote.kind is VoteKind.PROPOSE:
        raise InvalidInput(Code.BAD_CERTIFICATE, "a proposal has no certificate")
    weight, previous = 0, -1
    for signer in certificate.signers:
        if not previous < signer.validator < len(validators.validators):
            raise InvalidInput(Code.BAD_CERTIFICATE, "signers are not ascending members of the set")
        previous = signer.validator
        weight += validators.validators[signer.validator].weight
    if weight < validators.quorum:
        raise InvalidInput(
            Code.BAD_CERTIFICATE, f"weight {weight} is below the quorum {validators.quorum}"
        )


def check_certificate(chain_id: str, validators: ValidatorSet, certificate: Certificate) -> None:
    """Check a certificate with all its signatures.

    Raises:
        InvalidInput: BAD_CERTIFICATE, BAD_VOTE or BAD_SIGNATURE.
    """
    check_certificate_shape(validators, certificate)
    message = vote_signing_bytes(chain_id, certificate.vote)
    for signer in certificate.signers:
        verify_vote_signature(
            validators.validators[signer.validator].key, message, signer.signature
        )
