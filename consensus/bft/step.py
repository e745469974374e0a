"""The core: `step(state, event)` gives the state after the event and effects in order.

The state owns mutable tables and is returned for the shape; a caller keeps no old one. Rule
numbers are those of consensus/README.md.
"""

from __future__ import annotations

from typing import assert_never

from andon.core.certificate import Vote, VoteKind
from andon.core.errors import InvalidInput
from consensus.bft.chain import add_block, finalise, prune, want, want_children
from consensus.bft.effects import Build, Effect, Forget, KeepBlock, Propose
from consensus.bft.events import (
    BlockBuilt,
    BlockCommitted,
    BlockReceived,
    BlockValidated,
    BuildFailed,
    CertificateReceived,
    EpochStarted,
    Event,
    ProposalReceived,
    Restored,
    Started,
    SyncedTo,
    SyncFinished,
    SyncStarted,
    Timer,
    TimerFired,
    VoteReceived,
)
from consensus.bft.justification import certificates_of, check_proposal
from consensus.bft.leader import find_place, leader_of
from consensus.bft.pacemaker import arm_standstill, check_standstill, enter_slot, give_up
from consensus.bft.safety import cast_vote, may_sign
from consensus.bft.state import CANDIDATES_MAX, Base, State, initial_state
from consensus.bft.votes import receive_certificate, receive_vote
from consensus.bft.window import is_dropped


def step(state: State, event: Event) -> tuple[State, list[Effect]]:
    """Handle one event. Cost: proportional to what is unfinal, not to the chain."""
    out: list[Effect] = []
    match event:
        case VoteReceived():
            if receive_vote(state, event.vote, out):
                _review(state, out)
        case CertificateReceived():
            if receive_certificate(state, event.certificate, out):
                _review(state, out)
        case ProposalReceived():
            _receive_proposal(state, event, out)
        case BlockReceived():
            if add_block(state, event.block, event.header, event.justification):
                _review(state, out)
        case BlockValidated():
            _receive_verdict(state, event, out)
        case BlockBuilt():
            _receive_built(state, event, out)
        case BuildFailed():
            if event.slot == state.building:
                state.building = 0
        case BlockCommitted():
            state.params = event.params
            out.append(Forget(event.epoch, event.slot))
        case EpochStarted() | SyncedTo():
            state = _start_from(state, event, out)
        case SyncStarted():
            state.is_syncing = True
        case SyncFinished():
            _finish_sync(state, out)
        case TimerFired():
            _fire(state, event, out)
        case Restored():
            _restore(state, event, out)
        case Started():
            _start(state, out)
        case _:
            assert_never(event)
    return state, out


def _receive_proposal(state: State, event: ProposalReceived, out: list[Effect]) -> None:
    vote = event.vote.vote
    slot, block = vote.slot, vote.block
    receive_vote(state, event.vote, out)
    if vote.kind is not VoteKind.PROPOSE or vote.epoch != state.base.epoch:
        return
    # R3: only the leader of the slot is heard.
    leader = leader_of(len(state.validators.validators), vote.epoch, slot)
    if event.vote.validator != leader or event.header.epoch != vote.epoch:
        return
    try:
        check_proposal(event.header, block, event.justification, slot, event.slot_justification)
    except InvalidInput:
        return
    is_new = False
    for justification in (event.justification, event.slot_justification):
        for certificate in certificates_of(justification):
            is_new |= certificate.vote.epoch == vote.epoch and receive_certificate(
                state, certificate, out
            )
    # R16: looked at after the certificates, which may have brought us near the slot.
    ahead = slot - state.slot
    is_near = state.base.slot < slot and ahead <= state.params.slots_ahead_max
    if is_near and not is_dropped(state, slot):
        candidates = state.table(slot).candidates
        is_wanted = block not in candidates and len(candidates) < CANDIDATES_MAX
        # add_block refuses the block that closed this epoch, proposed again, if we have it final.
        if is_wanted and add_block(state, block, event.header, event.justification):
            candidates.append(block)
            is_new = True
    if is_new:
        _review(state, out)


def _receive_verdict(state: State, event: BlockValidated, out: list[Effect]) -> None:
    entry = state.blocks.get(event.block)
    if entry is None:
        return
    entry.verdict = event.verdict
    if event.verdict is None:
        entry.is_asked = False
        return
    want_children(state, event.block, out)
    _review(state, out)


def _receive_built(state: State, event: BlockBuilt, out: list[Effect]) -> None:
    if event.slot != state.slot or event.header.epoch != state.base.epoch:
        return
    if not add_block(state, event.block, event.header, event.justification):
        return
    state.blocks[event.block].verdict = True
    _propose(state, event.block, event.header.slot, out)
    _review(state, out)


def _review(state: State, out: list[Effect]) -> None:
    """Apply every rule whose conditions may have come true."""
    finalise(state, out)
    if state.is_closed or state.is_halted:
        return
    if state.is_syncing:
        return  # catching up fetches and validates in its own order, and we sign nothing
    walked: dict[bytes, None] = {}
    for slot in state.reviewed():
        if slot <= state.slot:
            _review_slot(state, slot, walked, out)
    _notarise(state, out)
    _lead(state, out)


