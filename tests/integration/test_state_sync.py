"""An observer begins from a snapshot of its peers, blocks do the rest; nodes halt at a height."""

import asyncio
import shutil

import pytest

from andon.core.errors import InvalidInput
from andon.core.genesis import Params
from node.home_tools import create_snapshot, list_snapshots
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration


async def test_an_observer_starts_from_a_snapshot_and_follows(open_net: OpenNet) -> None:
    params = Params(idle_block_ms=100, expiry_window_blocks=10)
    async with open_net(seed=51, observers=1, params=params) as net:
        await net.stop("observer-1")
        shutil.rmtree(net.home("observer-1").data / "chain")
        await net.wait_height(25, 40, ["node-1", "node-2", "node-3", "node-4"])
        made = [await asyncio.to_thread(create_snapshot, net.home("node-1").path)]
        net.reconfigure("observer-1", state_sync=True, snapshot_every_blocks=10)
        await net.start("observer-1")
        height = made[0][0]
        await net.wait_height(height + 15, 40)
        async with net.client("observer-1") as client:
            assert int((await client.block(height)).header.height) == height
            with pytest.raises(InvalidInput):
                await client.block(height - 12)
        log = (net.home("observer-1").logs / "node.log").read_text()
        assert "state_sync.done" in log
        home = net.home("observer-1").path
        await net.wait(lambda _: len(list_snapshots(home)) > 0, 20)


async def test_all_nodes_halt_at_one_height_with_a_snapshot_and_go_on_afterwards(
    open_net: OpenNet,
) -> None:
    async with open_net(seed=52, params=Params(idle_block_ms=100)) as net:
        for name in net.names:
            await net.stop(name)
            net.reconfigure(name, halt_at_height=12)
        started = [await net.start(name) for name in net.names]
        assert len(started) == 4
        await net.wait_ended(60)
        for name in net.names:
            said = (net.home(name).logs / "stderr.log").read_text()
            assert "HALTED (1215): halt_at_height is reached: height 12" in said
            assert [height for height, _ in list_snapshots(net.home(name).path)] == [12]
            net.reconfigure(name, halt_at_height=0)
            await net.start(name)
        await net.wait_height(14, 40)
