"""What one core signs and proposes: rules R3, R5 to R8, R17, R18."""

from __future__ import annotations

from andon.core.block import Justification, block_hash
from andon.core.certificate import VoteKind
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from tests.unit.consensus.bft.core import (
    Core,
    block_at,
    certificate,
    child_of,
    header,
    position,
    proposal,
    signed,
)

NOTAR, SKIP, FINAL, PROPOSE = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL, VoteKind.PROPOSE


def test_only_the_leader_of_the_slot_is_heard() -> None:
    core = Core()
    head, _ = block_at(1)
    core.feed(proposal(head, leader=2))
    assert core.casts() == []
    core.feed(proposal(head))
    assert core.casts() == [(NOTAR, 1, block_hash(head))]


def test_the_leader_proposes_once_and_votes_for_its_block() -> None:
    core = Core(position(index=1))
    build = next(effect for effect in core.all if isinstance(effect, bft.Build))
    assert (build.slot, build.justification) == (1, Justification(None, ()))
    head, block = block_at(1)
    built = bft.BlockBuilt(slot=1, block=block, header=head, justification=build.justification)
    core.feed(built)
    kinds = [type(effect) for effect in core.effects]
    assert kinds.index(bft.KeepBlock) < kinds.index(bft.Propose) < kinds.index(bft.Cast)
    core.feed(built)
    assert core.of(bft.Propose) == []


def test_one_notar_a_slot_also_for_an_equivocating_leader() -> None:
    core = Core()
    (first, block), (second, _) = block_at(1), block_at(1, salt=1)
    core.feed(proposal(first))
    core.feed(proposal(second))
    assert core.casts() == [(NOTAR, 1, block)]


def test_an_invalid_block_gets_no_vote_and_the_second_proposal_may() -> None:
    core = Core(judges=False)
    (bad, bad_block), (good, good_block) = block_at(1), block_at(1, salt=1)
    core.feed(proposal(bad))
    core.feed(bft.BlockValidated(bad_block, verdict=False))
    core.feed(proposal(good))
    core.feed(bft.BlockValidated(good_block, verdict=True))
    assert core.casts() == [(NOTAR, 1, good_block)]


def test_no_vote_for_a_child_of_a_block_that_we_refused() -> None:
    core = Core(judges=False)
    parent, parent_block = block_at(1)
    core.feed(proposal(parent))
    core.feed(bft.BlockValidated(parent_block, verdict=False))
    child, why = child_of(parent, 2)
    core.feed(proposal(child, why))
    core.feed(bft.BlockValidated(block_hash(child), verdict=True))
    assert core.casts() == []


def test_an_undecided_block_is_judged_again_later() -> None:
    core = Core(judges=False)
    head, block = block_at(1)
    core.feed(proposal(head))
    core.feed(bft.BlockValidated(block, verdict=None))
    assert core.effects == []
    core.certify(NOTAR, 1, block)
    assert core.of(bft.Validate) == [bft.Validate(block, is_certified=False)]


def test_notar_is_still_given_after_skip_but_final_is_not() -> None:
    core = Core()
    core.fire(bft.Timer.SKIP, 1)
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(NOTAR, 1, block)
    assert core.casts() == [(SKIP, 1, ZERO_DIGEST), (NOTAR, 1, block)]


def test_final_follows_notar_and_forbids_skip() -> None:
    core = Core()
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(NOTAR, 1, block)
    core.state.slot = 1  # as if the timer had fired a moment earlier
    core.fire(bft.Timer.SKIP, 1)
    assert core.casts() == [(NOTAR, 1, block), (FINAL, 1, block)]


def test_final_may_come_late_when_the_block_comes_late() -> None:
    core = Core(judges=False)
    head, block = block_at(1)
    core.certify(NOTAR, 1, block)
    assert core.of(bft.Fetch) == [bft.Fetch(block)]
    core.certify(SKIP, 2)
    core.feed(bft.BlockReceived(block=block, header=head, justification=Justification(None, ())))
    core.feed(bft.BlockValidated(block, verdict=True))
    assert core.casts() == [(FINAL, 1, block)]


def test_a_leader_needs_a_skip_certificate_of_every_slot_between() -> None:
    core = Core(position(index=3))
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(SKIP, 2)  # slot 3 is ours, but slot 1 has no certificate
    assert core.of(bft.Build) == []
    core.certify(NOTAR, 1, block)
    (build,) = core.of(bft.Build)
    assert (build.parent, len(build.justification.skips)) == (block, 1)


def test_who_catches_up_signs_nothing_and_then_its_slot_gets_a_new_timer() -> None:
    core = Core()
    core.feed(bft.SyncStarted())
    core.fire(bft.Timer.SKIP, 1)
    head, block = block_at(1)
    core.feed(proposal(head))
    assert core.casts() == []
    core.feed(bft.SyncFinished())
    assert [timer.slot for timer in core.of(bft.SetTimer)] == [1]
    assert core.casts() == [(NOTAR, 1, block)]


def test_an_observer_follows_and_signs_nothing() -> None:
    core = Core(position(index=None))
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(NOTAR, 1, block)
    core.certify(FINAL, 1, block)
    assert [item.block for item in core.of(bft.Commit)] == [block]
    assert core.casts() == []


def test_a_restart_says_the_same_again() -> None:
    head, block = block_at(1)
    state = bft.initial_state(position())
    own = (signed(0, NOTAR, 1, block), signed(0, FINAL, 1, block), signed(0, SKIP, 2))
    state, before = bft.step(
        state,
        bft.Restored(
            votes=own,
            certificates=(certificate(NOTAR, 1, block),),
            blocks=(
                bft.BlockReceived(block=block, header=head, justification=Justification(None, ())),
            ),
        ),
    )
    assert not any(isinstance(item, (bft.Cast, bft.SetTimer)) for item in before)
    state, after = bft.step(state, bft.Started())
    assert state.slot == 2
    assert not any(isinstance(item, bft.Cast) for item in after)
    state, _ = bft.step(state, bft.BlockValidated(block, verdict=True))
    state, effects = bft.step(state, bft.TimerFired(bft.Timer.SKIP, 0, 2))
    assert effects == []
    state, _ = bft.step(state, bft.TimerFired(bft.Timer.STANDSTILL, 0, 0))
    state, effects = bft.step(state, bft.TimerFired(bft.Timer.STANDSTILL, 0, 0))
    assert [item.vote for item in effects if isinstance(item, bft.SendVote)] == list(own)


def test_a_block_is_kept_before_each_first_vote_for_it() -> None:
    core = Core(judges=False)
    head, block = block_at(1)
    core.certify(NOTAR, 1, block)
    core.feed(bft.BlockReceived(block=block, header=head, justification=Justification(None, ())))
    core.feed(bft.BlockValidated(block, verdict=True))
    kinds = [type(item) for item in core.effects]
    assert kinds == [bft.KeepBlock, bft.Cast]


def test_a_proposal_that_jumps_over_a_slot_gets_no_vote() -> None:
    core = Core()
    core.certify(SKIP, 1)
    jump = header(2)  # upon the root, without the Skip certificate of slot 1
    core.feed(proposal(jump, Justification(None, ())))
    assert core.casts() == []
    assert core.state.blocks == {}
    why = Justification(None, (certificate(SKIP, 1),))
    core.feed(proposal(header(2, justification=why), why))
    assert [kind for kind, _, _ in core.casts()] == [NOTAR]
