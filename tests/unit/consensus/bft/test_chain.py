"""From certificates to final blocks and new epochs: rules R13, R14, R19."""

from __future__ import annotations

import pytest

from andon.core.block import Header, Justification, block_hash
from andon.core.certificate import VoteKind
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from consensus.bft.chain import DEPTH_MAX
from consensus.bft.state import EVIDENCE_SLOTS, REVIEWED_SLOTS, BlockEntry
from tests.unit.consensus.bft.core import (
    Core,
    block_at,
    certificate,
    child_of,
    header,
    position,
    proposal,
)

NOTAR, SKIP, FINAL, PROPOSE = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL, VoteKind.PROPOSE


def test_a_final_certificate_commits_the_block_and_its_ancestors() -> None:
    core = Core()
    parent, parent_block = block_at(1)
    child, why = child_of(parent, 2)
    core.feed(proposal(parent))
    core.feed(proposal(child, why))
    core.certify(FINAL, 2, block_hash(child))
    (commit,) = core.of(bft.Commit)
    assert commit.block == block_hash(child)
    assert (core.state.base.slot, core.state.base.height) == (2, 2)
    assert parent_block not in core.state.blocks


def test_a_notar_certificate_commits_nothing() -> None:
    core = Core()
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(NOTAR, 1, block)
    assert core.of(bft.Commit) == []


def test_a_final_certificate_of_an_unknown_block_fetches_it_and_its_ancestors() -> None:
    core = Core()
    parent, parent_block = block_at(1)
    child, why = child_of(parent, 2)
    block = block_hash(child)
    core.certify(FINAL, 2, block)
    assert core.of(bft.Fetch) == [bft.Fetch(block)]
    core.feed(bft.BlockReceived(block=block, header=child, justification=why))
    assert core.of(bft.Fetch) == [bft.Fetch(parent_block)]
    core.feed(
        bft.BlockReceived(block=parent_block, header=parent, justification=Justification(None, ()))
    )
    assert [item.block for item in core.of(bft.Commit)] == [block]


def test_a_block_that_we_refused_is_adopted_once_it_is_final() -> None:
    core = Core(judges=False)
    head, block = block_at(1)
    core.feed(proposal(head))
    core.feed(bft.BlockValidated(block, verdict=False))
    core.certify(FINAL, 1, block)
    assert core.of(bft.Validate) == [bft.Validate(block, is_certified=True)]
    assert core.of(bft.Commit) == []
    core.feed(bft.BlockValidated(block, verdict=True))
    assert [item.block for item in core.of(bft.Commit)] == [block]
    assert core.casts() == []


def test_a_final_block_that_cannot_be_executed_silences_us() -> None:
    core = Core(judges=False)
    head, block = block_at(1)
    core.feed(proposal(head))
    core.certify(FINAL, 1, block)
    core.feed(bft.BlockValidated(block, verdict=True))
    child, why = child_of(head, 2)
    core.feed(proposal(child, why))
    core.certify(FINAL, 2, block_hash(child))
    core.feed(bft.BlockValidated(block_hash(child), verdict=False))
    core.feed(bft.BlockValidated(block_hash(child), verdict=False))
    assert any(isinstance(effect, bft.Diverged) for effect in core.all)
    before = core.casts()
    core.fire(bft.Timer.SKIP, core.state.slot)
    assert core.casts() == before


def test_two_conflicting_final_certificates_halt_us() -> None:
    core = Core()
    first, block = block_at(1)
    core.feed(proposal(first))
    core.certify(FINAL, 1, block)
    # A block of height 2 whose parent is not the final block of height 1.
    fork, why = child_of(header(1, salt=1), 2)
    core.feed(proposal(fork, why))
    core.certify(FINAL, 2, block_hash(fork))
    assert len(core.of(bft.Halt)) == 1
    core.fire(bft.Timer.SKIP, core.state.slot)
    assert core.casts()[-1][0] is not SKIP


def test_a_closing_block_is_proposed_again_and_has_no_child() -> None:
    core = Core(position(index=2))
    closing = header(1, closes=True)
    block = block_hash(closing)
    core.feed(proposal(closing))
    core.certify(NOTAR, 1, block)
    assert core.of(bft.Build) == []
    (again,) = core.of(bft.Propose)
    assert (again.vote.slot, again.vote.block) == (2, block)
    assert again.slot_justification == Justification(certificate(NOTAR, 1, block), ())


