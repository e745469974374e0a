"""What survives a crash of a simulated node. Everything else is lost with the process.

Writes are durable when they return, as the real ones are. A crash falls between any two of them,
or into one: a transaction of the store is lost whole, a slot of the sign state is torn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from andon.core.certificate import SignedVote, Vote, vote_signing_bytes
from andon.core.errors import Code, Corrupt
from andon.core.hashing import Domain, digest
from andon.core.wire import FinalBlock
from node.signer.file import seal, unseal
from node.signer.state import EMPTY, SignState, decide, raise_floor, votes_of

SIGNATURE_BYTES = 16
STORE, SIGN_STATE, DEAD = "store", "sign_state", "dead"

_UNUSED = seal(0, EMPTY)
Tear = Callable[[str, int], int]
"""Called before a write of so many bytes, by its name: raises if the process dies before it, gives
how many bytes reach the disk. If fewer than all do, it is called once more to end the process."""


@dataclass(slots=True)
class Disk:
    """Final blocks by height (from 1), the consensus store, the sign state in two slots."""

    finals: list[FinalBlock] = field(default_factory=list)
    entries: dict[bytes, bytes] = field(default_factory=dict)
    sign_state: SignState = EMPTY
    slots: list[bytes] = field(default_factory=lambda: [_UNUSED, b""])
    sequence: int = 0

    def copy(self) -> Disk:
        """A backup."""
        return Disk(
            list(self.finals), dict(self.entries), self.sign_state, list(self.slots), self.sequence
        )

    def load_sign_state(self) -> None:
        """Read the newest slot that is whole, as the real file does after a crash."""
        found = [slot for content in self.slots if (slot := unseal(content)) is not None]
        assert found, "both slots of a sign state are spoiled"
        newest = max(found, key=lambda slot: slot.sequence)
        self.sign_state, self.sequence = newest.state, newest.sequence

    def write_sign_state(self, state: SignState, tear: Tear | None) -> None:
        """Write the older slot. Where nothing crashes there is no need for the bytes."""
        if tear is not None:
            content = seal(self.sequence + 1, state)
            written = tear(SIGN_STATE, len(content))
            place = (self.sequence + 1) % 2
            self.slots[place] = content[:written] + self.slots[place][written:]
            if written < len(content):
                tear(DEAD, 0)
        self.sequence += 1
        self.sign_state = state


class DiskStore:
    """A `ConsensusStore`."""

    def __init__(self, disk: Disk, tear: Tear | None = None) -> None:
        self._disk = disk
        self._tear = tear

    def replace(self, entries: dict[bytes, bytes | None]) -> None:
        """Store or delete at once, or not at all."""
        if self._tear is not None:
            self._tear(STORE, 0)
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

    def __init__(self, chain_id: str, key: bytes, disk: Disk, tear: Tear | None = None) -> None:
        self._chain_id = chain_id
        self._key = key
        self._disk = disk
        self._tear = tear

    def sign(self, vote: Vote, validator: int) -> SignedVote:
        """Record, then sign."""
        decision = decide(self._disk.sign_state, vote)
        if decision.is_new:
            self._disk.write_sign_state(decision.state, self._tear)
        message = vote_signing_bytes(self._chain_id, vote)
        return SignedVote(vote, validator, fake_signature(self._key, message))

    def votes(self) -> tuple[Vote, ...]:
        """What was signed and may still matter."""
        return votes_of(self._disk.sign_state)

    def advance(self, epoch: int, slot: int) -> None:
        """Close slots."""
        if (epoch, slot) > self._disk.sign_state.position:
            state = raise_floor(self._disk.sign_state, epoch, slot)
            self._disk.write_sign_state(state, self._tear)

    def check_not_older(self, epoch: int, slot: int) -> None:
        """Refuse to start with a sign state from a backup.

        Raises:
            Corrupt: STORAGE_DAMAGED.
        """
        if self._disk.sign_state.position < (epoch, slot):
            raise Corrupt(Code.STORAGE_DAMAGED, "the sign state is older than the chain")


def lose(disk: Disk, backup: Disk, how: str) -> None:
    """Do to a disk what an accident or a well-meant restore does (`options.LOSSES`)."""
    if how in ("wiped", "restored"):
        disk.finals = backup.finals if how == "restored" else []
        disk.entries = backup.entries if how == "restored" else {}
    if how in ("restored", "sign_state_old"):
        disk.sign_state, disk.sequence = backup.sign_state, backup.sequence
        disk.slots = backup.slots
