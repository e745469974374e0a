"""What an honest validator may sign in a slot, given what it signed there before (R6-R8).

The signer (node/signer) enforces the same once more, on its own durable record.
"""

from __future__ import annotations

from andon.core.certificate import Vote, VoteKind
from consensus.bft.effects import Cast, Effect, KeepBlock
from consensus.bft.state import State


def may_sign(state: State) -> bool:
    """R17: observers, nodes that catch up, and nodes that saw a fork sign nothing."""
    return (
        state.index is not None
        and state.is_started
        and not state.is_syncing
        and not state.is_closed
        and not state.is_halted
    )


def may_cast(cast: dict[VoteKind, bytes], kind: VoteKind, block: bytes) -> bool:
    """R6: one PROPOSE, one Notar, one Final a slot. R7, R8: never both Final and Skip."""
    if kind in cast:
        return cast[kind] == block
    if kind is VoteKind.FINAL:
        return VoteKind.SKIP not in cast
    if kind is VoteKind.SKIP:
        return VoteKind.FINAL not in cast
    return True


def cast_vote(state: State, kind: VoteKind, slot: int, block: bytes, out: list[Effect]) -> None:
    """Have a vote signed and sent, unless the rules forbid it or it is out already."""
    if not may_sign(state):
        return
    # R20: what we signed down there is forgotten; nothing but Final is signed below the open slot.
    if slot <= state.sign_floor:
        return
    cast = state.table(slot).cast
    if kind in cast or not may_cast(cast, kind, block):
        return
    if kind is not VoteKind.SKIP and block not in cast.values():
        out.append(KeepBlock(block))
    cast[kind] = block
    out.append(Cast(Vote(kind, state.base.epoch, slot, block)))
