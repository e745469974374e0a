"""What survives a crash of a simulated node. Everything else is lost with the process.

Writes are durable when they return, as the real ones are; a crash falls between any two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from andon.core.certificate import SignedVote, Vote, vote_signing_bytes
from andon.core.hashing import Domain, digest
from andon.core.wire import FinalBlock
from node.signer.state import EMPTY, SignState, decide, raise_floor, votes_of

SIGNATURE_BYTES = 16


@dataclass(slots=True)
class Disk:
    """Final blocks by height (from 1), the consensus store, the sign state."""

    finals: list[FinalBlock] = field(default_factory=list)
    entries: dict[bytes, bytes] = field(default_factory=dict)
    sign_state: SignState = EMPTY


class DiskStore:
    """A `ConsensusStore`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete at once."""
        for key, value in entries.items():
            if value is None:
                self._disk.entries.pop(key, None)
            else:
                self._disk.entries[key] = value

    def load(self) -> dict[bytes, bytes]:
        """Read everything."""
        return dict(self._disk.entries)


def fake_signature(key: bytes, message: bytes) -> bytes:
    """Nobody in the simulator signs with a key that is not its own; that is all it needs."""
    return digest(Domain.VOTE, key + message)[:SIGNATURE_BYTES]


class FakeSigner:
    """A `Signer` with the real rules and an instant disk."""

    def __init__(self, chain_id: str, key: bytes, disk: Disk) -> None:
        self._chain_id = chain_id
        self._key = key
        self._disk = disk

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Record, then sign."""
        self._disk.sign_state = decide(self._disk.sign_state, vote).state
        message = vote_signing_bytes(self._chain_id, vote)
        return SignedVote(vote, validator, fake_signature(self._key, message))

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter."""
        return votes_of(self._disk.sign_state)

    def advance(self, epoch: int, slot: int) -> None:
        """Close slots."""
        if (epoch, slot) > self._disk.sign_state.position:
            self._disk.sign_state = raise_floor(self._disk.sign_state, epoch, slot)

    def check_not_older(self, epoch: int, slot: int) -> None:
        """A simulated disk is never restored from a copy."""
        assert self._disk.sign_state.position >= (epoch, slot), "sign state older than the chain"
