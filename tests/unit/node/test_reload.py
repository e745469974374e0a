"""SIGHUP: the log level and the lists of the RPC are taken anew, or nothing is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from node.config import Config, Home, render_config
from node.log import set_level
from node.reload import reload
from node.rpc import RpcServer
from node.rpc.settings import rpc_settings
from node.testing.memory_node import MemoryNode


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield Home(tmp_path)
    set_level("info")


def write(home: Home, *secrets: str, text: str = "") -> Config:
    keys = home.path / "keys.toml"
    keys.write_text(
        text
        or "".join(
            f"[[key]]\nname = '{secret}'\nroles = ['read']\n"
            f"sha256 = '{hashlib.sha256(secret.encode()).hexdigest()}'\n"
            for secret in secrets
        )
    )
    keys.chmod(0o600)
    config = Config(rpc_port=0, rpc_keys_file=str(keys))
    home.config.write_text(render_config(config))
    return config


async def status_of(rpc: RpcServer, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as http,
        http.get(rpc.url + "/v1/status", headers=headers) as answer,
    ):
        return answer.status


async def test_other_keys_count_from_then_on_and_a_bad_file_changes_nothing(home: Home) -> None:
    config = write(home, "old")
    async with RpcServer(MemoryNode(), rpc_settings(config)) as rpc:
        assert await status_of(rpc, "old") == 200
        write(home, "new")
        assert await status_of(rpc, "old") == 200
        reload(home, rpc)
        assert await status_of(rpc, "old") == 401
        assert await status_of(rpc, "new") == 200
        write(home, text="[[key]]\nname = 7")
        reload(home, rpc)
        assert await status_of(rpc, "new") == 200
