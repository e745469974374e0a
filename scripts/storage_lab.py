"""Try storage: `python -m scripts.storage_lab --cycles 1000 --images 500 --damages 500`.

First kill -9 in a loop while a writer acknowledges blocks, votes and sign states through a pipe:
nothing acknowledged may be missing after the next start. Then loss of power: the writes of a home's
life are traced, and images of what a disk may hold at any moment are opened (needs strace; 0 for
none). Then whole nodes on a disk that refuses (EIO, ENOSPC; needs strace) or is full (needs root).
Then damage of the medium: flipped bits,
lost, stale and misdirected pages. Each copy is opened by `check` and `scrub`, as
`python -m node --check` does; what they let pass must answer everything as before. What is found is
repaired by the node's scrubber with a sound store for a peer, or else fetched anew by catch-up.
At last what a validator remembers beside the chain (sign state, vote log, attestation journal,
snapshots) is damaged in the same ways: it must never sign twice, nor answer otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import structlog

from node.testing.lab import (
    Damage,
    Harm,
    Memory,
    Outcome,
    Repair,
    can_mount,
    damaged_copy,
    draw_refusal,
    make_memories,
    make_specimen,
    record,
    repair,
    run_cycles,
    run_full_disk,
    run_images,
    run_refusal,
    spoiled,
    try_damage,
    try_memory,
)

HEIGHTS = 30
FINDINGS_SHOWN = 20


def main() -> int:
    """Run both campaigns; 1 if something acknowledged was lost or damage passed unseen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=1000, help="kill -9 cycles")
    parser.add_argument("--images", type=int, default=0, help="images of a loss of power")
    parser.add_argument("--refusals", type=int, default=0, help="nodes whose disk refuses a call")
    parser.add_argument("--damages", type=int, default=500, help="damaged copies of each kind")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end each part then")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="andon-lab-") as name:
        folder = Path(name)
        is_sound = kill(folder / "kill", arguments.cycles, arguments.seed, arguments.seconds)
        if arguments.images:
            is_sound &= power(folder / "power", arguments.images, arguments.seed, arguments.seconds)
        if arguments.refusals:
            is_sound &= refuse(folder / "refuse", arguments.refusals, arguments.seed)
        is_sound &= rot(folder / "rot", arguments.damages, arguments.seed, arguments.seconds)
        is_sound &= forget(folder / "memory", arguments.damages, arguments.seed, arguments.seconds)
    return 0 if is_sound else 1


def kill(folder: Path, cycles: int, seed: int, seconds: float) -> bool:
    """Run the kill loop and print its counts."""
    result = run_cycles(folder, cycles, seed, until_s=time.monotonic() + seconds)
    print(
        f"kill -9: {result.cycles} cycles in {result.took_s:.1f} s "
        f"({60 * result.cycles / max(result.took_s, 1e-9):.0f}/min), "
        f"{result.killed_before_open} while opening ({result.killed_at_first_start} of them at a "
        f"first start), {result.acknowledged} acknowledgements, {len(result.findings)} findings",
        flush=True,
    )
    for finding in result.findings:
        print(f"  ! {finding}")
    return not result.findings


def power(folder: Path, count: int, seed: int, seconds: float) -> bool:
    """Open images of a loss of power and print their counts."""
    events = record(folder)
    began_s = time.monotonic()
    # In memory where there is some: the images are many and need not last.
    target = Path("/dev/shm") if Path("/dev/shm").is_dir() else folder  # noqa: S108 - a name of ours below
    with tempfile.TemporaryDirectory(prefix="andon-images-", dir=target) as name:
        result = run_images(events, count, seed, Path(name) / "homes", until_s=began_s + seconds)
    print(
        f"power loss: {result.images} images of {len(events)} writes and flushes "
        f"in {time.monotonic() - began_s:.1f} s, {len(result.findings)} findings",
        flush=True,
    )
    for finding in result.findings[:FINDINGS_SHOWN]:
        print(f"  ! {finding}")
    return not result.findings


