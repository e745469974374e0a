"""The middle that a validator far behind forgets, and that nothing signed in it is contradicted."""

from __future__ import annotations

import pytest

from andon.core.block import Header, Justification, block_hash
from andon.core.certificate import VoteKind
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from consensus.bft.state import DEPTH_MAX, EVIDENCE_SLOTS
from consensus.bft.window import ENDS_SLOTS, GAP_SLOTS
from tests.unit.consensus.bft.core import (
    PARAMS,
    Core,
    block_at,
    child_of,
    position,
    signed,
)

NOTAR, SKIP, FINAL = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL
TABLES_MAX = EVIDENCE_SLOTS + 2 * ENDS_SLOTS + GAP_SLOTS + PARAMS.slots_ahead_max + 2
FAR = 3 * ENDS_SLOTS + GAP_SLOTS
Made = tuple[Header, Justification]


def chain(count: int) -> list[Made]:
    made = [(block_at(1)[0], Justification(None, ()))]
    while len(made) < count:
        made.append(child_of(made[-1][0], len(made) + 1))
    return made


def give(core: Core, made: Made) -> None:
    core.feed(bft.BlockReceived(block=block_hash(made[0]), header=made[0], justification=made[1]))


def fall_behind(core: Core, made: list[Made], lacking: int = 0) -> None:
    """All but the first block, each with both certificates: the core's base cannot move.

    The block of slot `lacking` does not come either.
    """
    for head, why in made[1:]:
        core.certify(NOTAR, head.slot, block_hash(head))
        core.certify(FINAL, head.slot, block_hash(head))
        if head.slot != lacking:
            give(core, (head, why))


def test_tables_and_blocks_of_a_validator_that_falls_behind_are_bounded() -> None:
    core, made = Core(), chain(2 * FAR)
    for number in range(1, len(made), 100):
        fall_behind(core, made[number - 1 : number + 100])
        assert len(core.state.tables) <= TABLES_MAX
        assert len(core.state.blocks) <= 2 * TABLES_MAX + 2 * DEPTH_MAX
    assert core.state.slot == len(made) + 1
    assert core.state.sign_floor >= len(made) - 2 * ENDS_SLOTS - GAP_SLOTS
    # It knows that it has to be brought along by other means.
    core.certify(SKIP, len(made) + 1)
    assert core.of(bft.CatchUp)


def test_what_was_skipped_and_forgotten_never_gets_a_final_of_ours() -> None:
    core, made = Core(), chain(FAR)
    skipped = 2 * ENDS_SLOTS
    fall_behind(core, made[: skipped - 1])
    core.certify(SKIP, skipped - 1)
    core.fire(bft.Timer.SKIP, skipped)
    assert (SKIP, skipped, ZERO_DIGEST) in core.casts()
    fall_behind(core, made, lacking=skipped + 1)
    assert skipped <= core.state.sign_floor
    assert skipped not in core.state.tables
    # Brought to just below it, the slot is near the base again, and all its conditions come true.
    core.feed(
        bft.SyncedTo(
            position(slot=skipped - 1, height=skipped - 1, block=made[skipped - 1][0].parent)
        )
    )
    core.certify(NOTAR, skipped, block_hash(made[skipped - 1][0]))
    give(core, made[skipped - 1])
    assert core.state.is_valid(block_hash(made[skipped - 1][0]))
    assert core.state.tables[skipped].cast == {}
    assert [cast for cast in core.casts() if cast[:2] == (FINAL, skipped)] == []


def test_what_is_said_of_the_forgotten_middle_leaves_no_trace() -> None:
    core, made = Core(), chain(FAR)
    fall_behind(core, made)
    middle = 2 * ENDS_SLOTS
    before = dict(core.state.tables)
    core.vote(2, NOTAR, middle, b"x" * 32)
    core.certify(NOTAR, middle, block_hash(made[middle - 1][0]))
    core.feed(
        bft.ProposalReceived(
            vote=signed(middle % 4, VoteKind.PROPOSE, middle, block_hash(made[middle - 1][0])),
            header=made[middle - 1][0],
            justification=made[middle - 1][1],
            slot_justification=None,
        )
    )
    assert core.state.tables.keys() == before.keys()
    assert core.of(bft.KeepCertificate) == []


def test_without_a_final_certificate_every_skip_is_kept_for_the_next_justification() -> None:
    core = Core()
    last = FAR + (-FAR - 1) % 4  # so that the slot above it is ours
    for slot in range(1, last + 1):
        core.certify(SKIP, slot)
    assert core.state.sign_floor == 0
    assert bft.leader_of(4, 0, last + 1) == 0
    (build,) = [effect for effect in core.all if isinstance(effect, bft.Build)][-1:]
    assert build.slot == last + 1
    assert len(build.justification.skips) == last


def test_a_gap_of_slots_with_few_blocks_is_passed_by_the_blocks_alone() -> None:
    core = Core()
    first = block_at(1)[0]
    second, why = child_of(first, FAR)
    for slot in range(2, FAR):
        core.certify(SKIP, slot)
    core.certify(FINAL, FAR, block_hash(second))
    assert core.state.sign_floor > 0
    give(core, (second, why))
    assert core.of(bft.Commit) == []
    give(core, (first, Justification(None, ())))
    assert core.state.base.height == 2
    assert core.state.base.slot == FAR


def test_one_who_was_brought_along_votes_again_and_a_new_epoch_forgets_the_floor() -> None:
    core, made = Core(), chain(FAR)
    fall_behind(core, made)
    tip = made[-1][0]
    core.feed(bft.SyncedTo(position(slot=FAR, height=FAR, block=block_hash(tip))))
    head, why = child_of(tip, FAR + 1)
    core.certify(NOTAR, FAR + 1, block_hash(head))
    give(core, (head, why))
    assert (FINAL, FAR + 1, block_hash(head)) in core.casts()
    core.feed(bft.EpochStarted(position(epoch=1, height=FAR + 1, block=b"n" * 32)))
    assert core.state.sign_floor == 0


@pytest.mark.parametrize("extra", [0, 1])
def test_the_middle_goes_when_it_is_wide_enough_and_not_before(extra: int) -> None:
    core = Core()
    core.certify(FINAL, 2 * ENDS_SLOTS + GAP_SLOTS + 1 + extra, b"b" * 32)
    assert core.state.sign_floor == extra * (ENDS_SLOTS + GAP_SLOTS + 1)
