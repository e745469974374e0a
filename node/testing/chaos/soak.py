"""A long run with one fault a minute: does anything grow, does anything wear out?

Memory and open files of every process are noted at every sample. The last validator is never
killed, so that one process lives through it all; its slope is the one to look at. A run of more
than 135 minutes is judged by it: by then caches are full, and what goes on growing leaks.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

import msgspec

from node.testing.chaos.acts import PACKAGES, Act, Deed
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import PROCESS_VERBS, ChaosPlan, Fault, Verb, draw_fault
from node.testing.local_net import LocalNet
from node.testing.vitals import Held, look, settled_slope_per_hour, slope_per_hour

EVERY_MS = 60_000
FAULT_MS = (5_000, 40_000)
SAMPLE_MS = 30_000
MINUTES_MAX = 240
VALIDATORS, CLIENTS = 4, 2
MEBIBYTE = 1024 * 1024
MEMORY_SLOPE_MAX = 32 * MEBIBYTE
"""Bytes an hour that a process may gain once it is warm: about 1 KB a transaction at a soak's load.

Outputs and verified transactions that are kept fill on for hours, by 0.3 KB a transaction."""
FILES_GROWTH_MAX = 64
"""Open files that a process may gain: connections come and go, so that a few more are no leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process."""

    at_s: float
    held: Held


@dataclass(frozen=True, slots=True)
class Life:
    """What one process held over its life; growth an hour is fitted over the later half."""

    name: str
    seconds: float
    first: Held
    last: Held
    memory_slope: float
    files_slope: float
    settled_memory_slope: float | None
    """Growth an hour after the warm-up; None if it did not live long enough to tell."""

    def __str__(self) -> str:
        first, last = (item.anonymous_bytes / MEBIBYTE for item in (self.first, self.last))
        settled = self.settled_memory_slope
        warm = "not judged" if settled is None else f"{settled / MEBIBYTE:+.1f} when warm"
        return (
            f"{self.name}: {self.seconds:.0f} s, memory {first:.1f} to {last:.1f} MiB "
            f"({self.memory_slope / MEBIBYTE:+.1f} an hour, {warm}), open files "
            f"{self.first.files} to {self.last.files} ({self.files_slope:+.1f} an hour)"
        )


def draw_soak(seed: int, minutes: int) -> ChaosPlan:
    """A plan with one fault in every minute, and a model that predicts from the beginning."""
    draw = random.Random(f"soak {seed}")  # noqa: S311 - no secret
    plan = ChaosPlan(
        seed=seed,
        validators=VALIDATORS,
        clients=CLIENTS,
        faults_ms=EVERY_MS * (minutes + 1),
        acts=(Act(deed=Deed.ACTIVATE, at_ms=0, package=PACKAGES[0]),),
        sample_ms=SAMPLE_MS,
    )
    faults = tuple(_draw_minute(draw, plan.names, minute) for minute in range(1, minutes + 1))
    return msgspec.structs.replace(plan, faults=faults)


def _draw_minute(draw: random.Random, names: tuple[str, ...], minute: int) -> Fault:
    at_ms = EVERY_MS * minute
    until_ms = at_ms + draw.randrange(*FAULT_MS, 1_000)
    verb = draw.choice(tuple(Verb))
    spared = names[:-1] if verb in PROCESS_VERBS else names
    return draw_fault(draw, verb, spared, at_ms, until_ms)


async def watch(net: LocalNet, every_ms: int, log: EventLog, samples: list[Sample]) -> None:
    """Look at all processes every `every_ms` until cancelled."""
    began_s = time.monotonic()
    while True:
        at_s = time.monotonic() - began_s
        for held in await asyncio.to_thread(look, net.plan.home):
            samples.append(Sample(at_s, held))
            log.write(
                "process.sampled",
                name=held.name,
                pid=held.pid,
                memory_bytes=held.anonymous_bytes,
                files=held.files,
            )
        await asyncio.sleep(every_ms / 1000)


def lives(samples: list[Sample]) -> list[Life]:
    """The longest life of each process, by name."""
    by_process: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        by_process.setdefault((sample.held.name, sample.held.pid), []).append(sample)
    longest: dict[str, Life] = {}
    for (name, _), taken in sorted(by_process.items()):
        memory = [(item.at_s, float(item.held.anonymous_bytes)) for item in taken]
        life = Life(
            name=name,
            seconds=taken[-1].at_s - taken[0].at_s,
            first=taken[0].held,
            last=taken[-1].held,
            memory_slope=slope_per_hour(memory),
            files_slope=slope_per_hour([(item.at_s, item.held.files) for item in taken]),
            settled_memory_slope=settled_slope_per_hour(memory),
        )
        if name not in longest or longest[name].seconds < life.seconds:
            longest[name] = life
    return [longest[name] for name in sorted(longest)]


def check_lives(found: list[Life]) -> list[str]:
    """Processes that gained more open files than connections explain, or memory when warm."""
    files = [
        f"{life.name} went from {life.first.files} to {life.last.files} open files"
        for life in found
        if life.last.files - life.first.files > FILES_GROWTH_MAX
    ]
    memory = [
        f"{life.name} gains {life.settled_memory_slope / MEBIBYTE:.0f} MiB an hour when its caches "
        f"are full, more than {MEMORY_SLOPE_MAX // MEBIBYTE}"
        for life in found
        if life.settled_memory_slope is not None and life.settled_memory_slope > MEMORY_SLOPE_MAX
    ]
    return files + memory
