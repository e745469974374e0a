"""Some blocks in a row from whichever peers have them: one peer after the other, each in its time.

Heights decide whom to ask first, slowness who is asked last. What comes is unchecked. Windows are
applied in order, so one slow answer holds up all of them: it is waited for a few times as long as
answers take, and what the peer left is asked of the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.core.block import Header
from andon.core.errors import InvalidInput, Unavailable
from andon.core.wire import AdoptableBlock, Effects, FinalBlock
from node.drivers.claims import Claims

WINDOW_BLOCKS = 32
WINDOWS_AHEAD_MAX = 4
WINDOW_S = 5.0
"""A peer that gives a window no faster, in however many answers, is left for the next peer."""
PATIENCE_TIMES = 4
"""An answer that takes so many times as long as others did is not waited for, either."""
PATIENCE_S_MIN = 0.5
LOOK_EVERY_S = 0.1
WEIGHT_OF_LAST = 0.25
"""How much the last answer counts in what is usual."""
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

    @property
    def header(self) -> Header:
        """Header of the block."""
        return self.final.block.header


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
        self._usual_s: float | None = None

    async def fetch(self, first: int, count: int, last_s: float) -> list[Offer]:
        """Fetch one window, going from peer to peer; shorter if nobody gives the rest.

        The last peer has `last_s` seconds for it.
        """
        got: list[Offer] = []
        peers = self._claims.in_turn(first, first // WINDOW_BLOCKS, _now_s())
        for peer in peers:
            filling = self._fill(got, peer, first, count)
            if not await self._is_in_time(filling, got, last_s if peer is peers[-1] else None):
                log.info("sync.slow_peer", peer=peer.hex()[:16], first=first, got=len(got))
                self._claims.note_slow(peer, _now_s())
            if len(got) >= count:
                break
        return got

    async def _is_in_time(
        self, work: Coroutine[None, None, None], got: list[Offer], limit_s: float | None
    ) -> bool:
        """Let a peer fill the window for `limit_s`, or until it is late; False if it is cut off."""
        began_s = moved_s = _now_s()
        size = len(got)
        async with asyncio.TaskGroup() as group:
            filling = group.create_task(work)
            while not (await asyncio.wait({filling}, timeout=LOOK_EVERY_S))[0]:
                now_s = _now_s()
                if len(got) > size:
                    size, moved_s = len(got), now_s
                is_silent = limit_s is None and now_s - moved_s >= self._patience_s()
                if is_silent or now_s - began_s >= (WINDOW_S if limit_s is None else limit_s):
                    filling.cancel()
                    return False
        return True

    def _patience_s(self) -> float:
        if self._usual_s is None:
            return WINDOW_S
        return min(WINDOW_S, max(PATIENCE_S_MIN, PATIENCE_TIMES * self._usual_s))

    def _note_answer(self, seconds: float) -> None:
        usual_s = seconds if self._usual_s is None else self._usual_s
        self._usual_s = usual_s + WEIGHT_OF_LAST * (seconds - usual_s)

    async def _fill(self, got: list[Offer], peer: bytes, first: int, count: int) -> None:
        """Add what one peer gives of a window; what came stays if it is cut off."""
        while len(got) < count:
            began_s = _now_s()
            try:
                offers = await self._ask(peer, first + len(got), count - len(got))
            except Unavailable:
                return
            except InvalidInput as error:
                self._punish(peer, PENALTY_LIE, f"sync {error.code.name}")
                return
            heights = [offer.header.height for offer in offers]
            expected = list(range(first + len(got), first + len(got) + len(offers)))
            if heights != expected or not offers or len(offers) > count - len(got):
                return
            self._note_answer(_now_s() - began_s)
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
