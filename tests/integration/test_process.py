"""One process: how it ends, and what it says when it cannot begin."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from node.checkout import CHECKOUT
from node.config import Home
from node.local_network import Plan, prepare
from node.testing.lab import Refusal, can_mount, is_traceable, run_full_disk, run_refusal
from node.testing.local_net import START_S, free_ports

pytestmark = pytest.mark.integration


async def start(home: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "node",
        "--home",
        str(home),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, output.decode()


async def until_logged(home: Home, process: asyncio.subprocess.Process, event: str) -> None:
    """Wait for a line of the log; a process that has ended says why at once."""
    file = home.logs / "node.log"
    async with asyncio.timeout(START_S):
        while event not in (file.read_text() if file.exists() else ""):
            if process.returncode is not None:
                pytest.fail(f"the node ended with {await ended(process)}")
            await asyncio.sleep(0.05)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One validator that is a network by itself."""
    prepare(
        Plan(
            home=tmp_path,
            validators=1,
            seed=1,
            base_port=free_ports(2, seed=1),
            worker_backend="none",
        )
    )
    return Home(tmp_path / "node-1")


async def test_a_node_ends_cleanly_and_starts_again(home: Home) -> None:
    for _ in range(2):
        process = await start(home.path)
        await until_logged(home, process, "node.started")
        process.terminate()
        assert await ended(process) == (0, "")
        (home.logs / "node.log").unlink()


async def test_a_second_process_of_one_home_is_refused(home: Home) -> None:
    first = await start(home.path)
    await until_logged(home, first, "node.started")
    status, output = await ended(await start(home.path))
    assert status == 3
    assert "LOCKED" in output
    assert str(first.pid) in output
    first.terminate()
    assert (await ended(first))[0] == 0


async def test_a_busy_port_is_named(home: Home) -> None:
    port = int(home.config.read_text().split("peer_port = ")[1].split()[0])
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        status, output = await ended(await start(home.path))
    assert status == 3
    assert "PORT_IN_USE" in output
    assert str(port) in output
    assert "Traceback" not in output


@pytest.mark.parametrize("damage", ["config", "genesis", "key", "no home"])
async def test_a_bad_home_is_refused_with_a_reason(home: Home, damage: str) -> None:
    path = home.path
    match damage:
        case "config":
            home.config.write_text("peer_prot = 1\n")
        case "genesis":
            home.genesis.write_text("{}")
        case "key":
            os.chmod(home.keys / "node.key", 0o644)  # noqa: PTH101 - readable by all, on purpose
        case _:
            path = home.path / "nowhere"
    status, output = await ended(await start(path))
    assert status == 2
    assert "Hint:" in output
    assert "Traceback" not in output


async def test_a_lost_sign_state_stops_a_validator_of_a_chain_that_has_blocks(home: Home) -> None:
    process = await start(home.path)
    await until_logged(home, process, "block.committed")
    process.terminate()
    await ended(process)
    home.sign_state.unlink()
    status, output = await ended(await start(home.path))
    assert status == 3
    assert "sign_state" in output


@pytest.mark.skipif(not is_traceable(), reason="needs strace")
async def test_a_flush_that_fails_ends_the_node_and_the_next_start_has_all_it_showed(
    tmp_path: Path,
) -> None:
    refusal = Refusal("fdatasync", "EIO", nth=30, is_lasting=False)
    assert await run_refusal(refusal, tmp_path / "net", seed=4) == []


@pytest.mark.skipif(not can_mount(), reason="needs root for a small tmpfs")
async def test_a_full_disk_ends_the_node_and_a_larger_one_lets_it_go_on(tmp_path: Path) -> None:
    assert await run_full_disk(tmp_path / "disk", seed=5) == []
