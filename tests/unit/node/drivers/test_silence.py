"""A validator that feeds another one certified blocks as it likes does not silence it.

The parts are the real ones: four consensus drivers, one of them beside a catch-up whose only
source is the strategist.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from andon.core.block import Block, Header
from andon.core.certificate import Certificate, ValidatorSet, VoteKind
from andon.core.errors import InvalidInput, Unavailable
from andon.core.wire import AdoptableBlock, Effects, FinalBlock, Message, Status, VoteMessage
from node.drivers.certified import CertifiedChain
from node.drivers.claims import Claims
from node.drivers.silence import LAG_NOW, LAST_MILE_S, Silence
from node.drivers.sync import SyncDriver
from node.drivers.windows import WINDOW_BLOCKS
from tests.unit.node.drivers import consensus_net
from tests.unit.node.drivers.consensus_net import CHAIN_ID, AsyncChain, Net
from tests.unit.node.drivers.test_sync import SET, make_chain

PARAMS = msgspec.structs.replace(consensus_net.PARAMS, idle_block_ms=100)
WAY_S = 0.06
LATE_S = 0.45
LOOK_S = 0.002


class Ledger:
    """The victim's chain, as the catch-up drives it."""

    def __init__(self, chain: AsyncChain) -> None:
        self._chain = chain
        self.head = chain.head
        self.validate = chain.validate

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        return self._chain.validators(epoch)

    async def adopt(
        self, blocks: Sequence[tuple[Block, Effects | None]]
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        for taken, (block, _) in enumerate(blocks):
            try:
                await self._chain.validate(block, is_certified=True)
            except (InvalidInput, Unavailable) as error:
                return taken, error
        return len(blocks), None

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        return await self._chain.commit(identity, certificates[-1])


class Attack:
    """The network, its victim, and what the strategist gives."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(consensus_net, "PARAMS", PARAMS)
        self.net = Net(folder)
        # The strategist is asked first: peers take turns, in the order of their keys.
        self.strategist, self.victim, *self.others = sorted(key.public for key in self.net.keys)
        self.strategy: Callable[[int, int], Awaitable[list[FinalBlock]]] = self.fresh
        self.cast: Counter[VoteKind] = Counter()
        self.silent_s = self.held_s = 0.0
        self.sync: SyncDriver
        self._given = 0

    @property
    def finals(self) -> list[FinalBlock]:
        """The longest chain there is: the strategist hears of each block first."""
        return max((disk.finals for disk in self.net.disks.values()), key=len)

    # -- what the catch-up asks for ---------------------------------------------------------

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        return []  # as of an earlier release

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        if node_key == self.strategist:
            return await self.strategy(first, count)
        return self.finals[first - 1 : first - 1 + count]

    async def fresh(self, first: int, count: int) -> list[FinalBlock]:
        """Give each block as soon as it is final, alone in its window."""
        if first == self._given + 1 and self._given >= len(self.finals):
            self._given = 0
            return []
        while len(self.finals) < first:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.001)
        self._given = len(self.finals)
        return self.finals[first - 1 : self._given]

    async def late(self, first: int, count: int) -> list[FinalBlock]:
        """Give what enough others claim as late as still counts, and what nobody does at once."""
        if count == WINDOW_BLOCKS:
            return await self.fresh(first, count)
        await asyncio.sleep(LATE_S)
        return self.finals[first - 1 : first - 1 + count]

    # -- the run ----------------------------------------------------------------------------

    async def run(self, blocks: int, *, missed: int = 0) -> None:
        """Make blocks; the victim is cut off while the first `missed` are made."""
        async with asyncio.TaskGroup() as group:
            for key in self.net.keys:
                self.net.start(key, group)
            self._prepare(self.net.chains[self.victim])
            await self.net.reach(3)
            self.net.cut = [self.victim] if missed else []
            start = len(self.finals)
            await self._reach(start + missed)
            self.net.cut = []
            works = (self.sync.run(), self._tell(), self._watch())
            tasks = [group.create_task(work) for work in works]
            self.cast.clear()
            await self._reach(start + missed + blocks)
            for task in tasks:
                task.cancel()
            await self.net.stop_all()
        assert self.net.evidence == []

    async def _reach(self, height: int) -> None:
        async with asyncio.timeout(60):
            while len(self.finals) < height:  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.01)

    def _prepare(self, chain: AsyncChain) -> None:
        driver = self.net.drivers[self.victim]
        self.sync = SyncDriver(
            CHAIN_ID,
            CertifiedChain(Ledger(chain), driver.advance),
            self,
            adopts=True,
            punish=lambda key, penalty, reason: self.net.punished.append(reason),
            sync_started=driver.sync_started,
            sync_ended=self._ended,
            validator_of=lambda node_key: node_key,
        )
        self.net.brought[self.victim] = lambda: self.sync.brings_to
        receive, broadcast = driver.receive, driver.transport.broadcast

        def later(peer_key: bytes, message: Message) -> None:
            asyncio.get_running_loop().call_later(WAY_S, receive, peer_key, message)

        def noted(message: Message) -> None:
            if isinstance(message, VoteMessage):
                self.cast[message.vote.vote.kind] += 1
            broadcast(message)

        driver.receive = later  # type: ignore[method-assign] # a long way to the others
        driver.transport.broadcast = noted  # type: ignore[method-assign] # listens

    def _ended(self) -> None:
        chain = self.net.chains[self.victim]
        final = chain.final_block(chain.head().height)
        assert final is not None
        self.net.drivers[self.victim].synced_to(final.block.header, final.certificate)

    async def _tell(self) -> None:
        while True:
            for key in self.others:
                height = self.net.chains[key].head().height
                self.sync.note_status(key, Status(height, 0, height, bytes(32)))
            self.sync.note_status(self.strategist, Status(10**6, 0, 10**6, bytes(32)))
            await asyncio.sleep(0.1)

    async def _watch(self) -> None:
        driver, loop = self.net.drivers[self.victim], asyncio.get_running_loop()
        last_s = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = loop.time()
            self.silent_s += (now_s - last_s) * driver.status().is_syncing
            self.held_s += (now_s - last_s) * (self.sync.brings_to > 0)
            last_s = now_s


@pytest.mark.parametrize("name", ["fresh", "late"])
async def test_who_feeds_a_validator_at_the_tip_keeps_it_from_no_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    attack = Attack(tmp_path, monkeypatch)
    attack.strategy = getattr(attack, name)
    await attack.run(40)
    # Undisturbed it casts 39 or 40 of each; it cast 11 and 1, or 24 and 24.
    assert attack.cast[VoteKind.NOTAR] >= 36
    assert attack.cast[VoteKind.FINAL] >= 36
    assert (attack.silent_s, attack.held_s) == (0, 0)


async def test_who_feeds_a_validator_that_was_behind_keeps_it_silent_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = Attack(tmp_path, monkeypatch)
    attack.strategy = attack.late
    await attack.run(40, missed=2 * LAG_NOW)
    assert attack.silent_s < 2 * LATE_S + LAST_MILE_S
    assert attack.cast[VoteKind.NOTAR] >= 15


def test_the_end_of_an_epoch_that_consensus_passed_meanwhile_silences_nobody() -> None:
    heads = make_chain(3)
    closing = msgspec.structs.replace(heads[1].block.header, next_validators_hash=bytes([1]) * 32)
    window = [heads[0].block.header, closing, heads[2].block.header]
    claims = Claims(lambda key: None)
    claims.note(b"a", 3)
    head = window[0]
    silence = Silence(claims, lambda: head, lambda: SET)
    silence.hurry()
    assert silence.is_worth(window, 0)
    head = closing
    assert not silence.is_worth(window, 0)
