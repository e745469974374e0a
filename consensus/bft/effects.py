"""What the driver has to do, in this order; a crash between any two of them must be harmless.

R18: whatever `Keep...` effects came before a `Cast` or `Propose` is durable before its signature
exists, and the signature is in the sign state before it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from andon.core.block import Justification
from andon.core.certificate import Certificate, SignedVote, Vote
from consensus.bft.events import Timer


@dataclass(frozen=True, slots=True)
class KeepCertificate:
    """Store before the next signature."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class KeepBlock:
    """Store the body before the next signature: what we vote for must not be lost."""

    block: bytes


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what was kept for slots up to `slot` of `epoch` and for earlier epochs."""

    epoch: int
    slot: int
    above: int | None = None
    """R20: drop of this epoch alone, and only what lies above this slot."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Sign, send to everybody, and feed back as `VoteReceived`."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Propose:
    """Sign a PROPOSE vote and send the block as a proposal to everybody."""

    vote: Vote
    slot_justification: Justification | None


@dataclass(frozen=True, slots=True)
class SendCertificate:
    """Send to everybody (R9, R10)."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class SendVote:
    """Send an own vote again (R10)."""

    vote: SignedVote


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Feed back `TimerFired` after `delay_ms` of a monotonic clock."""

    timer: Timer
    epoch: int
    slot: int
    delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Make a block on `parent`; answer with `BlockBuilt` or `BuildFailed`."""

    epoch: int
    slot: int
    parent: bytes
    justification: Justification


@dataclass(frozen=True, slots=True)
class Validate:
    """Check a block whose header we have; get its body from whoever has it. The parent is known.

    `is_certified`: a quorum made it final, so its prediction outputs are taken as they are.
    """

    block: bytes
    is_certified: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get a block that a certificate names; ask one peer after the other until it comes (R19)."""

    block: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Make a block and its ancestors durable as final; answer `BlockCommitted`/`EpochStarted`."""

    block: bytes
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Others are so far ahead that blocks must be taken from them."""

    epoch: int
    slot: int


@dataclass(frozen=True, slots=True)
class Report:
    """A pair of votes that no honest validator signs (R15): make an evidence transaction."""

    first: SignedVote
    second: SignedVote


@dataclass(frozen=True, slots=True)
class Halt:
    """Two conflicting Final certificates: more than a third is faulty. Sign nothing more."""

    first: Certificate
    second: Certificate


@dataclass(frozen=True, slots=True)
class Diverged:
    """A final block cannot be executed here: our software or disk differs. Sign nothing more."""

    block: bytes
    certificate: Certificate


Effect = Union[
    KeepCertificate,
    KeepBlock,
    Forget,
    Cast,
    Propose,
    SendCertificate,
    SendVote,
    SetTimer,
    Build,
    Validate,
    Fetch,
    Commit,
    CatchUp,
    Report,
    Halt,
    Diverged,
]
