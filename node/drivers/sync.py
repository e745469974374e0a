"""Catch-up: fetch final blocks from several peers at once, check each, adopt or execute, commit.

Heights that peers claim are hints: a claim is followed only as far as certified blocks arrive,
and forgotten when its peer cannot prove it. May be entered at any time, beside consensus, whose
commits and ours are idempotent; consensus does not vote meanwhile (`is_syncing`), and is told
where the chain stands at the end. Rules S1 to S9: docs/protocol.md, Catching up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from andon.core.block import Header
from andon.core.certificate import Certificate, ValidatorSet
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.wire import Status
from node.drivers.certified import check_run, runs_of
from node.drivers.claims import Claims
from node.drivers.commits import Commits
from node.drivers.silence import Outcome, Silence
from node.drivers.windows import (
    LAST_WINDOW_S,
    PENALTY_LIE,
    WINDOW_BLOCKS,
    WINDOW_S,
    WINDOWS_AHEAD_MAX,
    Offer,
    Source,
    Windows,
)

BLOCKS_PER_COMMIT = 16
"""One flush of the disk for so many blocks."""
LOOK_EVERY_S = 0.5
UNPROVED_RULE = "outputs"

log = structlog.get_logger()


class Chain(Protocol):
    """The executed chain."""

    def head(self) -> Header:
        """Last final header."""

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Validators of an epoch that the chain has reached."""

    async def take_over(
        self, run: Sequence[Offer], *, adopts: bool
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        """Adopt or execute certified blocks; how many, and why not the next one."""

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make a block and its ancestors durable, with the certificates that name them."""


class SyncDriver:
    """Follows the claims of peers."""

    def __init__(
        self,
        chain_id: str,
        chain: Chain,
        source: Source,
        *,
        adopts: bool,
        punish: Callable[[bytes, float, str], None],
        sync_started: Callable[[], None],
        sync_ended: Callable[[], None],
        validator_of: Callable[[bytes], bytes | None],
    ) -> None:
        """Unless it `adopts`, signatures are checked and every block is executed (S6)."""
        self._chain_id = chain_id
        self._chain = chain
        self._adopts = adopts
        self._punish = punish
        self._sync_started = sync_started
        self._sync_ended = sync_ended
        self._claims = Claims(validator_of)
        self._windows = Windows(source, self._claims, adopts=adopts, punish=punish)
        self._news = asyncio.Event()
        self._silence = Silence(self._claims, chain.head, chain.validators)
        self._tip = chain.head()
        self._certificates: list[Certificate] = []
        self._commits: Commits
        self._outcome = Outcome.NOTHING

    @property
    def is_syncing(self) -> bool:
        """Certified blocks come this way, and consensus is silent."""
        return self._silence.is_silent

    # -- claims ---------------------------------------------------------------------------

    def note_status(self, node_key: bytes, status: Status) -> None:
        """Remember what a peer claims."""
        self._claims.note(node_key, status.height)
        if self._silence.is_behind(_now_s()):
            self._news.set()

    def hurry(self) -> None:
        """Consensus sees that others are ahead: the smallest lag is reason enough now."""
        self._silence.hurry()
        self._news.set()

    def forget(self, node_key: bytes) -> None:
        """A peer is gone."""
        self._claims.forget(node_key)

    def claimed(self, node_key: bytes) -> int:
        """Height a peer claimed last; 0 if none."""
        return self._claims.height(node_key)

    @property
    def lag(self) -> int:
        """Blocks above our head while we catch up, else 0.

        As far as enough weight claims them: one peer alone must not make us deaf to gossip. Only
        where validators claim nothing, as at a node that has no link to them, all claims count.
        """
        claimed = self.supported_height or self.best_claim
        return max(0, claimed - self._chain.head().height) if self.is_syncing else 0

    @property
    def best_claim(self) -> int:
        """The highest claim worth a try; one peer alone may have made it up."""
        return self._claims.best(_now_s())

    @property
    def supported_height(self) -> int:
        """The highest height for which more weight stands than may lie."""
        return self._silence.supported_height

    @property
    def brings_to(self) -> int:
        """Height up to which certified blocks come this way now; 0 if they do not (S9)."""
        return self._silence.brings_to(_now_s())

    # -- catching up ----------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the claims until cancelled."""
        while True:
            self._silence.watch(_now_s())
            if self._silence.is_behind(_now_s()):
                await self.catch_up()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()

    async def catch_up(self) -> None:
        """Fetch and commit until no claim is above our head.

        Consensus stops signing when the first block comes this way, not before: mostly it is only
        a moment behind and needs no help.
        """
        self._silence.begin(_now_s())
        start = self._chain.head().height
        log.info("sync.started", height=start, target=self.best_claim)
        try:
            while self._silence.is_behind(_now_s()):
                await self._round()
                if self._silence.end_round(self._outcome, _now_s()):
                    self._sync_ended()
        except asyncio.CancelledError:
            # The node stops, and consensus with it: there is nobody left to be told.
            self._silence.end()
            raise
        finally:
            if self._silence.end():
                self._sync_ended()
            log.info("sync.ended", height=self._chain.head().height, start=start)

    def _is_worth(self, window: Sequence[Offer]) -> bool:
        return self._silence.is_worth([offer.header for offer in window], _now_s())

    async def _round(self) -> None:
        """Fetch windows ahead in parallel and apply them in order, until one fails.

        First as far as more weight claims than may lie: whoever claims more alone must not keep a
        validator silent by an answer that does not come (S8).
        """
        begin, supported = self._chain.head().height + 1, self.supported_height
        is_hint = 0 < supported < begin
        target = supported if supported >= begin else self.best_claim
        fetching: deque[asyncio.Task[list[Offer]]] = deque()
        self._tip, self._certificates = self._chain.head(), []
        self._outcome = Outcome.NOTHING
        async with asyncio.TaskGroup() as group:
            self._commits = Commits(group, self._chain)
            try:
                while begin <= target or fetching:
                    while begin <= target and len(fetching) < WINDOWS_AHEAD_MAX:
                        count = min(WINDOW_BLOCKS, target + 1 - begin)
                        window_s = WINDOW_S if is_hint else LAST_WINDOW_S
                        fetch = self._windows.fetch(begin, count, window_s)
                        fetching.append(group.create_task(fetch))
                        begin += count
                    window = await fetching.popleft()
                    if window and not self._is_worth(window):
                        self._outcome = Outcome.LEFT
                        break
                    for run in runs_of(window):
                        await self._apply(run)
                    if len(window) < WINDOW_BLOCKS:
                        break  # the end of what anybody proves, or a gap: look again
                await self._flush(is_awaited=True)
            except Unavailable as error:
                log.info("sync.interrupted", reason=str(error)[:200])
                with contextlib.suppress(Unavailable):
                    await self._flush(is_awaited=True)
            finally:
                for task in fetching:
                    task.cancel()

    async def _apply(self, offers: list[Offer]) -> None:
        """Check and take over a run, commit at times; raises Unavailable to end the round."""
        head = self._chain.head()
        run = [offer for offer in offers if offer.header.height > head.height]
        if not run:
            return  # consensus was faster
        tip = self._tip if self._tip.height > head.height else head
        try:
            validators = self._chain.validators(run[0].header.epoch)
        except InvalidInput as error:
            raise self._blame(run[0], error) from None
        checked = await asyncio.to_thread(check_run, self._chain_id, validators, tip, run)
        count: int = checked[0]
        failure: InvalidInput | Unavailable | None = checked[1]
        if count:
            if self._silence.starts():  # S8: what is not certified silences nobody
                self._sync_started()
            count, refused = await self._chain.take_over(run[:count], adopts=self._adopts)
            failure = refused or failure
            await self._count_in(run[:count])
        if failure is not None:
            raise self._blame(run[count], failure)

    async def _count_in(self, taken: list[Offer]) -> None:
        for offer in taken:
            self._tip = offer.header
            self._silence.moved(_now_s())
            self._outcome = Outcome.BLOCKS
            self._claims.trust(offer.peer)
            if not offer.final.path:  # else it is committed with the descendant that is named
                self._certificates.append(offer.final.certificate)
        closes_epoch = self._tip.closes_epoch
        if len(self._certificates) >= BLOCKS_PER_COMMIT or closes_epoch:
            await self._flush(is_awaited=closes_epoch)

    def _blame(self, offer: Offer, failure: InvalidInput | Unavailable) -> Unavailable:
        """Judge whoever gave a block that was not taken; what ends the round."""
        if isinstance(failure, Unavailable):
            return failure
        if failure.code is not Code.PREDICTION_MISMATCH:
            self._claims.doubt(offer.peer, _now_s())
            # S5: no root names the outputs that only failed calls used.
            if failure.fields.get("rule") != UNPROVED_RULE:
                self._punish(offer.peer, PENALTY_LIE, f"sync {failure.code.name}")
        return Unavailable(failure.code, f"block {offer.header.height}: {failure.message}")

    async def _flush(self, *, is_awaited: bool) -> None:
        """Make what is validated and certified durable, in one step of the disk."""
        certificates, self._certificates = self._certificates, []
        if certificates:
            await self._commits.begin(certificates)
        if is_awaited:
            await self._commits.settle()


def _now_s() -> float:
    return asyncio.get_running_loop().time()
