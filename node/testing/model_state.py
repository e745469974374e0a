"""Local states of the exhaustive search: one honest core, and what may still happen to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
)
from consensus import bft

VALIDATORS = 4
QUORUM = 3
SET = ValidatorSet(tuple(Validator(bytes([n + 1]) * 32, 1) for n in range(VALIDATORS)))
SIGNERS = tuple(Signer(n, b"") for n in range(QUORUM))
"""The core does not look at signatures; certificates of one vote are all alike."""

Subject = tuple[VoteKind, int, bytes]
Move = tuple[object, ...]
"""One thing that the enemy lets happen to a validator."""


@dataclass(slots=True)
class Node:
    """`undecided` are slots where neither Skip nor Final was signed; `leads`, slots to come."""

    state: bft.State
    casts: frozenset[Subject]
    held: frozenset[Subject]
    proposals: tuple[bytes, ...]
    undecided: frozenset[int]
    leads: tuple[int, ...]
    can_notar: bool
    can_skip: bool
    moves: dict[Move, int] = field(default_factory=dict)


def node_of(state: bft.State, slots: int) -> Node:
    """Describe a core: what it signed, holds and may still choose in the first `slots`."""
    casts: list[Subject] = []
    held: list[Subject] = []
    proposals: list[bytes] = []
    undecided = [slot for slot in range(1, slots + 1) if slot not in state.tables]
    for slot, table in state.tables.items():
        if slot > slots:
            continue
        held += [(kind, slot, block) for kind, block in table.certificates]
        if VoteKind.SKIP not in table.cast and VoteKind.FINAL not in table.cast:
            undecided.append(slot)
        for kind, block in table.cast.items():
            if kind is VoteKind.PROPOSE:
                proposals.append(block)
            else:
                casts.append((kind, slot, block))
    cast = state.table(state.slot).cast
    turns = [
        slot
        for slot in range(state.slot, slots + 1)
        if bft.leader_of(VALIDATORS, 0, slot) == state.index
        and not (slot == state.slot and VoteKind.PROPOSE in cast)
    ]
    return Node(
        state=state,
        casts=frozenset(casts),
        held=frozenset(held),
        proposals=tuple(proposals),
        undecided=frozenset(undecided),
        leads=tuple(turns),
        can_notar=VoteKind.NOTAR not in cast,
        can_skip=VoteKind.SKIP not in cast and VoteKind.FINAL not in cast,
    )


def certificate_of(subject: Subject) -> Certificate:
    """Make the certificate of a subject; there is one of each."""
    kind, slot, block = subject
    return Certificate(Vote(kind, 0, slot, block), SIGNERS)


def is_contradiction(left: Subject, right: Subject) -> bool:
    """Same slot, and no honest validator signs both: 2Q - W of the weight did."""
    if left[1] != right[1] or left == right:
        return False
    kinds = {left[0], right[0]}
    if len(kinds) == 1:
        return left[2] != right[2] and left[0] is not VoteKind.SKIP
    return kinds == {VoteKind.FINAL, VoteKind.SKIP}
