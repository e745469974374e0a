"""When to give up on a slot and when to say everything again (R8, R10-R12)."""

from __future__ import annotations

from andon.core.certificate import Vote, VoteKind
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from consensus.bft.effects import Effect, Propose, SendCertificate, SendVote, SetTimer
from consensus.bft.events import Timer
from consensus.bft.leader import find_place, leader_of
from consensus.bft.safety import cast_vote, may_sign
from consensus.bft.state import State

PIPELINE_SLOTS = 3
"""Slots that are normally open above the last final one; no growth of timeouts within them."""

GROWTH_STEPS_MAX = 16
INACTIVE_SLOTS = 8
"""A leader from whom nothing came for so many slots is skipped fast (R12)."""

FAST_SKIP_DIVISOR = 40
RESEND_MAX = 256
"""R10 sends at most this many certificates a time, and goes on from there the next time."""


def skip_timeout_ms(params: Params, slot: int, base_slot: int) -> int:
    """R11: grow by half for each slot without a final block, up to a cap; a Final resets it."""
    timeout_ms = params.skip_timeout_ms
    for _ in range(min(max(slot - base_slot - PIPELINE_SLOTS, 0), GROWTH_STEPS_MAX)):
        timeout_ms = timeout_ms * 3 // 2
    return min(timeout_ms, max(params.skip_timeout_max_ms, params.skip_timeout_ms))


def is_silent(state: State, validator: int) -> bool:
    """R12: nothing came from a validator for `INACTIVE_SLOTS` slots that we watched."""
    heard = max(state.last_active[validator], state.entered_first - 1)
    return validator != state.index and state.slot - heard > INACTIVE_SLOTS


def enter_slot(state: State, slot: int, out: list[Effect]) -> None:
    """R2: open a slot and start its clock."""
    state.slot = slot
    if not state.is_started:
        return
    delay_ms = skip_timeout_ms(state.params, slot, state.base.slot)
    leader = leader_of(len(state.validators.validators), state.base.epoch, slot)
    if is_silent(state, leader):
        delay_ms //= FAST_SKIP_DIVISOR
    out.append(SetTimer(Timer.SKIP, state.base.epoch, slot, delay_ms))


def give_up(state: State, slot: int, out: list[Effect]) -> None:
    """R8: vote Skip for the open slot; never for another, never after Final."""
    if slot == state.slot:
        cast_vote(state, VoteKind.SKIP, slot, ZERO_DIGEST, out)


def check_standstill(state: State, out: list[Effect]) -> None:
    """R10: if nothing moved since the last look, send again what others may lack."""
    if state.progress == state.progress_seen:
        _send_again(state, out)
    state.progress_seen = state.progress
    arm_standstill(state, out)


def arm_standstill(state: State, out: list[Effect]) -> None:
    """Look again after `standstill_ms`."""
    out.append(SetTimer(Timer.STANDSTILL, 0, 0, state.params.standstill_ms))


def _send_again(state: State, out: list[Effect]) -> None:
    if state.base.certificate is not None:
        out.append(SendCertificate(state.base.certificate))
    later = [
        certificate
        for slot in range(state.base.slot + 1, state.slot)
        if slot in state.tables
        for certificate in state.tables[slot].certificates.values()
    ]
    start = state.resend_from if state.resend_from < len(later) else 0
    chosen = later[start : start + RESEND_MAX]
    state.resend_from = start + len(chosen)
    out.extend(SendCertificate(certificate) for certificate in chosen)
    if state.index is None or not may_sign(state):
        return
    for slot in range(max(state.base.slot + 1, state.slot - RESEND_MAX), state.slot + 1):
        table = state.tables.get(slot)
        own = {} if table is None else table.votes.get(state.index, {})
        out.extend(SendVote(vote) for vote in own.values())
    _propose_again(state, out)


def _propose_again(state: State, out: list[Effect]) -> None:
    block = state.table(state.slot).cast.get(VoteKind.PROPOSE)
    if block is None:
        return
    entry = state.blocks.get(block)
    if entry is None:
        return
    again = None
    if entry.header.slot != state.slot:
        place = find_place(state, state.slot)
        if place is None or place.parent != block:
            return
        again = place.justification
    out.append(Propose(Vote(VoteKind.PROPOSE, state.base.epoch, state.slot, block), again))
