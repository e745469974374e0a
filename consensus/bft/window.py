"""What a validator that is behind may forget of the slots between its base and the present (R20).

Each slot above the base has a table of votes and certificates. In good times these are a few. A
validator that follows certificates but lacks blocks opens slot after slot while its base stands
still, and the tables would grow without a bound. Once it holds a Final certificate of slot f far
above its base, everything below f is decided, and the middle is dropped: more than `ENDS_SLOTS`
above the base and more than `ENDS_SLOTS` below f.

Why that is safe: the only vote that is ever signed below the open slot is Final (R6 and R8 speak of
the open slot alone, and the open slot lies above f). So nothing that was signed in a dropped slot
can be contradicted as long as no Final is signed there again: the *sign floor* is the highest slot
ever dropped, and no Final is signed at or below it in this epoch, also where a table comes into
being anew. The floor only rises. A restart brings back every vote of our own from the disk, and
the signer keeps a record of its own.

Why nothing is stuck: a block that any quorum may still notarise stands on f's block or above it
(two quorums share an honest validator), so no justification needs a certificate of a dropped slot,
and `find_place` never looks below f. A Final of ours below f is worth nothing, for f decides it.
Peers that lack f's certificate get it from us (R9, R10). Our own base passes the gap by the blocks
that lie between it and f, if they are near enough to be followed one by one, and by catching up if
not. Without a Final certificate above the base nothing is dropped: then each of those Skip
certificates may be part of the next justification.

What it costs: contradicting votes of dropped slots are not noticed here; others notice them.
"""

from __future__ import annotations

from consensus.bft.effects import Effect, Forget
from consensus.bft.state import DEPTH_MAX, REVIEWED_SLOTS, State

ENDS_SLOTS = REVIEWED_SLOTS
"""Kept at both ends: what events look at."""
GAP_SLOTS = 256
"""So many more may lie between, so that dropping is rare and its cost spread."""


def is_dropped(state: State, slot: int) -> bool:
    """Tell whether a slot lies in the middle that was dropped: what is said of it is not kept."""
    return state.base.slot + ENDS_SLOTS < slot <= state.sign_floor


def drop_middle(state: State, final_slot: int, out: list[Effect]) -> None:
    """R20: with a Final certificate of `final_slot`, forget what it decided between the ends.

    What is durable goes as well: a disk that kept it would grow while the base stands still, and
    a restart would read it all.
    """
    first = max(state.base.slot + ENDS_SLOTS, state.sign_floor)
    last = final_slot - ENDS_SLOTS - 1
    if last - first <= GAP_SLOTS:
        return
    state.sign_floor = last
    out.append(Forget(state.base.epoch, last, above=state.base.slot + ENDS_SLOTS))
    for slot in [slot for slot in state.tables if is_dropped(state, slot)]:
        del state.tables[slot]
    # Blocks go that are followed one by one neither from the base upwards nor from f downwards;
    # others would be fetched again at once.
    above, below = state.base.height + DEPTH_MAX, last - DEPTH_MAX
    gone = [
        block
        for block, entry in state.blocks.items()
        if entry.header.height > above and entry.header.slot < below
    ]
    for block in gone:
        del state.blocks[block]
