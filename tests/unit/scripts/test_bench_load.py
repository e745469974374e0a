"""The load generator and its figures, against a system of a few lines."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from scripts.bench import comet
from scripts.bench.load import Result, Seen, percentile, run_load
from scripts.bench.targets import refusal_of
from scripts.bench.usage import Usage, measure


class Slow:
    """Commits everything in one block after a stall; refuses transactions that begin with x."""

    batch_max = 4

    def __init__(self, stall_s: float) -> None:
        self._stall_s = stall_s
        self._taken: list[bytes] = []
        self._until = 0.0

    def identify(self, raw: bytes) -> bytes:
        return raw

    async def height(self, session: aiohttp.ClientSession, url: str) -> int:
        self._until = asyncio.get_running_loop().time() + self._stall_s
        return 7

    async def offer(
        self, session: aiohttp.ClientSession, url: str, raws: Sequence[bytes]
    ) -> list[str]:
        self._taken += [raw for raw in raws if not raw.startswith(b"x")]
        return ["REFUSED" if raw.startswith(b"x") else "" for raw in raws]

    async def block(self, session: aiohttp.ClientSession, url: str, height: int) -> Seen | None:
        if height != 8 or asyncio.get_running_loop().time() < self._until:
            return None
        return Seen(tuple(self._taken), 100)


async def test_a_stall_of_the_system_is_in_the_latencies_and_refusals_are_counted() -> None:
    raws = [b"a1", b"x2", b"a3", b"a4"]
    result = await run_load(Slow(stall_s=0.3), ["http://unused"], raws, rate_per_s=1000)
    assert result.refused == {"REFUSED": 1}
    assert set(result.accepted) == set(result.committed) == {b"a1", b"a3", b"a4"}
    latencies = result.latencies_ms(result.committed)
    # Due within 3 ms of the start, final when the stall was over: no omission.
    assert percentile(latencies, 0.5) >= 290
    assert result.blocks == 1


def test_percentiles_of_nothing_and_of_something() -> None:
    assert str(percentile([], 0.5)) == "nan"
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert Result().committed_per_s == 0.0


def test_usage_is_a_difference_and_memory_is_not() -> None:
    before = Usage(cpu_s={"a": 1.0}, rss_bytes={"a": 5}, wire_bytes=10, phase_s={"commit": 1.0})
    after = Usage(
        cpu_s={"a": 3.0, "b": 1.0}, rss_bytes={"a": 9}, wire_bytes=25, phase_s={"commit": 1.5}
    )
    used = after.since(before)
    assert used.cpu_s == {"a": 2.0, "b": 1.0}
    assert used.cpu_total_s == 3.0
    assert used.rss_bytes == {"a": 9}
    assert used.wire_bytes == 15
    assert used.phase_s == {"commit": 0.5}


def test_a_home_without_processes_uses_nothing(tmp_path: Path) -> None:
    used = measure(tmp_path, ())
    assert used.cpu_s == {}
    assert used.disk_bytes == 0


CONFIG = """
proxy_app = "tcp://127.0.0.1:26658"
log_level = "info"
[rpc]
laddr = "tcp://127.0.0.1:26657"
[p2p]
laddr = "tcp://0.0.0.0:26656"
[mempool]
recheck = true
size = 5000
cache_size = 10000
[consensus]
timeout_commit = "1s"
skip_timeout_commit = false
"""


@pytest.mark.parametrize("wait", ["0s", "1s"])
def test_the_other_system_gets_own_addresses_and_room(tmp_path: Path, wait: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    comet.configure(path, "127.0.0.103", wait)
    text = path.read_text()
    assert re.findall(r'laddr = "(.*)"', text) == [
        "tcp://127.0.0.103:26657",
        "tcp://127.0.0.103:26656",
    ]
    assert f'timeout_commit = "{wait}"' in text
    assert f"skip_timeout_commit = {'true' if wait == '0s' else 'false'}" in text
    assert "\nsize = 50000\ncache_size = 100000\n" in text


def test_the_other_systems_refusals_are_told_apart() -> None:
    assert refusal_of({"id": 0, "result": {"code": 0}}) == ""
    assert refusal_of({"id": 0, "result": {"code": 2}}) == "code 2"
    assert refusal_of({"id": 0, "error": {"data": "mempool is full"}}) == "mempool is full"
    assert refusal_of(None) == "no reply"
