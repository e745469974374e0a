"""One of four real validators breaks the rules: the others lose its turns alone."""

from __future__ import annotations

import pytest

from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration
LIAR = "node-4"
HONEST = ["node-1", "node-2", "node-3"]
BLOCKS = 16
"""Every validator leads four of so many slots."""
BLOCKS_S = 60
AGAIN_S = 60


async def restart(net: LocalNet, *module: str) -> None:
    await net.stop(LIAR)
    await net.start(LIAR, module)


async def leaders(net: LocalNet, count: int) -> set[str]:
    """Who made the next `count` final blocks."""
    first = await net.height() + 1
    await net.wait_height(first + count, BLOCKS_S, HONEST)
    names = {node.validator_key: node.name for node in net.manifest.nodes}
    async with net.client(HONEST[0]) as client:
        made = [(await client.block(height)).header for height in range(first, first + count)]
    return {names[header.proposer.removeprefix("0x")] for header in made}


async def nobody_was_convicted(net: LocalNet) -> None:
    async with net.client(HONEST[0]) as client:
        assert len((await client.validators()).validators) == 4
    statuses = await net.statuses(HONEST)
    assert {status.epoch for status in statuses.values()} == {"0"}


@pytest.mark.parametrize("kind", ["silent", "replay"])
async def test_a_validator_that_breaks_the_rules_stops_nobody(open_net: OpenNet, kind: str) -> None:
    async with open_net(seed=71) as net:
        await net.wait_height(2, 30)
        assert await leaders(net, BLOCKS) == {*HONEST, LIAR}
        await restart(net, "node.testing.byzantine", kind)
        await net.wait(lambda found: LIAR in found, AGAIN_S)
        await leaders(net, 4)  # what it had said before its end may still count
        made_by = await leaders(net, BLOCKS)
        # Who says nothing proposes nothing; who repeats itself still does its work.
        assert made_by == ({*HONEST} if kind == "silent" else {*HONEST, LIAR})
        # It follows the chain, and has signed nothing that contradicts itself.
        await net.wait_height(await net.height(), AGAIN_S, [LIAR])
        await nobody_was_convicted(net)
        if kind == "silent":
            await restart(net, "node")
            await net.wait(lambda found: LIAR in found, AGAIN_S)
            await leaders(net, 4)
            assert LIAR in await leaders(net, BLOCKS)
