"""Whose turn a slot is, and what the leader may build upon (R3, R4)."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import Justification
from andon.core.certificate import Certificate, VoteKind
from andon.core.hashing import ZERO_DIGEST
from consensus.bft.state import SlotTable, State


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next block may stand."""

    parent: bytes
    justification: Justification


def leader_of(validators_count: int, epoch: int, slot: int) -> int:
    """R3: leaders take turns by index; an epoch starts with another one than the last."""
    return (epoch + slot) % validators_count


def find_place(state: State, slot: int) -> Place | None:
    """Find the highest certified valid block below `slot` with a Skip of every slot between.

    None if a certificate is missing or the block is not valid for us (yet).
    """
    skips: list[Certificate] = []
    for below in range(slot - 1, state.base.slot, -1):
        table = state.tables.get(below)
        if table is None:
            return None
        parent = _certified(state, table)
        if parent is not None:
            return Place(parent.vote.block, Justification(parent, tuple(reversed(skips))))
        skip = table.certificates.get((VoteKind.SKIP, ZERO_DIGEST))
        if skip is None:
            return None
        skips.append(skip)
    return Place(state.base.block, Justification(state.base.certificate, tuple(reversed(skips))))


def _certified(state: State, table: SlotTable) -> Certificate | None:
    for (kind, block), certificate in table.certificates.items():
        if kind is not VoteKind.SKIP and state.is_valid(block):
            return certificate
    return None
