"""An observer follows, serves proofs and passes transactions on, without a vote."""

import signal

import pytest

from andon.core.transaction import make_call
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration


async def test_an_observer_follows_and_serves_and_its_clients_reach_the_validators(
    open_net: OpenNet,
) -> None:
    async with open_net(seed=41, observers=1) as net:
        await net.wait_height(3, 20)
        async with net.client("observer-1", account="org-2-deployer") as client:
            source = '''"""Holds one number."""
number = Var(int, default=0)

@export(role="operator")
def keep(amount: int):
    number.set(amount)
'''
            arguments = {"name": "holder", "source": source, "args": {}}
            deployed = await client.submit(make_call("contracts", "deploy", arguments))
            deployed.require()
        async with net.client("observer-1", account="org-3-operator") as client:
            (await client.submit(make_call("holder", "keep", {"amount": 42}))).require()
            assert await client.state("holder", "number") == 42
        statuses = await net.statuses()
        assert statuses["observer-1"].validator_key is None
        assert len(statuses["observer-1"].peers) == 4
        counts = {name: len(status.peers) for name, status in statuses.items()}
        assert counts == {name: 4 if name == "observer-1" else 3 for name in net.names}
        await net.kill("observer-1")
        height = await net.height()
        await net.wait_height(height + 15, 30, [n for n in net.names if n != "observer-1"])
        await net.start("observer-1")
        await net.wait_height(height + 15, 30, ["observer-1"])


async def test_the_log_level_changes_while_the_node_runs(open_net: OpenNet) -> None:
    async with open_net(seed=42, validators=1) as net:
        await net.wait_height(1, 20)
        home = net.home("node-1")
        text = home.config.read_text()
        assert 'log_level = "debug"' in text
        home.config.write_text(text.replace('log_level = "debug"', 'log_level = "info"'))
        net._processes["node-1"].send_signal(signal.SIGHUP)
        await net.wait_height(await net.height() + 3, 20)
        log = (home.logs / "node.log").read_text()
        before, _, after = log.partition("config.reloaded")
        assert '"level": "debug"' in before
        assert after
        assert '"level": "debug"' not in after
