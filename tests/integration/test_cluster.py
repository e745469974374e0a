"""Kill, restart, partition: four real validators keep one chain and go on."""

import asyncio
import contextlib
import shutil

import pytest

from andon.core.errors import AndonError
from andon.core.transaction import make_call
from node.testing.local_net import LocalNet
from node.testing.proxy import Mode
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration


async def same_chain(net: LocalNet) -> None:
    """Every node that runs has the same block at the lowest common height."""
    statuses = await net.statuses()
    height = min(int(status.height) for status in statuses.values())
    hashes = set()
    for name in statuses:
        async with net.client(name) as client:
            hashes.add((await client.block(height)).hash)
    assert len(hashes) == 1


COUNTER = '''"""Counts."""
total = Var(int, default=0)

@export(role="operator")
def add(amount: int) -> int:
    total.set(total.get() + amount)
    return total.get()

@view
def read() -> int:
    return total.get()
'''


class Load:
    """Sends transactions until told to stop; remembers which were acknowledged as final."""

    def __init__(self, net: LocalNet, account: str = "org-1-operator") -> None:
        self._net = net
        self._account = account
        self.acknowledged: list[bytes] = []
        self.height = 0
        self.attempts = 0

    async def deploy(self) -> None:
        """Put the counter on the chain."""
        async with self._net.client(account="org-1-deployer") as client:
            args = {"name": "counter", "source": COUNTER, "args": {}}
            (await client.submit(make_call("contracts", "deploy", args))).require()

    async def run(self) -> None:
        async with self._net.client(account=self._account) as client:
            while True:
                self.attempts += 1
                with contextlib.suppress(AndonError):
                    call = make_call("counter", "add", {"amount": 1})
                    submission = await client.submit(call, timeout_ms=5000)
                    submission.require()
                    self.acknowledged.append(submission.hash)
                    self.height = max(self.height, submission.height or 0)
                await asyncio.sleep(0.01)

    async def check_kept(self, name: str) -> None:
        """Every acknowledged transaction is final at this node, once it has that height."""
        await self._net.wait_height(self.height, 20, [name])
        async with self._net.client(name) as client:
            for identity in self.acknowledged:
                reply = await client.transaction(identity)
                assert reply.state == "final"


async def test_killed_validators_come_back_and_acknowledged_transactions_stay(
    open_net: OpenNet,
) -> None:
    async with open_net(seed=11) as net, asyncio.TaskGroup() as group:
        load = Load(net)
        await load.deploy()
        task = group.create_task(load.run())
        for name in net.names:
            before = await net.height()
            await net.kill(name)
            others = [other for other in net.names if other != name]
            await net.wait_height(before + 3, 20, others)
            await net.start(name)
            await net.wait_height(await net.height(), 20, [name])
        task.cancel()
        await same_chain(net)
        assert len(load.acknowledged) > 10
        for name in net.names:
            await load.check_kept(name)
        async with net.client() as client:
            counted = await client.call("counter", "read")
        # Every acknowledged addition happened, and none of the others twice.
        assert len(load.acknowledged) <= counted <= load.attempts


async def test_a_network_that_is_killed_at_once_goes_on_from_disk(open_net: OpenNet) -> None:
    async with open_net(seed=12) as net:
        await net.wait_height(5, 20)
        before = await net.height()
        await asyncio.gather(*(net.kill(name) for name in net.names))
        await asyncio.gather(*(net.start(name) for name in net.names))
        await net.wait_height(before + 5, 30)
        await same_chain(net)


@pytest.mark.parametrize("mode", [Mode.CUT, Mode.STALL])
async def test_two_halves_stand_still_and_go_on_together(open_net: OpenNet, mode: Mode) -> None:
    async with open_net(seed=13) as net:
        await net.wait_height(3, 20)
        net.partition(net.names[:2], net.names[2:], mode=mode)
        await asyncio.sleep(2)
        stood = await net.height()
        await asyncio.sleep(2)
        assert await net.height() <= stood + 1
        net.heal()
        await net.wait_height(stood + 5, 40)
        await same_chain(net)


async def test_a_minority_that_was_cut_off_catches_up(open_net: OpenNet) -> None:
    async with open_net(seed=14) as net:
        await net.wait_height(3, 20)
        alone, others = net.names[3], net.names[:3]
        net.partition([alone], others)
        await net.wait_height(await net.height() + 20, 40, others)
        net.heal()
        await net.wait_height(await net.height() + 3, 30)
        await same_chain(net)


async def test_a_node_that_lost_its_data_fetches_all_of_it_again(open_net: OpenNet) -> None:
    async with open_net(seed=15) as net:
        await net.wait_height(20, 40)
        await net.kill("node-2")
        shutil.rmtree(net.home("node-2").data)
        await net.start("node-2")
        await net.wait_height(await net.height() + 3, 30)
        await same_chain(net)
        async with net.client("node-1") as whole, net.client("node-2") as again:
            assert (await whole.block(1)).hash == (await again.block(1)).hash