def refuse(folder: Path, count: int, seed: int) -> bool:
    """Run whole nodes on disks that refuse, and one in ten on a disk that fills up."""
    draw = random.Random(f"refusals {seed}")  # noqa: S311 - no secret
    counts: Counter[str] = Counter()
    findings: list[str] = []
    began_s = time.monotonic()
    for number in range(count):
        if number % 10 == 9 and can_mount():
            findings += asyncio.run(run_full_disk(folder / str(number), number))
            counts["full disk"] += 1
            continue
        refusal = draw_refusal(draw)
        findings += asyncio.run(run_refusal(refusal, folder / str(number), number))
        counts[f"{refusal.error} of {refusal.call}"] += 1
        shutil.rmtree(folder / str(number), ignore_errors=True)
    print(
        f"refusals: {count} nodes in {time.monotonic() - began_s:.1f} s, {len(findings)} findings"
        f" ({', '.join(f'{number} {name}' for name, number in sorted(counts.items()))})",
        flush=True,
    )
    for finding in findings[:FINDINGS_SHOWN]:
        print(f"  ! {finding}")
    return not findings


def rot(folder: Path, count: int, seed: int, seconds: float) -> bool:
    """Damage copies of a store and print what became of them."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    specimen = make_specimen(folder / "specimen", HEIGHTS)
    draw = random.Random(f"rot {seed}")  # noqa: S311 - no secret
    counts: Counter[tuple[Damage, Outcome]] = Counter()
    repairs: Counter[Repair] = Counter()
    began_s = time.monotonic()
    trials = 0
    while trials < count and time.monotonic() - began_s < seconds:
        for damage in Damage:
            content = damaged_copy(specimen, damage, draw)
            outcome = try_damage(specimen, content, folder / "copy")
            counts[damage, outcome] += 1
            if outcome in (Outcome.DETECTED, Outcome.STOPPED):
                ended = repair(specimen, folder / "copy")
                repairs[ended] += 1
                if ended is Repair.NONE:
                    keep(content, f"unrepaired-{seed}-{trials}-{damage.name.lower()}")
            if outcome is Outcome.WRONG:
                keep(content, f"wrong-{seed}-{trials}-{damage.name.lower()}")
        trials += 1
    print(
        f"damage: {trials} copies of each kind in {time.monotonic() - began_s:.1f} s, "
        f"{len(specimen.content) // 4096} pages each"
    )
    for damage in Damage:
        row = ", ".join(f"{counts[damage, outcome]} {outcome.name.lower()}" for outcome in Outcome)
        print(f"  {damage.value:36} {row}", flush=True)
    found = sum(repairs.values())
    print(
        f"repair: {found} found, {repairs[Repair.IN_PLACE]} repaired in place, "
        f"{repairs[Repair.ANEW]} fetched anew, {repairs[Repair.NONE]} not repaired",
        flush=True,
    )
    is_repaired = repairs[Repair.NONE] * 100 <= found
    return is_repaired and not any(counts[damage, Outcome.WRONG] for damage in Damage)


def forget(folder: Path, count: int, seed: int, seconds: float) -> bool:
    """Damage what a validator remembers beside its chain, and print what became of it."""
    memories = make_memories(folder / "specimen")
    draw = random.Random(f"memory {seed}")  # noqa: S311 - no secret
    counts: Counter[tuple[Memory, Outcome]] = Counter()
    began_s = time.monotonic()
    trials = 0
    while trials < count and time.monotonic() - began_s < seconds:
        for memory in Memory:
            for harm in Harm:
                name, content = spoiled(memories, memory, harm, draw)
                outcome = try_memory(memories, memory, name, content, folder / "copy")
                counts[memory, outcome] += 1
                if outcome is Outcome.WRONG:
                    file = f"{Path(name).name}-{harm.name.lower()}"
                    keep(content, f"wrong-{seed}-{trials}-{memory.name.lower()}-{file}")
        trials += 1
    print(
        f"memory: {trials} copies of each kind and harm in {time.monotonic() - began_s:.1f} s",
        flush=True,
    )
    for memory in Memory:
        row = ", ".join(f"{counts[memory, outcome]} {outcome.name.lower()}" for outcome in Outcome)
        print(f"  {memory.value:36} {row}", flush=True)
    return not sum(counts[memory, Outcome.WRONG] for memory in Memory)


def keep(content: bytes, name: str) -> None:
    """Keep a copy that something is wrong with."""
    (kept := Path("out") / "storage-lab").mkdir(parents=True, exist_ok=True)
    (kept / f"{name}.mdb").write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
