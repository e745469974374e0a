"""The gateway as a whole: how it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

from andon.client.key_file import write_key
from andon.core.keys import PrivateKey
from andon.gateway.config import Chain, GatewayConfig
from andon.gateway.process import Gateway


async def test_a_gateway_that_is_cancelled_leaves_no_thread_behind(tmp_path: Path) -> None:
    write_key(tmp_path / "gw.key", PrivateKey(b"k" * 32))
    chain = Chain(nodes=["http://127.0.0.1:9"], key="gw.key")
    gateway = Gateway(GatewayConfig(chain=chain, streams=[]), tmp_path)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(gateway.run())
        await asyncio.sleep(0.5)
        assert not running.done()
        running.cancel()
    assert running.cancelled()
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().shutdown_default_executor()
