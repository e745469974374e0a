"""Catch-up: fetch final blocks from several peers at once, check each, adopt or execute, commit.

Heights that peers claim are hints: a claim is followed only as far as certified blocks arrive,
and forgotten when its peer cannot prove it. May be entered at any time, beside consensus, whose
commits and ours are idempotent; consensus does not vote meanwhile (`is_syncing`), and is told
where the chain stands at the end. Rules S1 to S6: docs/protocol.md, Catching up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate, ValidatorSet, Vote, VoteKind, check_certificate
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.wire import AdoptableBlock, Effects, FinalBlock, Status
from node.drivers.claims import Claims
from node.drivers.commits import Commits

WINDOW_BLOCKS = 32
WINDOWS_AHEAD_MAX = 4
WINDOW_S = 5.0
"""Windows are applied in order: a peer that gives one no faster is left for the next peer."""
LAST_WINDOW_S = 60.0
"""For the last peer there is; longer than a request may take, so that a slow link gets ahead."""
BLOCKS_PER_COMMIT = 16
"""One flush of the disk for so many blocks."""
LAG_NOW = 8
"""Behind by this many blocks: catch up at once."""
LAG_STALLED = 1
STALLED_S = 1.5
"""Behind by at least LAG_STALLED without a commit for this long: catch up too."""
LOOK_EVERY_S = 0.5
PENALTY_LIE = 50.0
UNPROVED_RULE = "outputs"

log = structlog.get_logger()


class Chain(Protocol):
    """The executed chain."""

    def head(self) -> Header:
        """Last final header."""

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Validators of an epoch that the chain has reached."""

    async def validate(self, block: Block, *, adopts: bool, effects: Effects | None) -> None:
        """Adopt a certified block, or execute it. Raises InvalidInput."""

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make a block and its ancestors durable, with the certificates that name them."""


class Executor(Protocol):
    """The execution driver, as far as `CertifiedChain` uses it."""

    def head(self) -> Header:
        """Last final header."""

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        """Validators of an epoch."""

    async def validate(
        self,
        block: Block,
        *,
        is_certified: bool = False,
        adopts: bool = False,
        effects: Effects | None = None,
    ) -> None:
        """Check and execute a block, or adopt it."""

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Make blocks durable."""