def _review_slot(state: State, slot: int, walked: dict[bytes, None], out: list[Effect]) -> None:
    table = state.tables[slot]
    for kind, block in list(table.certificates):
        if kind is VoteKind.SKIP:
            continue
        want(state, block, out, walked)
        # R7: finalise what a quorum notarised, if valid for us and not given up by us.
        if kind is VoteKind.NOTAR and state.is_valid(block):
            cast_vote(state, VoteKind.FINAL, slot, block, out)


def _notarise(state: State, out: list[Effect]) -> None:
    """R6: vote for the first valid proposal of the open slot, also after giving it up."""
    table = state.tables.get(state.slot)
    if table is None or VoteKind.NOTAR in table.cast:
        return
    for block in table.candidates:
        want(state, block, out)
        if state.is_valid(block) and block != state.base.block:
            cast_vote(state, VoteKind.NOTAR, state.slot, block, out)
            return


def _lead(state: State, out: list[Effect]) -> None:
    """R3: propose once in our slot, as soon as we hold what a justification needs."""
    slot = state.slot
    if not may_sign(state) or state.building >= slot:
        return
    if leader_of(len(state.validators.validators), state.base.epoch, slot) != state.index:
        return
    if VoteKind.PROPOSE in state.table(slot).cast:
        return
    place = find_place(state, slot)
    if place is None:
        return
    state.building = slot
    entry = state.blocks.get(place.parent)
    if entry is not None and entry.header.closes_epoch:
        _propose(state, place.parent, entry.header.slot, out)
        _notarise(state, out)
        return
    out.append(
        Build(
            epoch=state.base.epoch,
            slot=slot,
            parent=place.parent,
            justification=place.justification,
        )
    )


def _propose(state: State, block: bytes, header_slot: int, out: list[Effect]) -> None:
    slot = state.slot
    table = state.table(slot)
    if not may_sign(state) or VoteKind.PROPOSE in table.cast:
        return
    again = None
    if header_slot != slot:  # R14
        place = find_place(state, slot)
        if place is None or place.parent != block:
            return
        again = place.justification
    table.cast[VoteKind.PROPOSE] = block
    if block not in table.candidates and len(table.candidates) < CANDIDATES_MAX:
        table.candidates.append(block)
    out.append(KeepBlock(block))
    out.append(Propose(Vote(VoteKind.PROPOSE, state.base.epoch, slot, block), again))


def _fire(state: State, event: TimerFired, out: list[Effect]) -> None:
    match event.timer:
        case Timer.SKIP:
            if event.epoch == state.base.epoch:
                give_up(state, event.slot, out)
        case Timer.STANDSTILL:
            check_standstill(state, out)
            _review(state, out)
        case _:
            assert_never(event.timer)


def _finish_sync(state: State, out: list[Effect]) -> None:
    """R17: sign again. What the slot's timer and a finished build did meanwhile was lost."""
    if not state.is_syncing:
        return
    state.is_syncing = False
    if VoteKind.PROPOSE not in state.table(state.slot).cast:
        state.building = min(state.building, state.slot - 1)
    enter_slot(state, state.slot, out)
    _review(state, out)


def _start_from(state: State, event: EpochStarted | SyncedTo, out: list[Effect]) -> State:
    """Continue from a base that is durable: the next epoch's root, or what sync brought."""
    base = event.position.base
    if (base.epoch, base.height) <= (state.base.epoch, state.base.height):
        return state
    if base.epoch == state.base.epoch:
        _move_base(state, base)
        state.params = event.position.params
        out.append(Forget(base.epoch, base.slot))
        if state.slot <= base.slot:
            enter_slot(state, base.slot + 1, out)
            state.entered_first = state.slot
        _review(state, out)
        return state
    fresh = initial_state(event.position)
    fresh.is_started = state.is_started
    fresh.is_syncing = state.is_syncing
    fresh.is_halted = state.is_halted
    fresh.progress = state.progress + 1
    out.append(Forget(state.base.epoch, 2**63))
    enter_slot(fresh, base.slot + 1, out)
    _review(fresh, out)
    return fresh


def _move_base(state: State, base: Base) -> None:
    state.base = base
    state.is_closed = False
    state.building = min(state.building, base.slot)
    prune(state)


def _restore(state: State, event: Restored, out: list[Effect]) -> None:
    """R18: take back what was durable. Nothing is sent before `Started`."""
    for vote in event.votes:
        if vote.vote.epoch == state.base.epoch and vote.vote.slot > state.base.slot:
            state.table(vote.vote.slot).cast[vote.vote.kind] = vote.vote.block
    for restored in event.blocks:
        add_block(state, restored.block, restored.header, restored.justification)
    for certificate in event.certificates:
        receive_certificate(state, certificate, out)
    for vote in event.votes:
        receive_vote(state, vote, out)


def _start(state: State, out: list[Effect]) -> None:
    state.is_started = True
    state.entered_first = state.slot
    for slot, table in sorted(state.tables.items()):
        for kind in (VoteKind.PROPOSE, VoteKind.NOTAR):
            block = table.cast.get(kind)
            if block in state.blocks and block not in table.candidates and slot >= state.slot:
                table.candidates.append(block)
    enter_slot(state, state.slot, out)
    arm_standstill(state, out)
    _review(state, out)
