"""How soon a network is itself again: after cuts, restarts, and for a validator that is far behind.

First in the simulator, in virtual time, where it does not matter what else this machine does: the
first final block after a heal, for cuts of many lengths and kinds, against twice the longest skip
timeout. Then with four real processes: two halves that are cut and healed, all killed at once, and
one killed until it is ANDON_BENCH_BEHIND (1,000) blocks behind, until it votes again.
ANDON_BENCH_DRILLS (200) is the number of simulated drills of a kind.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from andon.core.genesis import Params
from node.log import LOG_FILE
from node.testing.local_net import LocalNet, NetPlan
from node.testing.sim.drill import Drill

DRILLS = int(os.environ.get("ANDON_BENCH_DRILLS", "200"))
BEHIND = int(os.environ.get("ANDON_BENCH_BEHIND", "1000"))
VOTES_GOAL_S = 10.0
REACH_MS_MAX = 60_000
REAL_S_MAX = 600.0
REAL = Params(idle_block_ms=10)
# Every fourth slot is the dead one's: with the usual 2 s, 1,000 blocks take 12 minutes to miss.
BEHIND_PARAMS = Params(idle_block_ms=10, skip_timeout_ms=200)
CUTS_MS = (200, 1_000, 5_000, 20_000, 120_000)


def main() -> None:
    """Run the drills and print what they took."""
    for name, drill in _DRILLS.items():
        _simulate(name, drill)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_real(Path(folder)))


# -- simulated ------------------------------------------------------------------------------


def _simulate(name: str, drill: Callable[[int], tuple[int, int]]) -> None:
    """Run drills of one kind, and say the median, the worst and how many missed the goal."""
    outcomes = [drill(seed) for seed in range(DRILLS)]
    times = sorted(took_ms for took_ms, _ in outcomes)
    missed = sum(took_ms > goal_ms for took_ms, goal_ms in outcomes)
    print(
        f"  {name:<38}{len(times):>5} drills: median {times[len(times) // 2]:>5} ms, worst "
        f"{times[-1]:>5} ms, goal {outcomes[0][1]} ms missed {missed} times (virtual time)",
        flush=True,
    )


def _goal_ms(drill: Drill) -> int:
    return 2 * drill.world.params.skip_timeout_max_ms


def _after_cut(seed: int, *sides: tuple[int, ...]) -> tuple[int, int]:
    drill = Drill(seed=seed)
    drill.reach(3, REACH_MS_MAX)
    drill.idle(seed % 97)  # the cut falls anywhere in a slot
    drill.cut(*sides)
    drill.idle(CUTS_MS[seed % len(CUTS_MS)] + seed)
    stood = drill.best
    drill.heal()
    return drill.reach(stood + 1, REACH_MS_MAX), _goal_ms(drill)


def _after_halves(seed: int) -> tuple[int, int]:
    return _after_cut(seed, (0, 1), (2, 3))


def _after_quarters(seed: int) -> tuple[int, int]:
    return _after_cut(seed, (0,), (1,), (2,), (3,))


def _after_restart(seed: int) -> tuple[int, int]:
    drill = Drill(seed=seed)
    drill.reach(3, REACH_MS_MAX)
    drill.idle(seed % 97)
    drill.stop(*drill.all)
    stood = drill.best
    drill.start(*drill.all)
    return drill.reach(stood + 1, REACH_MS_MAX), _goal_ms(drill)


def _after_lost_quorum(seed: int) -> tuple[int, int]:
    drill = Drill(seed=seed)
    drill.reach(3, REACH_MS_MAX)
    drill.stop(0, 1)
    drill.idle(CUTS_MS[seed % len(CUTS_MS)] + seed)
    stood = drill.best
    drill.start(0)
    return drill.reach(stood + 1, REACH_MS_MAX, (0, 2, 3)), _goal_ms(drill)


_DRILLS = {
    "halves cut and healed": _after_halves,
    "all links cut and healed": _after_quarters,
    "all restarted at once": _after_restart,
    "quorum lost and one started again": _after_lost_quorum,
}


# -- real -----------------------------------------------------------------------------------


async def _real(folder: Path) -> None:
    plan = NetPlan(home=folder / "net", seed=3, params=REAL)
    goal_s = 2 * REAL.skip_timeout_max_ms / 1000
    async with LocalNet(plan) as net:
        await net.wait_height(3, REAL_S_MAX)
        net.partition(net.names[:2], net.names[2:])
        await asyncio.sleep(20)
        stood = await net.height()
        net.heal()
        _print("halves cut for 20 s and healed", await _first_block(net, stood), goal_s)
        stood = await net.height()
        await asyncio.gather(*(net.kill(name) for name in net.names))
        await asyncio.gather(*(net.start(name) for name in net.names))
        _print("all killed and started", await _first_block(net, stood), goal_s)
    plan = NetPlan(home=folder / "behind", seed=4, params=BEHIND_PARAMS)
    async with LocalNet(plan) as net:
        await net.wait_height(3, REAL_S_MAX)
        took_s, blocks = await _behind(net, "node-4")
        _print(f"{blocks} blocks behind, until it votes", took_s, VOTES_GOAL_S)


async def _first_block(net: LocalNet, stood: int) -> float:
    """Seconds from now until any node has a block more."""
    started_s = time.monotonic()
    await net.wait(
        lambda found: any(int(status.height) > stood for status in found.values()), REAL_S_MAX
    )
    return time.monotonic() - started_s


async def _behind(net: LocalNet, name: str) -> tuple[float, int]:
    """Let one miss many blocks; seconds from its start until it votes at the others' height."""
    others = [other for other in net.names if other != name]
    missed_from = await net.height()
    await net.kill(name)
    await net.wait_height(missed_from + BEHIND, REAL_S_MAX, others)
    blocks = await net.height() - missed_from
    log = net.home(name).logs / LOG_FILE
    offset = log.stat().st_size
    started_s = time.monotonic()
    await net.start(name)
    await net.wait_height(missed_from + BEHIND, REAL_S_MAX, [name])
    while b"vote.sent" not in _since(log, offset):
        if time.monotonic() - started_s > REAL_S_MAX:
            raise SystemExit(f"{name} does not vote; its log is {log}")
        await asyncio.sleep(0.05)
    return time.monotonic() - started_s, blocks


def _since(log: Path, offset: int) -> bytes:
    """What was logged after a place; all of a file that was begun anew meanwhile."""
    data = log.read_bytes()
    return data[offset:] if len(data) >= offset else data


def _print(name: str, took_s: float, goal_s: float) -> None:
    verdict = "met" if took_s <= goal_s else f"missed by {took_s - goal_s:.1f} s"
    print(
        f"  {name:<38}{took_s:6.1f} s, goal {goal_s:.0f} s {verdict} (real processes)", flush=True
    )
