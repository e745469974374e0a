"""What every source gives: samples of a machine, and messages that could not be understood."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

IDENTITY_BYTES = 16
GOOD, UNCERTAIN, BAD = "good", "uncertain", "bad"
QUALITIES = (GOOD, UNCERTAIN, BAD)
MACHINE_CHARACTERS_MAX = 64
VALUES_MAX = 4096
"""Values in one sample."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a machine measured at one instant; None is a value that the source knows is missing."""

    machine: str
    time_ms: int
    values: dict[str, float | None]
    quality: str = GOOD


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it came in; `token` is what its source needs to acknowledge it."""

    source: int
    topic: str
    payload: bytes
    arrived_ms: int
    token: int = 0
    note: tuple[str, bytes] | None = None
    """Name and value of a place in the source, written together with what this message did."""

    @property
    def identity(self) -> bytes:
        """Equal for a message and its redelivery: a digest of topic and payload."""
        topic = self.topic.encode()
        content = len(topic).to_bytes(4, "big") + topic + self.payload
        return hashlib.blake2b(content, digest_size=IDENTITY_BYTES).digest()


class Stray(Exception):
    """A message that is no sample: kept apart with its reason, never dropped in silence."""


class Decoder(Protocol):
    """Turns the messages of one source into samples; its memory survives in notes."""

    def decode(self, arrival: Arrival) -> list[Sample]:
        """Understand a message. Raises Stray."""

    def restore(self, notes: dict[str, bytes]) -> None:
        """Take over what was noted before the process ended."""

    def take_notes(self) -> dict[str, bytes]:
        """What has to be written with the messages decoded since the last call."""
