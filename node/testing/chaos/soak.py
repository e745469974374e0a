"""A long run with one fault a minute: does anything grow, does anything wear out?

Memory and open files of every process are noted at every sample. The last validator is never
killed, so that one process lives through it all; its slope is the one to look at.
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
from node.testing.vitals import anonymous_bytes, open_files, processes, slope_per_hour

EVERY_MS = 60_000
FAULT_MS = (5_000, 40_000)
SAMPLE_MS = 30_000
MINUTES_MAX = 240
VALIDATORS, CLIENTS = 4, 2
FILES_GROWTH_MAX = 64
"""Open files that a process may gain: connections come and go, so that a few more are no leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process."""

    at_s: float
    name: str
    pid: int
    memory_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Life:
    """What one process held over its life; growth an hour is fitted over the later half."""

    name: str
    seconds: float
    first: Sample
    last: Sample
    memory_slope: float
    files_slope: float

    def __str__(self) -> str:
        mebibyte = 1024 * 1024
        return (
            f"{self.name}: {self.seconds:.0f} s, memory {self.first.memory_bytes / mebibyte:.1f} "
            f"to {self.last.memory_bytes / mebibyte:.1f} MiB "
            f"({self.memory_slope / mebibyte:+.1f} an hour), open files {self.first.files} to "
            f"{self.last.files} ({self.files_slope:+.1f} an hour)"
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
        taken = await asyncio.to_thread(_look, net, time.monotonic() - began_s)
        samples += taken
        for sample in taken:
            log.write(
                "process.sampled",
                name=sample.name,
                pid=sample.pid,
                memory_bytes=sample.memory_bytes,
                files=sample.files,
            )
        await asyncio.sleep(every_ms / 1000)


def _look(net: LocalNet, at_s: float) -> list[Sample]:
    home = net.plan.home
    memory, files = anonymous_bytes(home), open_files(home)
    return [
        Sample(at_s, name, pid, memory[name], files[name])
        for name, pid in processes(home)
        if name in memory and name in files
    ]


def lives(samples: list[Sample]) -> list[Life]:
    """The longest life of each process, by name."""
    by_process: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        by_process.setdefault((sample.name, sample.pid), []).append(sample)
    longest: dict[str, Life] = {}
    for (name, _), taken in sorted(by_process.items()):
        life = Life(
            name=name,
            seconds=taken[-1].at_s - taken[0].at_s,
            first=taken[0],
            last=taken[-1],
            memory_slope=slope_per_hour([(item.at_s, item.memory_bytes) for item in taken]),
            files_slope=slope_per_hour([(item.at_s, item.files) for item in taken]),
        )
        if name not in longest or longest[name].seconds < life.seconds:
            longest[name] = life
    return [longest[name] for name in sorted(longest)]


def check_lives(found: list[Life]) -> list[str]:
    """Processes that gained more open files than connections explain."""
    return [
        f"{life.name} went from {life.first.files} to {life.last.files} open files"
        for life in found
        if life.last.files - life.first.files > FILES_GROWTH_MAX
    ]
