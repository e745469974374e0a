"""What the consensus driver needs of others, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from andon.core.block import Block, Header, Justification
from andon.core.certificate import Certificate, SignedVote, ValidatorSet, Vote
from andon.core.errors import InvalidInput
from andon.core.genesis import Params
from andon.core.transaction import Transaction
from andon.core.wire import FinalBlock, Message
from consensus.bft import Base


class Transport(Protocol):
    """Messages to validators, named by consensus key; enqueues and returns."""

    def broadcast(self, message: Message) -> None:
        """Send to every linked peer."""
        ...

    def send(self, peer_key: bytes, message: Message) -> None:
        """Send to one."""
        ...


class ConsensusStore(Protocol):
    """A small durable map."""

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete (None) entries in one durable step; blocking."""
        ...

    def load(self) -> dict[bytes, bytes]:
        """Read everything."""
        ...


class Signer(Protocol):
    """The key and its memory (node/signer). Blocking."""

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Record durably, then sign. Raises InvalidInput SIGN_REFUSED."""
        ...

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter."""
        ...

    def advance(self, epoch: int, slot: int) -> None:
        """Close all slots up to here."""
        ...

    def check_not_older(self, epoch: int, slot: int) -> None:
        """Raise Corrupt if the record is older than the chain."""
        ...


class Chain(Protocol):
    """The ledger: `ExecutionDriver`."""

    def head(self) -> Header:
        """Last final header."""
        ...

    def head_hash(self) -> bytes:
        """Its hash."""
        ...

    def epoch(self) -> int:
        """Epoch of the next block."""
        ...

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Set of an epoch that has begun."""
        ...

    def params(self) -> Params:
        """Parameters of the next block."""
        ...

    def block(self, identity: bytes) -> Block | None:
        """A block that is executed here or final."""
        ...

    def final_block(self, height: int) -> FinalBlock | None:
        """A final block with its certificate."""
        ...

    async def wait_transactions(self, parent: bytes, timeout_ms: int) -> bool:
        """Wait for a transaction that `parent` and its ancestors lack."""
        ...

    async def build(
        self, parent: bytes, epoch: int, slot: int, justification: Justification, time_ms: int
    ) -> Block:
        """Make a block."""
        ...

    async def validate(self, block: Block, *, is_certified: bool = False) -> None:
        """Check and execute a block. Raises InvalidInput or Unavailable."""
        ...

    async def commit(self, identity: bytes, certificate: Certificate) -> Header:
        """Make a block and its ancestors durable."""
        ...


class Pool(Protocol):
    """The mempool, for assembling compact proposals."""

    def get(self, identity: bytes) -> Transaction | None:
        """Give a waiting transaction."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """Who hears what consensus notices. All are called on the loop and return at once."""

    on_evidence: Callable[[SignedVote, SignedVote], None]
    on_refused: Callable[[bytes, InvalidInput], None]
    """A block that we do not vote for, and why (PREDICTION_MISMATCH among others)."""
    on_behind: Callable[[], None]
    """Others are in a later epoch or far ahead: look at the peers' claims now."""
    may_vote: Callable[[], bool]
    """False while the worker is down: a block with predictions cannot be judged then."""
    punish: Callable[[bytes, str], None]
    """A peer (by consensus key) sent what no honest node sends."""
    brings_to: Callable[[], int] = lambda: 0
    """Height up to which a catch-up brings certified blocks now; 0 if none does (S9)."""
    on_vote_refused: Callable[[], None] = lambda: None
    """Our own signer did not sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusStatus:
    """Where this node stands; `leader` is the consensus key whose turn it is."""

    epoch: int
    slot: int
    final_slot: int
    leader: bytes
    is_validator: bool
    is_syncing: bool
    is_halted: bool
    queued_count: int
    dropped_count: int


def base_of(chain: Chain) -> Base:
    """The core's base at the last final block."""
    head, epoch = chain.head(), chain.epoch()
    final = chain.final_block(head.height) if head.height > 0 else None
    certificate = None if final is None else final.certificate
    in_epoch = certificate is not None and certificate.vote.epoch == epoch
    return Base(
        epoch=epoch,
        slot=certificate.vote.slot if certificate is not None and in_epoch else 0,
        height=head.height,
        block=chain.head_hash(),
        certificate=certificate,
    )
