"""Chains that earlier versions wrote must replay in this one, root by root."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from andon.core.block import PROTOCOLS, block_hash
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis, genesis_from_json
from andon.core.wire import FinalBlock
from consensus.ledger import MemoryState, Parent, check_and_execute_block, genesis_state, parent_of
from node.drivers.certified import check_final_block
from node.drivers.contract_engine import ContractEngine
from node.drivers.horizon import Horizon
from node.net.fetch import split_records

CHAINS = sorted((Path(__file__).parents[1] / "vectors").glob("chain-*"))


def load(folder: Path) -> tuple[Genesis, list[FinalBlock]]:
    genesis = genesis_from_json((folder / "genesis.json").read_bytes())
    return genesis, split_records(FinalBlock, (folder / "blocks.bin").read_bytes())


class Replay:
    def __init__(self, genesis: Genesis) -> None:
        self.engine = ContractEngine()
        self.state = MemoryState()
        first = genesis_state(genesis, self.engine)
        self.parent = parent_of(first.header, first.executed)
        self.state.apply(first.executed.overlay)

    def above(self) -> Parent:
        """What the next block stands on."""
        return Parent(
            header=self.parent.header,
            hash=self.parent.hash,
            state=self.state,
            validators=self.parent.validators,
            params=self.parent.params,
        )

    def step(self, final: FinalBlock) -> None:
        """Execute one block; raises if a root differs from what was written then."""
        parent = self.above()
        check_final_block(parent.header.chain_id, parent.validators, final)
        executed = check_and_execute_block(parent, final.block, self.engine)
        self.state.apply(executed.overlay)
        self.parent = parent_of(final.block.header, executed)


@pytest.mark.parametrize("folder", CHAINS, ids=lambda folder: folder.name)
def test_a_chain_of_an_earlier_version_replays(folder: Path) -> None:
    genesis, finals = load(folder)
    replay = Replay(genesis)
    assert [final.block.header.height for final in finals] == list(range(1, len(finals) + 1))
    for final in finals:
        replay.step(final)
    assert replay.parent.hash == block_hash(finals[-1].block.header)
    assert replay.parent.header.epoch == 1
    assert sum(len(final.block.predictions) for final in finals) == len(finals)
    assert sum(bool(final.path) for final in finals) > 1


def test_there_is_a_chain_of_each_protocol() -> None:
    assert [folder.name for folder in CHAINS] == ["chain-1", "chain-2"]
    last = [load(folder)[1][-1].block.header.version for folder in CHAINS]
    assert last == list(PROTOCOLS)


def test_a_chain_that_changes_its_protocol_replays_up_to_there_in_an_older_release() -> None:
    genesis, finals = load(CHAINS[1])
    versions = [final.block.header.version for final in finals]
    first = versions.index(2) + 1
    assert versions == [1] * (first - 1) + [2] * (len(finals) - first + 1)
    older, replay = Horizon(protocols=(1,)), Replay(genesis)
    for final in finals[: first - 1]:
        older.check(replay.above())
        replay.step(final)
    with pytest.raises(Unavailable, match="speaks protocol 2") as caught:
        older.check(replay.above())
    assert caught.value.code is Code.HALTED
    # The release that knows it goes on from the same state, but not under the old number.
    header = msgspec.structs.replace(finals[first - 1].block.header, version=1)
    old = msgspec.structs.replace(finals[first - 1].block, header=header)
    with pytest.raises(InvalidInput):
        check_and_execute_block(replay.above(), old, replay.engine)
    replay.step(finals[first - 1])
    assert replay.parent.header.version == 2


def test_a_block_of_another_version_is_refused_by_name() -> None:
    genesis, finals = load(CHAINS[0])
    replay = Replay(genesis)
    header = msgspec.structs.replace(finals[0].block.header, version=2)
    block = msgspec.structs.replace(finals[0].block, header=header)
    parent = replay.parent
    with pytest.raises(InvalidInput) as caught:
        check_and_execute_block(parent, block, replay.engine)
    assert caught.value.code is Code.WRONG_VERSION
