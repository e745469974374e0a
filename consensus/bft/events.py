"""What can happen to the core. Signatures in events are verified before the core sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from andon.core.block import Header, Justification
from andon.core.certificate import Certificate, SignedVote
from andon.core.genesis import Params
from consensus.bft.state import Position


class Timer(Enum):
    """Names of timers. Timers are never cancelled: a stale one is ignored."""

    SKIP = "skip"
    STANDSTILL = "standstill"


@dataclass(frozen=True, slots=True)
class Started:
    """The driver is ready to perform effects; comes once, after `Restored`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was durable before a restart: own votes, certificates, unfinal blocks with their ids."""

    votes: tuple[SignedVote, ...]
    certificates: tuple[Certificate, ...]
    blocks: tuple[BlockReceived, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalReceived:
    """A leader's proposal; `vote.block` is the hash of `header`, which fits `justification`.

    `slot_justification` is None unless the block that closes an epoch is proposed again.
    """

    vote: SignedVote
    header: Header
    justification: Justification
    slot_justification: Justification | None


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A vote of anybody, our own included."""

    vote: SignedVote


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """A certificate, all of whose signatures are good."""

    certificate: Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReceived:
    """The body of a block that a `Fetch` asked for is at hand."""

    block: bytes
    header: Header
    justification: Justification


@dataclass(frozen=True, slots=True)
class BlockValidated:
    """Verdict of a `Validate`: the ledger's rules, the clock's bound, recomputed predictions.

    None says that it could not be judged now (no body, no worker): it is asked again later.
    """

    block: bytes
    verdict: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockBuilt:
    """Answer to a `Build`: a block that we hold and know to be valid."""

    slot: int
    block: bytes
    header: Header
    justification: Justification


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """A `Build` gave nothing; it is asked again when something changes in the slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class BlockCommitted:
    """A `Commit` is durable; `params` rule from now on."""

    slot: int
    epoch: int
    params: Params


@dataclass(frozen=True, slots=True)
class EpochStarted:
    """The closing block is durable: a new set rules."""

    position: Position


@dataclass(frozen=True, slots=True)
class SyncStarted:
    """We are far behind and take blocks from others: nothing is signed until the end (R17)."""


@dataclass(frozen=True, slots=True)
class SyncFinished:
    """Catching up is over."""


@dataclass(frozen=True, slots=True)
class SyncedTo:
    """Blocks up to the position's base are durable, taken from others."""

    position: Position


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer that a `SetTimer` set for `epoch` and `slot`."""

    timer: Timer
    epoch: int
    slot: int


Event = Union[
    Started,
    Restored,
    ProposalReceived,
    VoteReceived,
    CertificateReceived,
    BlockReceived,
    BlockValidated,
    BlockBuilt,
    BuildFailed,
    BlockCommitted,
    EpochStarted,
    SyncStarted,
    SyncFinished,
    SyncedTo,
    TimerFired,
]
