"""Federated rounds: overhead, masking cost, robustness under attack, daisy-chaining.

Overhead is what a round costs beside training, in one process, 10 plants: encode, mask, share,
reveal, unmask, server step. Protocols are those of the reference; its task generators were not
published, so tables compare within themselves. `FEDERATED=robust` (or speed, daisy) chooses one.
"""

from __future__ import annotations

import hashlib
import os
import time

import numpy as np
from numpy.typing import NDArray

from models.federated import daisy, trial
from models.federated.attacks import ATTACKS
from models.federated.ring import Encoding
from models.federated.robust import Rule, RuleName
from models.federated.simulate import Federation
from models.federated.suite import Setting, run

Floats = NDArray[np.float32]
PLANTS = 10
SEEDS = 3
PAIRED_SEEDS = 10
STEPS = 400
RATE = 0.15
RATES = (0.1, 0.2, 0.3)
SIZES = (6_337, 1_002_697)
ROUNDS = 5
CELLS: tuple[tuple[str, RuleName, int, int, bool], ...] = (
    ("mean, plain", "mean", 2, 1, False),
    ("trimmed, plain", "trimmed", 2, 1, False),
    ("centred clipping, plain", "centred", 2, 1, False),
    ("agreeing, plain", "agreeing", 2, 1, False),
    ("root set, plain", "trust", 2, 1, False),
    ("root set, plain", "trust", 4, 1, False),
    ("centred, groups of 3", "centred", 2, 3, False),
    ("agreeing, groups of 3", "agreeing", 2, 3, False),
    ("root set, groups of 3", "trust", 2, 3, False),
    ("bound, groups of 3, mean", "mean", 2, 3, True),
    ("bound, groups of 3, mean", "mean", 4, 3, True),
    ("bound, groups, root set", "trust", 4, 3, True),
)


def main() -> None:
    """Run the chosen parts."""
    chosen = os.environ.get("FEDERATED", "speed,robust,daisy").split(",")
    if "speed" in chosen:
        speed()
    if "robust" in chosen:
        robust()
    if "daisy" in chosen:
        daisy_chain()


def speed() -> None:
    """Seconds a round beside training, all ten clients and the server in one process."""
    print("round overhead in one process, 10 plants, seconds (first; median; processor)")
    rng = np.random.default_rng(0)
    encoding = Encoding(16, 1 << 20, 1 << 26, 1, PLANTS)
    for size in SIZES:
        updates = [rng.normal(0, 0.01, size).astype(np.float32) for _ in range(PLANTS)]
        for name, is_masked, dropped in (
            ("plain", False, ()),
            ("masked", True, ()),
            ("masked, 3 dropped", True, (1, 4, 7)),
        ):
            federation = Federation.start(np.zeros(size, np.float32), encoding)
            federation.is_masked = is_masked
            taken, used = [], []
            for _ in range(ROUNDS):
                began, worked = time.perf_counter(), time.process_time()
                federation.step(updates, dropped)
                taken.append(time.perf_counter() - began)
                used.append(time.process_time() - worked)
            wall, work = float(np.median(taken[1:])), float(np.median(used[1:]))
            print(f"  {size:9,} {name:18} {taken[0]:7.3f} {wall:7.3f}   processor {work:7.3f}")


def robust() -> None:
    """Worst and single accuracies of each rule, Dirichlet(0.5), 10 plants, 40 rounds, 3 seeds."""
    print("accuracy in percent under attack, Dirichlet(0.5): " + ", ".join(ATTACKS))
    for name, rule, attackers, group, is_declared in CELLS:
        cells = []
        for attack in ATTACKS:
            found = [
                run(
                    Setting(
                        rule=Rule(name=rule, tolerated=_tolerated(rule, attackers, group)),
                        attack=attack,
                        attackers=attackers,
                        group=group,
                        is_declared=is_declared,
                        seed=seed,
                    )
                )
                for seed in range(SEEDS)
            ]
            cells.append(float(np.mean(found)))
        row = " ".join(f"{cell:5.1f}" for cell in cells)
        print(f"  {name:24} f={attackers} worst {min(cells):5.1f} | {row}", flush=True)


def _tolerated(rule: RuleName, attackers: int, group: int) -> int:
    if rule not in ("trimmed", "agreeing"):
        return 0
    return attackers if group == 1 else 1


def daisy_chain() -> None:
    """FedDC against FedAvg: 25 plants with 8 samples each, paired seeds.

    One step is one mini-batch of two samples, as in the paper: with all eight in a batch local
    training has no noise that wandering could even out. FedAvg also gets the best of three rates.
    """
    print(f"daisy-chaining, 25 plants x 8 samples, {STEPS} steps, {PAIRED_SEEDS} paired seeds")
    every, fifth = daisy.DaisyPlan(STEPS + 1, 1), daisy.DaisyPlan(STEPS + 1, 5)
    for alpha in (None, 0.1):
        name = "IID" if alpha is None else f"Dirichlet({alpha})"
        base = _daisy_runs(every, alpha, RATE)
        tuned = max((_daisy_runs(every, alpha, rate) for rate in RATES), key=np.mean)
        print(f"  {name}: FedAvg(b=1) {base.mean():.2f} %, at its best rate {tuned.mean():.2f} %")
        for plan in (daisy.DaisyPlan(1, 10), daisy.DaisyPlan(5, 50), fifth):
            found = _daisy_runs(plan, alpha, RATE)
            print(
                f"    d={plan.daisy_period:3} b={plan.aggregation_period:2}: "
                f"{_gain(found, base)} points over FedAvg(b=1), {_gain(found, tuned)} at its best "
                f"rate, {daisy.exchanges(plan, STEPS)} of {STEPS} exchanges",
                flush=True,
            )


def _gain(found: NDArray[np.float64], base: NDArray[np.float64]) -> str:
    gain = found - base
    return f"{gain.mean():+.2f} +- {gain.std(ddof=1) / np.sqrt(len(gain)):.2f}"


def _daisy_runs(plan: daisy.DaisyPlan, alpha: float | None, rate: float) -> NDArray[np.float64]:
    return np.array([daisy_run(plan, alpha, rate, seed) for seed in range(PAIRED_SEEDS)])


def daisy_run(plan: daisy.DaisyPlan, alpha: float | None, rate: float, seed: int) -> float:
    """Test accuracy in percent of the mean model after all steps; routes drawn as on the ledger."""
    rng = np.random.default_rng(seed)
    generator = trial.Generator(seed, 0.8)
    tasks = trial.split_dirichlet(generator.draw(200, rng), 25, alpha, rng)
    test = generator.draw(3000, rng)
    models: Floats = np.repeat(trial.initial_weights(seed)[None], 25, axis=0)
    local = trial.Local(steps=1, batch=2, rate=rate)
    for step in range(STEPS):
        models = trial.train_all(models, tasks, local, rng)
        match daisy.step_after(plan, step):
            case daisy.Step.AGGREGATE:
                models = np.repeat(models.mean(axis=0)[None], 25, axis=0)
            case daisy.Step.ROUTE:
                digest = hashlib.sha256(b"%d %d" % (seed, step)).digest()
                models[list(daisy.cycle(digest, 25))] = models.copy()
            case daisy.Step.LOCAL:
                pass
    return trial.accuracy(models.mean(axis=0), test)


if __name__ == "__main__":
    main()
