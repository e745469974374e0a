"""Growth with clients: open connections and event streams of one real node."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp

from node.local_network import Plan
from scripts.bench.series import Series
from scripts.bench.usage import measure
from scripts.cluster import make_or_load

PORT = 31_856


def clients() -> tuple[Series, ...]:
    """A node with so many clients: an answer to one of them, memory."""
    return asyncio.run(_clients())


async def _clients() -> tuple[Series, ...]:
    streams: list[tuple[int, float]] = []
    answers: list[tuple[int, float]] = []
    memory: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory(prefix="andon-growth-") as folder:
        plan = Plan(home=Path(folder) / "net", validators=1, base_port=PORT, worker_backend="none")
        cluster = make_or_load(plan, reset=True)
        cluster.up()
        try:
            await asyncio.to_thread(cluster.wait_ready, 60)
            url = cluster.urls()[0]
            for count in (10, 100, 1_000):
                async with _session() as session:
                    await _open(session, url, count)
                    answers.append((count, await _answer_ms(session, url)))
                    rss = sum(measure(cluster.home, ()).rss_bytes.values())
                    memory.append((count, rss / 2**20))
            for count in (10, 100, 1_000):
                async with _session() as session:
                    held = [await session.get(url + "/v1/events") for _ in range(count)]
                    streams.append((count, await _answer_ms(session, url)))
                    for stream in held:
                        stream.close()
                await asyncio.sleep(1)
        finally:
            await asyncio.to_thread(cluster.down)
    return (
        Series("open connections: an answer", "ms", 0, "they are idle", tuple(answers)),
        Series("open connections: memory", "MiB", 0, "small beside the node", tuple(memory)),
        Series("event streams: an answer", "ms", 0, "one event a second each", tuple(streams)),
    )


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60))


async def _open(session: aiohttp.ClientSession, url: str, count: int) -> None:
    """Leave `count` connections open that have had an answer each."""
    held = await asyncio.gather(*(session.get(url + "/v1/status") for _ in range(count)))
    for answer in held:
        await answer.read()


async def _answer_ms(session: aiohttp.ClientSession, url: str) -> float:
    times = []
    for _ in range(40):
        began = time.perf_counter()
        async with session.get(url + "/v1/status") as answer:
            await answer.read()
        times.append(time.perf_counter() - began)
    return 1000 * sorted(times)[len(times) // 2]
