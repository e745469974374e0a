"""What of a message is checked before the core sees it, with real signatures."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from andon.core.block import Justification, block_hash
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    Vote,
    VoteKind,
    make_validator_set,
    vote_signing_bytes,
)
from andon.core.errors import InvalidInput
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from andon.core.wire import CertificateMessage, Proposal, VoteMessage
from consensus import bft
from node.drivers.intake import Intake, find_bad
from node.testing.sim.chain import genesis_header

replace = msgspec.structs.replace
CHAIN = "intake"
KEYS = sorted((PrivateKey(bytes([n + 1]) * 32) for n in range(4)), key=lambda key: key.public)
SET = make_validator_set(tuple(Validator(key.public, 1) for key in KEYS))
PARAMS = Params()
NOW_MS = 1_000_000
BASE = bft.Base(epoch=0, slot=0, height=0, block=ZERO_DIGEST, certificate=None)
SKIP = Vote(VoteKind.SKIP, 0, 1, ZERO_DIGEST)


def make_state() -> bft.State:
    at = bft.Position(base=BASE, validators=SET, index=0, params=PARAMS)
    state, _ = bft.step(bft.initial_state(at), bft.Started())
    return state


def intake() -> Intake:
    return Intake(CHAIN, lambda _: SET, lambda: NOW_MS)


def sign(vote: Vote, validator: int, chain: str = CHAIN) -> SignedVote:
    signature = KEYS[validator].sign(vote_signing_bytes(chain, vote))
    return SignedVote(vote, validator, signature)


def passes(state: bft.State, message: VoteMessage | CertificateMessage | Proposal) -> bool:
    taken = intake().take(state, KEYS[1].public, message)
    return taken is not None and not find_bad(taken.checks)


def make_proposal(**header_changes: object) -> Proposal:
    header = replace(genesis_header(CHAIN, SET), slot=1, height=1, time_ms=NOW_MS, **header_changes)
    vote = Vote(VoteKind.PROPOSE, 0, 1, block_hash(header))
    return Proposal(
        vote=sign(vote, 1),
        header=header,
        justification=Justification(None, ()),
        slot_justification=None,
        transaction_ids=(),
        predictions=(),
    )


def test_a_good_vote_passes_and_one_of_another_chain_or_key_does_not() -> None:
    state = make_state()
    assert passes(state, VoteMessage(sign(SKIP, 2)))
    assert not passes(state, VoteMessage(sign(SKIP, 2, chain="other")))
    assert not passes(state, VoteMessage(replace(sign(SKIP, 2), validator=3)))
    assert not passes(
        state, VoteMessage(SignedVote(replace(SKIP, slot=2), 2, sign(SKIP, 2).signature))
    )


def test_a_vote_that_is_held_costs_nothing() -> None:
    state = make_state()
    state, _ = bft.step(state, bft.VoteReceived(sign(SKIP, 2)))
    assert intake().take(state, KEYS[1].public, VoteMessage(sign(SKIP, 2))) is None


def test_a_certificate_costs_only_the_signatures_that_are_new() -> None:
    state = make_state()
    signers = tuple(Signer(n, sign(SKIP, n).signature) for n in (1, 2, 3))
    for validator in (1, 2):
        state, _ = bft.step(state, bft.VoteReceived(sign(SKIP, validator)))
    taken = intake().take(state, KEYS[1].public, CertificateMessage(Certificate(SKIP, signers)))
    assert taken is not None
    assert [check.key for check in taken.checks] == [KEYS[3].public]
    forged = (*signers[:2], Signer(3, signers[0].signature))
    assert not passes(state, CertificateMessage(Certificate(SKIP, forged)))
    # Held under the same index, but with other bytes: the bytes decide.
    swapped = (Signer(1, signers[1].signature), *signers[1:])
    assert not passes(state, CertificateMessage(Certificate(SKIP, swapped)))


def test_a_certificate_of_what_a_quorum_is_known_to_say_tells_nothing() -> None:
    state = make_state()
    for validator in (1, 2, 3):
        state, _ = bft.step(state, bft.VoteReceived(sign(SKIP, validator)))
    others = tuple(Signer(n, sign(SKIP, n).signature) for n in (0, 1, 2))
    message = CertificateMessage(Certificate(SKIP, others))
    assert intake().take(state, KEYS[1].public, message) is None


def test_a_good_proposal_of_the_leader_passes() -> None:
    assert passes(make_state(), make_proposal())


def with_vote(proposal: Proposal, **changes: object) -> Proposal:
    return replace(proposal, vote=sign(replace(proposal.vote.vote, **changes), 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, vote=replace(p.vote, validator=2)),
        lambda p: with_vote(p, kind=VoteKind.NOTAR),
        lambda p: with_vote(p, block=b"x" * 32),
        lambda p: replace(p, header=replace(p.header, gas_used=1)),
        lambda p: replace(p, justification=Justification(None, (Certificate(SKIP, ()),))),
        lambda p: replace(p, transaction_ids=(b"i" * 32,) * (PARAMS.block_transactions_max + 1)),
    ],
)
def test_a_proposal_that_no_honest_leader_sends_is_refused(
    change: Callable[[Proposal], Proposal],
) -> None:
    with pytest.raises(InvalidInput):
        intake().take(make_state(), KEYS[1].public, change(make_proposal()))


def test_a_proposal_is_taken_from_its_leader_alone() -> None:
    with pytest.raises(InvalidInput, match="passed on"):
        intake().take(make_state(), KEYS[2].public, make_proposal())


@pytest.mark.parametrize(("distance_ms", "taken"), [(0, True), (10_000, True), (10_001, False)])
def test_a_header_far_from_our_clock_is_not_taken(distance_ms: int, *, taken: bool) -> None:
    for time_ms in (NOW_MS - distance_ms, NOW_MS + distance_ms):
        assert passes(make_state(), make_proposal_at(time_ms)) is taken


def make_proposal_at(time_ms: int) -> Proposal:
    made = make_proposal()
    header = replace(made.header, time_ms=time_ms)
    vote = replace(made.vote.vote, block=block_hash(header))
    return replace(made, header=header, vote=sign(vote, 1))


def test_a_vote_of_nobody_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no validator"):
        intake().take(
            make_state(), KEYS[1].public, VoteMessage(replace(sign(SKIP, 1), validator=4))
        )
