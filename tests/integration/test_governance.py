"""Organisations vote on validators and on the protocol: epochs and versions change."""

import asyncio

import pytest

from andon.client import AsyncClient
from andon.core.codec import Value
from andon.core.transaction import make_call
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration

NOTICE = 20
"""Blocks until the new set rules: proposing and three approvals take some."""


async def govern(net: LocalNet, client: AsyncClient, entries: list[Value]) -> int:
    """Schedule a validator set by votes of three organisations; the height at which it rules."""
    height = await net.height() + NOTICE
    arguments: Value = {"height": height, "validators": entries}
    call = make_call("identity", "propose", {"kind": "set_validators", "arguments": arguments})
    proposed = (await client.submit(call, key=net.key("org-1-admin"))).require()
    number = proposed.results[0]
    for organisation in ("org-2", "org-3"):
        approval = make_call("identity", "approve", {"proposal": number})
        key = net.key(f"{organisation}-admin")
        (await client.submit(approval, key=key)).require()
    return height


async def test_a_validator_is_voted_out_and_in_again(open_net: OpenNet) -> None:
    async with open_net(seed=51) as net, net.client("node-1") as client:
        await net.wait_height(1, 30)
        leaving = bytes.fromhex(net.node("node-4").validator_key)
        current = await client.state("identity", "validators")
        assert isinstance(current, list)
        staying = [item for item in current if isinstance(item, dict) and item["key"] != leaving]
        assert len(staying) == 3

        height = await govern(net, client, staying)
        rest = ["node-1", "node-2", "node-3"]
        # It misses the block that removes it, and still hears of it.
        net.pause("node-4")
        await net.wait_height(height + 3, 60, rest)
        net.resume("node-4")
        told = f"membership: removed from the validators at height {height}"
        await net.wait(lambda found: told in found["node-4"].not_ready, 30, ["node-4"])
        statuses = await net.wait(
            lambda found: all(len(status.peers) == 2 for status in found.values()), 20, rest
        )
        assert {status.epoch for status in statuses.values()} == {"1"}
        assert len((await client.validators()).validators) == 3

        height = await govern(net, client, list(current))
        await net.wait_height(height + 3, 90)
        statuses = await net.wait(
            lambda found: all(status.is_ready for status in found.values()), 30
        )
        assert {status.epoch for status in statuses.values()} == {"2"}
        # Three of the four are a quorum, so node-4's vote is needed now.
        await net.kill("node-1")
        await net.wait_height(await net.height() + 3, 60, ["node-2", "node-3", "node-4"])


async def test_a_node_of_an_older_release_halts_where_a_later_protocol_begins(
    open_net: OpenNet,
) -> None:
    async with open_net(seed=52) as net, net.client("node-1") as client:
        await net.stop("node-4")
        net.reconfigure("node-4", protocol_max=1)
        await net.start("node-4")
        await net.wait_height(1, 30)
        height = await net.height() + NOTICE
        upgrade = make_call("params", "upgrade", {"version": 2, "height": height})
        for organisation in ("org-1", "org-2", "org-3"):
            key = net.key(f"{organisation}-admin")
            decided = (await client.submit(upgrade, key=key)).require().results[0]
        assert decided is True
        await net.wait_height(height + 2, 60, ["node-1", "node-2", "node-3"])
        versions = [(await client.block(at)).header.version for at in (height - 1, height)]
        assert versions == [1, 2]
        process = net._processes["node-4"]
        assert await asyncio.wait_for(process.wait(), 30) == 2
        said = (net.home("node-4").logs / "stderr.log").read_text()
        assert f"from height {height} on the network speaks protocol 2" in said
        # The operator installs the new release.
        net.reconfigure("node-4", protocol_max=2)
        await net.start("node-4")
        await net.wait_height(height + 2, 30)
