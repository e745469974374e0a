"""The core's tables. `step` owns them; nobody else writes."""

from __future__ import annotations

from dataclasses import dataclass, field

from andon.core.block import Header, Justification
from andon.core.certificate import Certificate, SignedVote, ValidatorSet, VoteKind
from andon.core.genesis import Params

EVIDENCE_SLOTS = 64
"""Votes stay this many slots below the last final one, so that late contradictions are seen."""

CANDIDATES_MAX = 2
"""Proposals kept of one slot: an honest leader sends one, an equivocator's second is enough."""

REVIEWED_SLOTS = 64
"""Unfinal slots that every event looks at, lowest and highest: where it can end, where we vote."""

DEPTH_MAX = 256
"""Unfinal blocks above the base that we follow one by one; deeper means to catch up."""

Subject = tuple[VoteKind, bytes]
"""What a vote or certificate of a slot says: kind and block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The last final position of the epoch that runs now.

    `slot` 0 is the epoch's root. `certificate` is a Final certificate of this block: of this
    epoch if `slot` > 0, else of the epoch before; None only on genesis.
    """

    epoch: int
    slot: int
    height: int
    block: bytes
    certificate: Certificate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the durable chain stands: the base, and who and what rules above it.

    `index` is our place in the set, None if we only follow.
    """

    base: Base
    validators: ValidatorSet
    index: int | None
    params: Params


@dataclass(slots=True)
class BlockEntry:
    """An unfinal block whose header we have.

    `verdict` is None until it was validated, `is_asked` from the question to the answer's loss,
    `is_adopted` once it is executed because it is final and no longer because we would vote.
    """

    header: Header
    justification: Justification
    verdict: bool | None = None
    is_wanted: bool = False
    is_asked: bool = False
    is_adopted: bool = False


@dataclass(slots=True)
class SlotTable:
    """All about one slot. `cast` holds what we signed or restored: kind -> block."""

    votes: dict[int, dict[VoteKind, SignedVote]] = field(default_factory=dict)
    weights: dict[Subject, int] = field(default_factory=dict)
    certificates: dict[Subject, Certificate] = field(default_factory=dict)
    candidates: list[bytes] = field(default_factory=list)
    cast: dict[VoteKind, bytes] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class State:
    """One validator's (or observer's) view of the epoch that runs."""

    validators: ValidatorSet
    index: int | None
    """Our place in the set; None means that we only follow."""
    params: Params
    base: Base
    slot: int
    """The slot that is open: one above the highest that has a certificate (R2)."""
    quorum: int
    tables: dict[int, SlotTable] = field(default_factory=dict)
    blocks: dict[bytes, BlockEntry] = field(default_factory=dict)
    fetching: dict[bytes, None] = field(default_factory=dict)
    last_active: list[int] = field(default_factory=list)
    entered_first: int = 1
    """The first slot that we entered in this process: silence before it means nothing."""
    building: int = 0
    """The slot for which a `Build` is under way or a proposal was made."""
    sign_floor: int = 0
    """R20: the highest slot whose table was dropped; no Final is signed at or below it."""
    progress: int = 0
    progress_seen: int = -1
    resend_from: int = 0
    is_started: bool = False
    is_syncing: bool = False
    is_closed: bool = False
    """The base closes the epoch: nothing more happens in it (R14)."""
    is_halted: bool = False

    def table(self, slot: int) -> SlotTable:
        """Table of a slot, made at first use."""
        found = self.tables.get(slot)
        if found is None:
            found = self.tables[slot] = SlotTable()
        return found

    def reviewed(self) -> list[int]:
        """Unfinal slots that have a table, ascending; without the middle if they are many.

        What a message costs must not grow while a validator falls behind, or it never comes
        back. The lowest are those that can be final next, and so the middle's turn comes.
        """
        slots = sorted([slot for slot in self.tables if slot > self.base.slot])
        if len(slots) <= 2 * REVIEWED_SLOTS:
            return slots
        lowest = slots[:REVIEWED_SLOTS]
        if lowest[0] <= self.sign_floor:  # what lies above the dropped middle cannot be next
            lowest = [slot for slot in lowest if slot <= self.sign_floor]
        return lowest + slots[-REVIEWED_SLOTS:]

    def certificate(self, slot: int, kind: VoteKind, block: bytes) -> Certificate | None:
        """A certificate that we hold."""
        table = self.tables.get(slot)
        return None if table is None else table.certificates.get((kind, block))

    def is_valid(self, block: bytes) -> bool:
        """Tell whether a block and all its unfinal ancestors passed our own validation (R5)."""
        while block != self.base.block:
            entry = self.blocks.get(block)
            if entry is None or not entry.verdict:
                return False
            block = entry.header.parent
        return True


def initial_state(position: Position) -> State:
    """Make the state of a process, or of an epoch, that starts at `position`."""
    base = position.base
    return State(
        validators=position.validators,
        index=position.index,
        params=position.params,
        base=base,
        slot=base.slot + 1,
        quorum=position.validators.quorum,
        last_active=[base.slot] * len(position.validators.validators),
        entered_first=base.slot + 1,
    )
