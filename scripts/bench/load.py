"""Open-loop load on a running network: transactions are due at fixed times, whatever happens.

Latency counts from the time at which a transaction was due, not from when it was sent, so a stalled
node cannot hide its stall (coordinated omission). What is loaded is a `Target`: our own nodes, or
another system that is measured beside them with the same generator.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp

TICK_S = 0.01
POLL_S = 0.015
BATCH_MAX = 64
DRAIN_S = 20.0
IN_FLIGHT_MAX = 64
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """A committed block as the generator sees it."""

    identities: tuple[bytes, ...]
    size_bytes: int
    predictions: int = 0
    time_ms: int = 0
    """When its leader began it, by the leader's clock; 0 if it does not say."""


class Target(Protocol):
    """A system under load, as seen through the HTTP interface of its nodes."""

    batch_max: int

    def identify(self, raw: bytes) -> bytes:
        """Name a transaction as blocks name it."""
        ...

    async def height(self, session: aiohttp.ClientSession, url: str) -> int:
        """Height of the last committed block."""
        ...

    async def offer(
        self, session: aiohttp.ClientSession, url: str, raws: Sequence[bytes]
    ) -> list[str]:
        """Hand transactions over; for each the reason of its refusal, or nothing."""
        ...

    async def block(self, session: aiohttp.ClientSession, url: str, height: int) -> Seen | None:
        """A committed block, None if there is none yet."""
        ...


@dataclass(slots=True)
class Result:
    """What one run saw. Times in seconds on the generator's monotonic clock."""

    offered: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    due: dict[bytes, float] = field(default_factory=dict)
    accepted: dict[bytes, float] = field(default_factory=dict)
    committed: dict[bytes, float] = field(default_factory=dict)
    predictions: int = 0
    began: float = 0.0
    blocks: int = 0
    block_bytes: int = 0
    ages_ms: list[float] = field(default_factory=list)
    """From the beginning of a block at its leader until the generator saw it final."""

    @property
    def proposed_ms(self) -> list[float]:
        """Ages of blocks with transactions when they were seen final, ascending."""
        return sorted(self.ages_ms)

    @property
    def seconds(self) -> float:
        """From the first due to the last final."""
        return max(1e-9, max(self.committed.values(), default=self.began) - self.began)

    @property
    def committed_per_s(self) -> float:
        """Committed transactions a second."""
        return len(self.committed) / self.seconds

    def latencies_ms(self, reached: dict[bytes, float]) -> list[float]:
        """Due to `reached` (accepted or committed), of all that got there, ascending."""
        return sorted(
            (at - self.due[identity]) * 1000
            for identity, at in reached.items()
            if identity in self.due
        )


def percentile(ascending: Sequence[float], share: float) -> float:
    """Value at a share of all; not a number if there is none."""
    if not ascending:
        return float("nan")
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


async def run_load(
    target: Target, urls: Sequence[str], raws: Sequence[bytes], rate_per_s: float
) -> Result:
    """Offer `raws` at a rate, spread over the nodes, and follow the chain until all are final."""
    result = Result(offered=len(raws))
    names = [target.identify(raw) for raw in raws]
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        height = await target.height(session, urls[0])
        done = asyncio.Event()
        result.began = time.monotonic()
        for index, name in enumerate(names):
            result.due[name] = result.began + index / rate_per_s
        async with asyncio.TaskGroup() as group:
            load = _Load(target, session, result)
            follower = group.create_task(load.follow(urls[0], height + 1, done))
            await load.offer(urls, list(zip(names, raws, strict=True)), rate_per_s)
            deadline = time.monotonic() + DRAIN_S
            while len(result.committed) < len(result.accepted) and time.monotonic() < deadline:  # noqa: ASYNC110 - two counters, one writer each
                await asyncio.sleep(0.05)
            done.set()
            await follower
    return result


@dataclass(frozen=True, slots=True)
class _Load:
    target: Target
    session: aiohttp.ClientSession
    result: Result

    async def offer(
        self, urls: Sequence[str], named: list[tuple[bytes, bytes]], rate_per_s: float
    ) -> None:
        sent, turn = 0, 0
        room = asyncio.Semaphore(IN_FLIGHT_MAX)
        async with asyncio.TaskGroup() as group:
            while sent < len(named):
                elapsed_s = time.monotonic() - self.result.began
                until = min(len(named), int(elapsed_s * rate_per_s) + 1)
                while sent < until:
                    part = named[sent : min(until, sent + self.target.batch_max)]
                    sent += len(part)
                    await room.acquire()
                    group.create_task(self._send(urls[turn % len(urls)], part, room))
                    turn += 1
                await asyncio.sleep(TICK_S)

    async def _send(
        self, url: str, part: list[tuple[bytes, bytes]], room: asyncio.Semaphore
    ) -> None:
        try:
            refusals = await self.target.offer(self.session, url, [raw for _, raw in part])
        except (aiohttp.ClientError, TimeoutError) as error:
            refusals = [type(error).__name__] * len(part)
        finally:
            room.release()
        now = time.monotonic()
        for (name, _), refusal in zip(part, refusals, strict=True):
            if refusal:
                self.result.refused[refusal] = self.result.refused.get(refusal, 0) + 1
            else:
                self.result.accepted[name] = now

    async def follow(self, url: str, height: int, done: asyncio.Event) -> None:
        result = self.result
        while not done.is_set():
            seen = await self.target.block(self.session, url, height)
            if seen is None:
                await asyncio.sleep(POLL_S)
                continue
            now = time.monotonic()
            for identity in seen.identities:
                if identity in result.due:
                    result.committed[identity] = now
            result.predictions += seen.predictions
            result.blocks += 1
            result.block_bytes += seen.size_bytes
            if seen.time_ms and seen.identities:
                result.ages_ms.append(time.time_ns() / 1e6 - seen.time_ms)
            height += 1
