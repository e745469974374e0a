"""Many seeds: run, gather what was reached, shrink what fails and store it as a regression."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from andon.core.errors import AndonError
from andon.core.genesis import Params
from node.testing.sim.messages import Script
from node.testing.sim.options import Options, draw, quiet
from node.testing.sim.world import World

HEALED_MS, EGRESS_MAX = "heal_ms", "egress_max"
REACHED = (
    "crash",
    "partition",
    "epoch",
    "evidence",
    "sync.used",
    "sync.left",
    "sync.held",
    "vote.SKIP",
    "block.refused.PREDICTION_MISMATCH",
    "block.refused.BAD_BLOCK",
    "message.refused.BAD_SIGNATURE",
    "message.refused.BAD_CERTIFICATE",
    "slot.reproposed",
    "slot.skip_chain",
    "clog",
    "clock.jump",
    "epoch.under_partition",
    "epoch.one_down",
    "jailed",
    "disk.torn.sign_state",
    "disk.lost.sign_state",
    "disk.lost.store",
    "disk.wiped",
    "disk.restored",
    "sign.old_refused",
)
"""A campaign that never saw one of these tested less than it says."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A red run: what was drawn, and what did not hold."""

    options: Options
    reason: str


@dataclass(slots=True)
class Summary:
    """Sum of many runs; `healed_ms_max` is the longest way back to three more blocks.

    `egress_max` is the most messages that an honest instance sent in a second, `cpu_s` what the
    processes used.
    """

    runs: int = 0
    cpu_s: float = 0.0
    egress_max: int = 0
    events: int = 0
    virtual_ms: int = 0
    heights: int = 0
    healed_ms_max: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Summary) -> None:
        """Take in another one."""
        self.runs += other.runs
        self.events += other.events
        self.virtual_ms += other.virtual_ms
        self.heights += other.heights
        self.cpu_s += other.cpu_s
        self.egress_max = max(self.egress_max, other.egress_max)
        self.healed_ms_max = max(self.healed_ms_max, other.healed_ms_max)
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.failures += other.failures

    def unreached(self) -> list[str]:
        """What should have happened and never did."""
        return [name for name in REACHED if not self.counts.get(name)]


def run_options(
    options: Options, params: Params | None = None, script: Script | None = None
) -> Summary:
    """Run one world; failures are data."""
    summary = Summary(runs=1)
    world = World(options, params, script)
    try:
        outcome = world.run()
    except (AssertionError, AndonError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rsplit('/', 1)[-1]}:{place.lineno}"
        summary.failures.append(Failure(options, f"{str(error) or type(error).__name__} ({where})"))
        return summary
    summary.events = outcome.events
    summary.virtual_ms = outcome.virtual_ms
    summary.heights = outcome.height
    summary.counts = dict(outcome.counts)
    summary.healed_ms_max = summary.counts.pop(HEALED_MS, 0)
    summary.egress_max = summary.counts.pop(EGRESS_MAX, 0)
    return summary


def run_seeds(seeds: Iterable[int], heights: int = 12) -> Summary:
    """Run the worlds of many seeds."""
    total = Summary()
    started_s = time.process_time()
    for seed in seeds:
        total.add(run_options(draw(seed, heights=heights)))
    total.cpu_s = time.process_time() - started_s
    return total


def load_failures(path: Path) -> list[Failure]:
    """Read stored red runs: options in full, so that a change of `draw` does not change them."""
    failures: list[Failure] = []
    for entry in json.loads(path.read_text()) if path.exists() else ():
        given = entry["options"]
        plain = quiet(given["seed"], nodes=given["nodes"], heights=given["heights"])
        options = msgspec.convert({**asdict(plain), **given}, Options)
        failures.append(Failure(options, entry["reason"]))
    return failures


def store_failures(path: Path, failures: Iterable[Failure]) -> None:
    """Add red runs to a file; the tests replay all of it."""
    known = load_failures(path)
    known += [failure for failure in failures if failure not in known]
    lines = [json.dumps({"reason": item.reason, "options": asdict(item.options)}) for item in known]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def shrink(failure: Failure, attempts_max: int = 60) -> Failure:
    """Take away faults while the run stays red, so that a human may read it."""
    best, attempts = failure, 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for options in _simpler(best.options):
            attempts += 1
            if attempts > attempts_max:
                return best
            again = run_options(options).failures
            if again:
                best, is_smaller = again[0], True
                break
    return best


def _simpler(options: Options) -> Iterator[Options]:
    plain = quiet(options.seed, nodes=options.nodes, heights=options.heights)
    plain = replace(plain, spare=options.spare)
    for name in (
        "crash",
        "partition_every_ms",
        "loss",
        "replay",
        "reorder",
        "skew_ms",
        "validate_ms",
        "actor",
        "liar",
        "set_changes",
        "late_node",
        "clog",
        "drift_ppm",
        "jump_ms",
        "changes",
        "jails",
        "loss_of",
        "weights",
    ):
        value = getattr(plain, name)
        if getattr(options, name) != value:
            yield replace(options, **{name: value})
    if options.heights > 2:
        yield replace(options, heights=options.heights // 2)
