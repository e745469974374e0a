"""Some blocks in a row from whichever peers have them: one peer after the other, each in its time.

Heights decide whom to ask first, slowness who is asked last. What comes is unchecked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.core.errors import InvalidInput, Unavailable
from andon.core.wire import AdoptableBlock, Effects, FinalBlock
from node.drivers.claims import Claims

WINDOW_BLOCKS = 32
WINDOW_S = 5.0
"""Windows are applied in order: a peer that gives one no faster is left for the next peer."""
LAST_WINDOW_S = 60.0
"""For the last peer there is; longer than a request may take, so that a slow link gets ahead."""
PENALTY_LIE = 50.0

log = structlog.get_logger()


class Source(Protocol):
    """Final blocks at peers."""

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        """Fetch some with what they did; none if it is not kept there. Raises as `blocks`."""

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        """Fetch some. Raises Unavailable or InvalidInput."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A block, whoever gave it, and what it is said to have done, if that was said."""

    peer: bytes
    final: FinalBlock
    effects: Effects | None


class Windows:
    """Fetches windows; several may be under way at a time."""

    def __init__(
        self,
        source: Source,
        claims: Claims,
        *,
        adopts: bool,
        punish: Callable[[bytes, float, str], None],
    ) -> None:
        """Unless it `adopts`, blocks are asked for without what they did (S6)."""
        self._source = source
        self._claims = claims
        self._adopts = adopts
        self._punish = punish

    async def fetch(self, first: int, count: int) -> list[Offer]:
        """Fetch one window, going from peer to peer; shorter if nobody gives the rest."""
        got: list[Offer] = []
        peers = self._claims.in_turn(first, first // WINDOW_BLOCKS, _now_s())
        for peer in peers:
            try:
                async with asyncio.timeout(LAST_WINDOW_S if peer is peers[-1] else WINDOW_S):
                    await self._fill(got, peer, first, count)
            except TimeoutError:
                log.info("sync.slow_peer", peer=peer.hex()[:16], first=first, got=len(got))
                self._claims.note_slow(peer, _now_s())
            if len(got) >= count:
                break
        return got

    async def _fill(self, got: list[Offer], peer: bytes, first: int, count: int) -> None:
        """Add what one peer gives of a window; what came stays if it is cut off."""
        while len(got) < count:
            try:
                offers = await self._ask(peer, first + len(got), count - len(got))
            except Unavailable:
                return
            except InvalidInput as error:
                self._punish(peer, PENALTY_LIE, f"sync {error.code.name}")
                return
            heights = [offer.final.block.header.height for offer in offers]
            expected = list(range(first + len(got), first + len(got) + len(offers)))
            if heights != expected or not offers or len(offers) > count - len(got):
                return
            got += offers

    async def _ask(self, peer: bytes, first: int, count: int) -> list[Offer]:
        """Ask for blocks with what they did, and for blocks alone where that is not kept."""
        if self._adopts:
            found = await self._source.adoptable(peer, first, count)
            if found:
                return [Offer(peer, item.final, item.effects) for item in found]
        blocks = await self._source.blocks(peer, first, count)
        return [Offer(peer, final, None) for final in blocks]


def _now_s() -> float:
    return asyncio.get_running_loop().time()
