"""Validator sets, votes and certificates: quorums and everything that is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    check_certificate,
    check_signed_vote,
    make_validator_set,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey

CHAIN = "c"
keys = sorted((PrivateKey(bytes([n]) * 32) for n in range(1, 5)), key=lambda item: item.public)
validators = make_validator_set(tuple(Validator(item.public, 1) for item in keys))
final = Vote(kind=VoteKind.FINAL, epoch=0, slot=3, block=b"b" * 32)
replace = msgspec.structs.replace


def certify(vote: Vote, *indices: int, chain: str = CHAIN) -> Certificate:
    message = vote_signing_bytes(chain, vote)
    return Certificate(vote, tuple(Signer(index, keys[index].sign(message)) for index in indices))


@given(st.lists(st.integers(1, 2**32), min_size=1, max_size=20))
def test_two_quorums_share_more_than_a_third(weights: list[int]) -> None:
    members = ValidatorSet(tuple(Validator(bytes([n]) * 32, w) for n, w in enumerate(weights)))
    total = sum(weights)
    assert 2 * members.quorum - total > total / 3 - 1
    assert 3 * members.quorum > 2 * total
    assert members.quorum <= total


def test_a_quorum_certifies() -> None:
    check_certificate(CHAIN, validators, certify(final, 0, 1, 3))
    check_certificate(CHAIN, validators, certify(final, 0, 1, 2, 3))
    skip = Vote(kind=VoteKind.SKIP, epoch=0, slot=3, block=ZERO_DIGEST)
    check_certificate(CHAIN, validators, certify(skip, 1, 2, 3))


@pytest.mark.parametrize(
    ("certificate", "code"),
    [
        (certify(final, 0, 1), Code.BAD_CERTIFICATE),
        (certify(final, 0, 0, 1), Code.BAD_CERTIFICATE),
        (certify(final, 1, 0, 2), Code.BAD_CERTIFICATE),
        (Certificate(final, (*certify(final, 0, 1).signers, Signer(4, bytes(64)))),
         Code.BAD_CERTIFICATE),
        (certify(replace(final, kind=VoteKind.PROPOSE), 0, 1, 2), Code.BAD_CERTIFICATE),
        (certify(replace(final, block=ZERO_DIGEST), 0, 1, 2), Code.BAD_VOTE),
        (certify(replace(final, block=b"short"), 0, 1, 2), Code.BAD_VOTE),
        (certify(replace(final, kind=VoteKind.SKIP), 0, 1, 2), Code.BAD_VOTE),
        (certify(replace(final, slot=0), 0, 1, 2), Code.BAD_VOTE),
        (certify(final, 0, 1, 2, chain="other"), Code.BAD_SIGNATURE),
        (replace(certify(final, 0, 1, 2), vote=replace(final, slot=4)), Code.BAD_SIGNATURE),
        (replace(certify(final, 0, 1, 2), vote=replace(final, epoch=1)), Code.BAD_SIGNATURE),
    ],
)  # fmt: skip
def test_less_than_a_quorum_of_true_signatures_certifies_nothing(
    certificate: Certificate, code: Code
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_certificate(CHAIN, validators, certificate)
    assert caught.value.code is code


def test_a_single_vote_is_checked_against_its_signer() -> None:
    signature = keys[2].sign(vote_signing_bytes(CHAIN, final))
    check_signed_vote(CHAIN, validators, SignedVote(final, 2, signature))
    for index in (1, 4):
        with pytest.raises(InvalidInput):
            check_signed_vote(CHAIN, validators, SignedVote(final, index, signature))


def test_sets_are_ordered_checked_and_named_by_their_hash() -> None:
    members = tuple(Validator(item.public, 2) for item in reversed(keys))
    ordered = make_validator_set(members)
    assert [item.key for item in ordered.validators] == sorted(item.public for item in keys)
    assert ordered.index_of(keys[1].public) == 1
    assert ordered.index_of(bytes(32)) is None
    assert validators_hash(ordered) != validators_hash(validators)
    for bad in (
        (),
        (members[0], members[0]),
        (Validator(keys[0].public, 0),),
        (Validator(keys[0].public, 2**32 + 1),),
        (Validator(bytes(32), 1),),
        members * 40,
    ):
        with pytest.raises(InvalidInput):
            make_validator_set(bad)