def test_a_final_closing_block_ends_the_epoch_and_the_next_one_starts_once_it_is_durable() -> None:
    core = Core()
    closing = header(1, closes=True)
    block = block_hash(closing)
    core.feed(proposal(closing))
    core.certify(FINAL, 1, block)
    assert core.state.is_closed
    before = core.casts()
    core.fire(bft.Timer.SKIP, core.state.slot)
    assert core.casts() == before
    core.feed(bft.EpochStarted(position(epoch=1, height=1, block=block, index=2)))
    assert (core.state.base.epoch, core.state.slot, core.state.is_closed) == (1, 1, False)
    # Validator 2 leads slot 1 of epoch 1, upon the Final certificate of the block that closed.
    (build,) = core.of(bft.Build)
    assert build.parent == block


def test_slots_far_below_the_base_are_forgotten() -> None:
    core = Core()
    parent: Header | None = None
    for slot in range(1, EVIDENCE_SLOTS + 30):
        head, why = (block_at(slot)[0], None) if parent is None else child_of(parent, slot)
        core.feed(proposal(head, why))
        core.certify(FINAL, slot, block_hash(head))
        parent = head
    assert core.state.base.slot == EVIDENCE_SLOTS + 29
    assert len(core.state.tables) <= EVIDENCE_SLOTS + 1
    assert not core.state.blocks


def test_sync_moves_the_base_and_forgets_what_is_below() -> None:
    core = Core()
    core.certify(SKIP, 1)
    core.feed(bft.SyncedTo(position(slot=9, height=7, block=b"n" * 32)))
    assert (core.state.base.height, core.state.slot) == (7, 10)
    assert core.of(bft.Forget) == [bft.Forget(0, 9)]
    core.feed(bft.SyncedTo(position(slot=3, height=2, block=b"o" * 32)))
    assert core.state.base.height == 7


class Counted(dict[bytes, BlockEntry]):
    """Blocks that count how often they are looked up."""

    looks = 0

    def get(self, key: bytes, default: object = None) -> BlockEntry | None:  # type: ignore[override]
        self.looks += 1
        return super().get(key)


def _behind(count: int, *, is_syncing: bool) -> int:
    """Lookups of one message more at a core that misses the first of `count` certified blocks."""
    core = Core()
    chain = [(block_at(1)[0], Justification(None, ()))]
    while len(chain) < count:
        chain.append(child_of(chain[-1][0], len(chain) + 1))
    for head, why in chain[1:]:
        core.certify(NOTAR, head.slot, block_hash(head))
        core.certify(FINAL, head.slot, block_hash(head))
        core.feed(bft.BlockReceived(block=block_hash(head), header=head, justification=why))
    if is_syncing:
        core.feed(bft.SyncStarted())
    core.state.blocks = counted = Counted(core.state.blocks)
    core.certify(SKIP, count + 1, ZERO_DIGEST)
    assert core.of(bft.Commit) == []
    return counted.looks


@pytest.mark.parametrize("is_syncing", [False, True])
def test_a_message_costs_a_validator_that_is_behind_no_more_than_what_is_unfinal(
    *,
    is_syncing: bool,
) -> None:
    # Walking each branch for each slot took 6,321 lookups at 50: such a node never caught up.
    few, many, more = [_behind(count, is_syncing=is_syncing) for count in (50, 400, 450)]
    assert 0 < few <= 4 * 50
    assert max(many, more) <= 4 * DEPTH_MAX


def test_a_validator_far_behind_gets_there_from_below_and_from_above() -> None:
    core = Core()
    chain = [(block_at(1)[0], Justification(None, ()))]
    while len(chain) < 3 * REVIEWED_SLOTS:
        chain.append(child_of(chain[-1][0], len(chain) + 1))
    for head, why in chain[1:]:
        core.certify(FINAL, head.slot, block_hash(head))
        core.feed(bft.BlockReceived(block=block_hash(head), header=head, justification=why))
    assert core.of(bft.Commit) == []
    first, why = chain[0]
    core.feed(bft.BlockReceived(block=block_hash(first), header=first, justification=why))
    assert core.state.base.height == len(chain)
