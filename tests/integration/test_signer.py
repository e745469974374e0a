"""A validator whose key is in a process of its own: it votes, and survives the process's death."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from node.checkout import CHECKOUT
from node.config import Home, load_config, render_config
from node.keystore import VALIDATOR_KEY
from node.testing.local_net import LocalNet
from node.testing.pytest_plugin import OpenNet

pytestmark = pytest.mark.integration
WAIT_S = 60.0


async def start_signer(home: Home) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node.signer", "--home", str(home.path), cwd=CHECKOUT
    )
    async with asyncio.timeout(WAIT_S):
        while not (home.path / "signer.sock").exists():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return process


def move_key_out(net: LocalNet, name: str, folder: Path) -> Home:
    """Give key and sign state of a stopped node to a signer; the node keeps neither."""
    node, signer = net.home(name), Home(folder)
    signer.keys.mkdir(mode=0o700, parents=True)
    (node.keys / VALIDATOR_KEY).rename(signer.keys / VALIDATOR_KEY)
    node.sign_state.rename(signer.sign_state)
    shutil.copy(node.genesis, signer.genesis)
    config = load_config(node)
    signer.config.write_text(render_config(msgspec.structs.replace(config, peer_addresses={})))
    remote = msgspec.structs.replace(
        config, signer="socket", signer_socket=str(folder / "signer.sock")
    )
    node.config.write_text(render_config(remote))
    return signer


async def test_a_validator_votes_by_a_signer_process_and_waits_for_it_when_it_dies(
    open_net: OpenNet, tmp_path: Path
) -> None:
    async with open_net() as net:
        await net.wait_height(2, WAIT_S)
        await net.stop("node-1")
        home = move_key_out(net, "node-1", tmp_path / "signer")
        signer = await start_signer(home)
        await net.start("node-1")
        await net.stop("node-4")  # so that no quorum is without node-1
        rest = ["node-1", "node-2", "node-3"]
        await net.wait_height(await net.height() + 5, WAIT_S, rest)
        signer.kill()
        await signer.wait()
        (home.path / "signer.sock").unlink()
        stalled = await net.height()
        signer = await start_signer(home)
        await net.wait_height(stalled + 5, WAIT_S, rest)
        assert not (net.home("node-1").keys / VALIDATOR_KEY).exists()
        assert not net.home("node-1").sign_state.exists()
        signer.terminate()
        assert await asyncio.wait_for(signer.wait(), WAIT_S) == 0
