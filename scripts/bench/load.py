"""Open-loop load on a running network: transactions are due at fixed times, whatever happens.

Latency counts from the time at which a transaction was due, not from when it was sent, so a stalled
node cannot hide its stall (coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import aiohttp
import msgspec

from andon.core.codec import decode, encode
from andon.core.transaction import SignedTransaction, transaction_id
from andon.core.wire import FinalBlock, Transactions

TICK_S = 0.01
POLL_S = 0.015
BATCH_MAX = 64
DRAIN_S = 15.0
IN_FLIGHT_MAX = 64
MEBIBYTE = 2**20


@dataclass(slots=True)
class Result:
    """What one run saw. Times in seconds on the generator's monotonic clock."""

    offered: int = 0
    accepted: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    due: dict[bytes, float] = field(default_factory=dict)
    committed: dict[bytes, float] = field(default_factory=dict)
    predictions: int = 0
    began: float = 0.0
    blocks: int = 0
    block_bytes: int = 0

    @property
    def latencies_ms(self) -> list[float]:
        """Due to final, of all that became final, ascending."""
        return sorted(
            (at - self.due[identity]) * 1000
            for identity, at in self.committed.items()
            if identity in self.due
        )

    @property
    def committed_per_s(self) -> float:
        """Committed transactions over the time from the first due to the last final."""
        if not self.committed:
            return 0.0
        return len(self.committed) / max(1e-9, max(self.committed.values()) - self.began)

    def percentile(self, share: float) -> float:
        """Latency at a share of all, in milliseconds."""
        found = self.latencies_ms
        return found[min(len(found) - 1, int(share * len(found)))] if found else float("nan")


async def run_load(urls: list[str], raws: list[bytes], rate_per_s: float) -> Result:
    """Offer `raws` at a rate, spread over the nodes, and follow the chain until all are final."""
    result = Result(offered=len(raws))
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        height = await _height(session, urls[0])
        done = asyncio.Event()
        result.began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(_follow(session, urls[0], height + 1, result, done))
            await _offer(session, urls, raws, rate_per_s, result)
            deadline = time.monotonic() + DRAIN_S
            while len(result.committed) < result.accepted and time.monotonic() < deadline:  # noqa: ASYNC110 - two counters, one writer each
                await asyncio.sleep(0.05)
            done.set()
            await follower
    return result


async def _offer(
    session: aiohttp.ClientSession,
    urls: list[str],
    raws: list[bytes],
    rate_per_s: float,
    result: Result,
) -> None:
    sent, turn = 0, 0
    room = asyncio.Semaphore(IN_FLIGHT_MAX)
    async with asyncio.TaskGroup() as group:
        while sent < len(raws):
            now = time.monotonic()
            until = min(len(raws), int((now - result.began) * rate_per_s) + 1)
            while sent < until:
                part = raws[sent : min(until, sent + BATCH_MAX)]
                for offset, raw in enumerate(part):
                    identity = transaction_id(decode(SignedTransaction, raw).body)
                    result.due[identity] = result.began + (sent + offset) / rate_per_s
                sent += len(part)
                await room.acquire()
                group.create_task(_send(session, urls[turn % len(urls)], part, result, room))
                turn += 1
            await asyncio.sleep(TICK_S)


async def _send(
    session: aiohttp.ClientSession,
    url: str,
    part: list[bytes],
    result: Result,
    room: asyncio.Semaphore,
) -> None:
    try:
        body = encode(Transactions(raws=tuple(part)))
        async with session.post(url + "/v1/transactions/batch", data=body) as answer:
            entries = await answer.json()
            if answer.status != 200:
                entries = [{"name": str(entries.get("name", answer.status))}] * len(part)
    except (aiohttp.ClientError, TimeoutError) as error:
        entries = [{"name": type(error).__name__}] * len(part)
    finally:
        room.release()
    for entry in entries:
        if entry.get("hash"):
            result.accepted += 1
        else:
            name = str(entry.get("name"))
            result.refused[name] = result.refused.get(name, 0) + 1


async def _follow(
    session: aiohttp.ClientSession, url: str, height: int, result: Result, done: asyncio.Event
) -> None:
    while not done.is_set():
        async with session.get(f"{url}/v1/blocks/{height}/raw") as answer:
            data = await answer.read()
            if answer.status != 200:
                await asyncio.sleep(POLL_S)
                continue
        now = time.monotonic()
        final = decode(FinalBlock, data)
        for raw in final.block.transactions:
            identity = transaction_id(decode(SignedTransaction, raw).body)
            if identity in result.due:
                result.committed[identity] = now
        result.predictions += len(final.block.predictions)
        result.blocks += 1
        result.block_bytes += len(data)
        height += 1


async def _height(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url + "/v1/status") as answer:
        status = msgspec.json.decode(await answer.read(), type=dict[str, object])
    return int(str(status["height"]))
