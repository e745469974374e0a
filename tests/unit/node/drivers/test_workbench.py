"""Judging bodies: whose fault a bad one is, and when another one is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from andon.core.block import Block, Justification, PredictionOutput, block_hash
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from node.drivers import workbench
from node.drivers.bodies import Bodies
from node.drivers.consensus_ports import Hooks, base_of
from node.drivers.workbench import PACE_S, REFUSED_COUNT_MAX, Workbench
from node.testing.sim.chain import genesis_header
from tests.unit.node.drivers.consensus_net import AsyncChain, Net, NoPool


class Silence:
    """Nobody hears."""

    def broadcast(self, message: object) -> None:
        raise AssertionError("nothing is broadcast here")

    def send(self, peer_key: bytes, message: object) -> None:
        return


class Ledger(AsyncChain):
    """A chain whose verdicts are given by the test."""

    def __init__(self, net: Net) -> None:
        super().__init__(net.set, next(iter(net.disks.values())), [])
        self.verdicts: list[Exception | None] = []
        self.asked: list[bool] = []

    async def validate(self, block: Block, *, is_certified: bool = False) -> None:
        self.asked.append(is_certified)
        verdict = self.verdicts.pop(0)
        if verdict is not None:
            raise verdict


class Desk:
    def __init__(self, net: Net) -> None:
        self.chain = Ledger(net)
        self.refused: list[InvalidInput] = []
        self.can_vote = True
        hooks = Hooks(
            on_evidence=lambda first, second: None,
            on_refused=lambda _, error: self.refused.append(error),
            on_behind=lambda: None,
            may_vote=lambda: self.can_vote,
            punish=lambda peer, reason: None,
        )
        self.bodies = Bodies(self.chain, NoPool(), Silence(), list)
        self.bench = Workbench(self.chain, self.bodies, hooks, lambda: 0)
        header = genesis_header("bench", net.set)
        output = PredictionOutput(ZERO_DIGEST, ZERO_DIGEST, (1,))
        self.block = Block(header, Justification(None, ()), (), (output,))
        self.identity = block_hash(header)

    async def judge(self, verdict: Exception | None, *, is_certified: bool = False) -> bool | None:
        self.bodies.add_block(self.identity, self.block)
        self.chain.verdicts = [verdict]
        answer = await self.bench.validate(bft.Validate(self.identity, is_certified))
        assert isinstance(answer, bft.BlockValidated)
        assert answer.block == self.identity
        return answer.verdict


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Net(tmp_path_factory.mktemp("bench")))


def mismatch() -> InvalidInput:
    return InvalidInput(Code.PREDICTION_MISMATCH, "our own output differs")


async def test_a_good_block_is_kept_and_valid(desk: Desk) -> None:
    assert await desk.judge(None) is True
    assert desk.bodies.get(desk.identity) == desk.block


async def test_a_leaders_own_bad_body_is_refused_reported_and_dropped(desk: Desk) -> None:
    error = mismatch()
    assert await desk.judge(error) is False
    assert desk.refused == [error]
    assert desk.bodies.get(desk.identity) is None


async def test_a_bad_body_of_somebody_else_leaves_the_block_open(desk: Desk) -> None:
    desk.bodies._fetched[desk.identity] = None
    assert await desk.judge(mismatch()) is None
    assert desk.bodies.get(desk.identity) is None


async def test_a_final_block_is_refused_only_after_many_bodies(desk: Desk) -> None:
    for _ in range(REFUSED_COUNT_MAX):
        assert await desk.judge(mismatch(), is_certified=True) is None
    assert await desk.judge(mismatch(), is_certified=True) is False
    assert desk.chain.asked == [True] * (REFUSED_COUNT_MAX + 1)


async def test_a_good_body_between_starts_the_count_anew(desk: Desk) -> None:
    for _ in range(REFUSED_COUNT_MAX):
        assert await desk.judge(mismatch(), is_certified=True) is None
    assert await desk.judge(None, is_certified=True) is True
    assert await desk.judge(mismatch(), is_certified=True) is None


async def test_what_cannot_be_judged_now_is_neither_valid_nor_refused(desk: Desk) -> None:
    assert await desk.judge(Unavailable(Code.NOT_FOUND, "no parent")) is None
    assert desk.refused == []
    assert desk.bodies.get(desk.identity) == desk.block


async def test_without_a_worker_predictions_are_not_judged_unless_they_are_final(
    desk: Desk,
) -> None:
    desk.can_vote = False
    assert await desk.judge(None) is None
    assert desk.chain.asked == []
    assert await desk.judge(None, is_certified=True) is True


class Ready(Ledger):
    """A chain with transactions waiting at all times."""

    async def wait_transactions(self, parent: bytes, timeout_ms: int) -> bool:
        return True


async def test_a_leader_keeps_a_pause_from_the_last_block_and_none_on_an_idle_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, slept = Desk(Net(tmp_path)), list[float]()
    desk.chain.__class__ = Ready

    async def sleep(delay_s: float) -> None:
        slept.append(delay_s)

    monkeypatch.setattr(workbench.asyncio, "sleep", sleep)
    state = bft.initial_state(
        bft.Position(
            base=base_of(desk.chain),
            validators=desk.chain.validators(),
            index=0,
            params=Params(idle_block_ms=1000),
        )
    )
    build = bft.Build(
        epoch=state.base.epoch,
        slot=state.slot,
        parent=desk.chain.head_hash(),
        justification=Justification(None, ()),
    )
    assert isinstance(await desk.bench.build(build, state), bft.BlockBuilt)
    assert not slept, "nothing came before"
    await desk.bench.build(build, state)
    assert len(slept) == 1
    assert PACE_S / 2 < slept[0] <= PACE_S
    state.params = Params(idle_block_ms=10)
    await desk.bench.build(build, state)
    assert max(slept[1:], default=0) <= 0.01, "a chain of fast empty blocks goes on making them"
