"""What a key may sign, given what it signed: pure, without input or output.

Source: rules R6 to R8 of consensus/README.md. The record covers the newest slots one by one;
everything at or below `floor` is refused, and so is every earlier epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from andon.core.certificate import Vote, VoteKind, check_vote_shape
from andon.core.codec import Record
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import ZERO_DIGEST

ENTRIES_MAX = 64
"""Slots remembered one by one; a Final may come late, but not later than this."""


class SlotRecord(Record, frozen=True):
    """What was signed in a slot: the block per kind, None if nothing."""

    slot: int
    propose: bytes | None = None
    notar: bytes | None = None
    final: bytes | None = None
    skip: bool = False


class SignState(Record, frozen=True):
    """All that the signer has to know; `entries` ascend by slot, all above `floor`."""

    epoch: int
    floor: int
    entries: tuple[SlotRecord, ...]

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and slot up to which this record speaks."""
        return self.epoch, self.entries[-1].slot if self.entries else self.floor


@dataclass(frozen=True, slots=True)
class Decision:
    """`is_new` is False if the very same vote was signed before: nothing need be written."""

    state: SignState
    is_new: bool


EMPTY = SignState(epoch=0, floor=0, entries=())


def decide(state: SignState, vote: Vote) -> Decision:
    """Allow a vote and give the state that must be durable before the signature leaves.

    Raises:
        InvalidInput: SIGN_REFUSED with the rule that forbids it; BAD_VOTE.
    """
    check_vote_shape(vote)
    if vote.epoch < state.epoch:
        raise _refused(vote, f"epoch {state.epoch} has begun")
    if vote.epoch > state.epoch:
        state = SignState(epoch=vote.epoch, floor=0, entries=())
    if vote.slot <= state.floor:
        raise _refused(vote, f"slots up to {state.floor} are closed")
    held = next((entry for entry in state.entries if entry.slot == vote.slot), None)
    entry = held or SlotRecord(slot=vote.slot)
    changed = _with_vote(entry, vote)
    if held is not None and changed == held:
        return Decision(state, is_new=False)
    entries = sorted(
        (changed, *(other for other in state.entries if other.slot != vote.slot)),
        key=lambda item: item.slot,
    )
    floor = state.floor
    if len(entries) > ENTRIES_MAX:
        floor = entries[0].slot
        entries = entries[1:]
        if vote.slot <= floor:
            raise _refused(vote, "the slot is older than all that are remembered")
    return Decision(SignState(state.epoch, floor, tuple(entries)), is_new=True)


def raise_floor(state: SignState, epoch: int, slot: int) -> SignState:
    """Close all slots up to `slot` of `epoch`: they are final, or lie before a catch-up."""
    if epoch < state.epoch or (epoch == state.epoch and slot <= state.floor):
        return state
    kept = tuple(entry for entry in state.entries if entry.slot > slot)
    return SignState(epoch, slot, kept if epoch == state.epoch else ())


def votes_of(state: SignState) -> tuple[Vote, ...]:
    """All votes that the record remembers, for saying them again after a restart."""
    votes: list[Vote] = []
    for entry in state.entries:
        for kind, block in (
            (VoteKind.PROPOSE, entry.propose),
            (VoteKind.NOTAR, entry.notar),
            (VoteKind.SKIP, ZERO_DIGEST if entry.skip else None),
            (VoteKind.FINAL, entry.final),
        ):
            if block is not None:
                votes.append(Vote(kind, state.epoch, entry.slot, block))
    return tuple(votes)


def _with_vote(entry: SlotRecord, vote: Vote) -> SlotRecord:
    match vote.kind:
        case VoteKind.SKIP:
            if entry.final is not None:
                raise _refused(vote, "Final was signed in this slot")
            return msgspec.structs.replace(entry, skip=True)
        case VoteKind.FINAL:
            if entry.skip:
                raise _refused(vote, "Skip was signed in this slot")
            _require_same(entry.final, vote)
            return msgspec.structs.replace(entry, final=vote.block)
        case VoteKind.NOTAR:
            _require_same(entry.notar, vote)
            return msgspec.structs.replace(entry, notar=vote.block)
        case VoteKind.PROPOSE:
            _require_same(entry.propose, vote)
            return msgspec.structs.replace(entry, propose=vote.block)


def _require_same(signed: bytes | None, vote: Vote) -> None:
    if signed is not None and signed != vote.block:
        raise _refused(vote, f"block {signed.hex()[:16]} was signed in this slot")


def _refused(vote: Vote, reason: str) -> InvalidInput:
    return InvalidInput(
        Code.SIGN_REFUSED,
        f"{vote.kind.name} in epoch {vote.epoch}, slot {vote.slot}: {reason}",
        hint="if this repeats, another process may hold the same key",
        epoch=vote.epoch,
        slot=vote.slot,
    )
