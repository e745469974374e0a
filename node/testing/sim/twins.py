"""Twins: one key runs twice, and every step of the first slots has a partition of its own.

Steps are proposal, first votes, Final votes, certificates.

Source: Twins (OPODIS 2021), with masks per step: a mask per slot misses the classic bugs
(reliability reference, finding 1). After the first slots all is delivered, and blocks must come.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace

from andon.core.certificate import Vote, VoteKind
from andon.core.genesis import Params
from andon.core.wire import CertificateMessage, Proposal, VoteMessage
from node.testing.sim.campaign import Summary, run_options
from node.testing.sim.messages import SimMessage
from node.testing.sim.options import Options, quiet

NODES = 4
INSTANCES = NODES + 1
STEPS = 4
SPLITS = 2 ** (INSTANCES - 1)
"""Ways to split five instances into two sides; 0 is no split."""
PREFIX_MS = 900
PARAMS = Params(skip_timeout_ms=100, skip_timeout_max_ms=800, idle_block_ms=1, standstill_ms=250)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`masks[slot - 1][step]` splits the instances; who is cut off hears later, or never."""

    masks: tuple[tuple[int, ...], ...]
    twin: int
    is_held: bool

    def delay_ms(self, now_ms: int, source: int, target: int, message: SimMessage) -> int | None:
        """0 if the message passes; how long it is held; None if it is lost."""
        if now_ms >= PREFIX_MS:
            return 0
        place = _place(message)
        if place is None or place[0] > len(self.masks):
            return 0
        mask = self.masks[place[0] - 1][place[1]]
        if mask >> source & 1 == mask >> target & 1:
            return 0
        return PREFIX_MS - now_ms if self.is_held else None


def sample(seed: int, slots: int = 3) -> Scenario:
    """Draw a scenario; half the steps are not split, so that something may happen at all."""
    rng = random.Random(f"twins/{seed}")  # noqa: S311 - a reproducible scenario
    masks = tuple(
        tuple(rng.randrange(SPLITS) if rng.random() < 0.6 else 0 for _ in range(STEPS))
        for _ in range(slots)
    )
    return Scenario(masks, rng.randrange(NODES), rng.random() < 0.5)


def options_of(scenario: Scenario, seed: int) -> Options:
    """A quiet world but for the twin, whose clock is a little off: it builds other blocks."""
    options = quiet(seed, nodes=NODES, heights=2)
    return replace(
        options, actor="twin", actor_node=scenario.twin, delay_ms=1, jitter_ms=2, build_ms=0
    )


def run_scenarios(seeds: range, slots: int = 3) -> Summary:
    """Run sampled scenarios."""
    total = Summary()
    started_s = time.process_time()
    for seed in seeds:
        scenario = sample(seed, slots)
        total.add(run_options(options_of(scenario, seed), PARAMS, scenario))
    total.cpu_s = time.process_time() - started_s
    return total


def run_first_slot(codes: range, twin: int) -> Summary:
    """Run a part of the enumeration."""
    total = Summary()
    for code in codes:
        masks = tuple(code // SPLITS**step % SPLITS for step in range(STEPS))
        scenario = Scenario((masks,), twin, is_held=code % 2 == 1)
        total.add(run_options(options_of(scenario, code), PARAMS, scenario))
    return total


def _place(message: SimMessage) -> tuple[int, int] | None:
    match message:
        case Proposal():
            return message.vote.vote.slot, 0
        case VoteMessage():
            vote: Vote = message.vote.vote
            return vote.slot, 2 if vote.kind is VoteKind.FINAL else 1
        case CertificateMessage():
            return message.certificate.vote.slot, 3
        case _:
            return None
