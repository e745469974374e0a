"""What simulated nodes send besides the real messages: catch-up by blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Union

from andon.core.block import Block
from andon.core.wire import FinalBlock, Message


@dataclass(frozen=True, slots=True)
class Whole:
    """A proposal's body; travels with it, as if every transaction had been gossiped before."""

    block: Block


@dataclass(frozen=True, slots=True)
class BlocksWanted:
    """Ask for final blocks from a height on."""

    first: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Final blocks, ascending."""

    finals: tuple[FinalBlock, ...]


SimMessage = Union[Message, Whole, BlocksWanted, Blocks]


class Script(Protocol):
    """Says message by message who hears what (Twins)."""

    def delay_ms(self, now_ms: int, source: int, target: int, message: SimMessage) -> int | None:
        """Give an extra delay; None loses the message."""
        ...