class CertifiedChain:
    """Takes over blocks whose Final certificate was checked: outputs are those of the quorum."""

    def __init__(self, executor: Executor, advance: Callable[[Vote], Awaitable[None]]) -> None:
        self._executor = executor
        self._advance = advance
        self.head = executor.head
        self.validators = executor.validators

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        """Close the slots in the sign state, then store: a crash in between must not matter."""
        await self._advance(certificates[-1].vote)
        return await self._executor.commit(identity, *certificates)

    async def validate(self, block: Block, *, adopts: bool, effects: Effects | None) -> None:
        """Adopt a certified block if its effects came with it; else check and execute it."""
        await self._executor.validate(block, is_certified=True, adopts=adopts, effects=effects)


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
        self._source = source
        self._adopts = adopts
        self._punish = punish
        self._sync_started = sync_started
        self._sync_ended = sync_ended
        self._claims = Claims(validator_of)
        self._news = asyncio.Event()
        self._seen_height = -1
        self._behind_since_s: float | None = None
        self._tip = chain.head()
        self._certificates: list[Certificate] = []
        self._commits: Commits
        self._is_urgent = False
        self.is_syncing = False

    # -- claims ---------------------------------------------------------------------------

    def note_status(self, node_key: bytes, status: Status) -> None:
        """Remember what a peer claims."""
        self._claims.note(node_key, status.height)
        if self._is_behind():
            self._news.set()

    def hurry(self) -> None:
        """Consensus sees that others are ahead: the smallest lag is reason enough now."""
        self._is_urgent = True
        self._news.set()

    def forget(self, node_key: bytes) -> None:
        """A peer is gone."""
        self._claims.forget(node_key)

    def claimed(self, node_key: bytes) -> int:
        """Height a peer claimed last; 0 if none."""
        return self._claims.height(node_key)

    @property
    def lag(self) -> int:
        """Blocks that peers claim above our head while we catch up, else 0."""
        return self.best_claim - self._chain.head().height if self.is_syncing else 0

    @property
    def best_claim(self) -> int:
        """The highest claim worth a try; one peer alone may have made it up."""
        return self._claims.best(_now_s())

    @property
    def supported_height(self) -> int:
        """The highest height for which more weight stands than may lie."""
        return self._claims.supported(self._chain.validators())

    def _is_behind(self) -> bool:
        lag = self.best_claim - self._chain.head().height
        if lag >= LAG_NOW or (lag >= LAG_STALLED and self._is_urgent):
            return True
        if self._behind_since_s is None:
            return False
        return _now_s() - self._behind_since_s >= STALLED_S

    def _watch_lag(self) -> None:
        """Note since when we have been behind without a commit of our own."""
        height = self._chain.head().height
        if height != self._seen_height or self.best_claim < height + LAG_STALLED:
            self._seen_height, self._behind_since_s = height, None
        elif self._behind_since_s is None:
            self._behind_since_s = _now_s()

    # -- catching up ----------------------------------------------------------------------

    async def run(self) -> None:
        """Watch the claims until cancelled."""
        while True:
            self._watch_lag()
            if self._is_behind():
                await self.catch_up()
                self._behind_since_s = None
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
        self._is_urgent = False
        start = self._chain.head().height
        log.info("sync.started", height=start, target=self.best_claim)
        try:
            while self.best_claim > self._chain.head().height:
                before = self._chain.head().height
                await self._round()
                if self._chain.head().height == before:
                    self._drop_best_claim(before)
        except asyncio.CancelledError:
            # The node stops, and consensus with it: there is nobody left to be told.
            self.is_syncing = False
            raise
        finally:
            if self.is_syncing:
                self.is_syncing = False
                self._sync_ended()
            log.info("sync.ended", height=self._chain.head().height, start=start)

    def _drop_best_claim(self, height: int) -> None:
        """Nobody could prove more than our head: the claims above it are worth nothing."""
        self._claims.drop_above(height, self._chain.validators(), _now_s())

    async def _round(self) -> None:
        """Fetch windows ahead in parallel and apply them in order, until one fails."""
        begin, target = self._chain.head().height + 1, self.best_claim
        fetching: deque[asyncio.Task[list[Offer]]] = deque()
        self._tip, self._certificates = self._chain.head(), []
        async with asyncio.TaskGroup() as group:
            self._commits = Commits(group, self._chain)
            try:
                while begin <= target or fetching:
                    while begin <= target and len(fetching) < WINDOWS_AHEAD_MAX:
                        count = min(WINDOW_BLOCKS, target + 1 - begin)
                        fetching.append(group.create_task(self._window(begin, count)))
                        begin += count
                    window = await fetching.popleft()
                    for offer in window:
                        await self._apply(offer)
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

    async def _window(self, first: int, count: int) -> list[Offer]:
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

    async def _apply(self, offer: Offer) -> None:
        """Check and take over one block, commit at times; raises Unavailable to end the round."""
        final, header, head = offer.final, offer.final.block.header, self._chain.head()
        if header.height <= head.height:
            return  # consensus was faster
        if not self.is_syncing:
            self.is_syncing = True
            self._sync_started()
        try:
            _check_follows(header, self._tip if self._tip.height > head.height else head)
            validators = self._chain.validators(header.epoch)
            await asyncio.to_thread(check_final_block, self._chain_id, validators, final)
            await self._chain.validate(final.block, adopts=self._adopts, effects=offer.effects)
        except InvalidInput as error:
            if error.code is not Code.PREDICTION_MISMATCH:
                self._claims.doubt(offer.peer, _now_s())
                # S5: no root names the outputs that only failed calls used.
                if error.fields.get("rule") != UNPROVED_RULE:
                    self._punish(offer.peer, PENALTY_LIE, f"sync {error.code.name}")
            raise Unavailable(error.code, f"block {header.height}: {error.message}") from None
        self._tip = header
        self._claims.trust(offer.peer)
        if final.path:
            return  # committed with the descendant that the certificate names
        self._certificates.append(final.certificate)
        # The next epoch's validators are known only once its closing block is final.
        if len(self._certificates) >= BLOCKS_PER_COMMIT or header.closes_epoch:
            await self._flush(is_awaited=header.closes_epoch)

    async def _flush(self, *, is_awaited: bool) -> None:
        """Make what is validated and certified durable, in one step of the disk."""
        certificates, self._certificates = self._certificates, []
        if certificates:
            await self._commits.begin(certificates)
        if is_awaited:
            await self._commits.settle()


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _check_follows(header: Header, tip: Header) -> None:
    if header.height != tip.height + 1 or header.parent != block_hash(tip):
        raise InvalidInput(Code.BAD_BLOCK, f"block {header.height} does not follow {tip.height}")


def check_final_block(chain_id: str, validators: ValidatorSet, final: FinalBlock) -> None:
    """Check that the Final certificate certifies this block, itself or through its descendants.

    Raises:
        InvalidInput: BAD_CERTIFICATE, BAD_SIGNATURE, BAD_VOTE.
    """
    header, certified = final.block.header, final.block.header
    for descendant in final.path:
        if (
            descendant.parent != block_hash(certified)
            or descendant.height != certified.height + 1
            or descendant.epoch != header.epoch
        ):
            raise InvalidInput(Code.BAD_CERTIFICATE, "the path of headers is broken")
        certified = descendant
    vote = final.certificate.vote
    if (
        vote.kind is not VoteKind.FINAL
        or vote.epoch != header.epoch
        or vote.block != block_hash(certified)
    ):
        raise InvalidInput(Code.BAD_CERTIFICATE, "the certificate names another block")
    check_certificate(chain_id, validators, final.certificate)
