"""Runs the attack suite: accuracy of each rule under each attack, in the integers of a run.

The protocol of the reference's table: 10 plants, 40 rounds, seven columns, the worst one counts.
The task is `trial`, not the reference's (its generator was not published), so figures compare
within one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
from msgspec.structs import replace

from models.federated import trial
from models.federated.attacks import AttackName, attack_updates
from models.federated.ring import Encoding, Sums, Units, encode_update, squared_norm
from models.federated.robust import Rule, apply_rule, fine_mean, fine_rows
from models.federated.strategies import model_from_fine, model_to_fine

SCALE_BITS = 16
FINE = SCALE_BITS + 8
NOISE = 1.0  # clean accuracy near the reference's 88.9 on Dirichlet(0.5)
ROOT_SAMPLES = 100
DIVERGED = 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One cell of the table.

    `group` 1 is plain mode; otherwise plants are summed in groups of at least that size.
    `bound` is an L2 bound on each update, enforced by everybody in plain mode and by the group
    check in grouped mode; 0 is none. With `is_declared` it is the lower median of what all
    plants declared in the round before, as in grouped runs on the ledger.
    """

    rule: Rule
    attack: AttackName
    attackers: int
    alpha: float | None = 0.5
    plants: int = 10
    rounds: int = 40
    group: int = 1
    bound: float = 0.0
    is_declared: bool = False
    seed: int = 0


def run(setting: Setting) -> float:
    """Train under attack and return the test accuracy in percent."""
    rng = np.random.default_rng(1000 + setting.seed)
    generator = trial.Generator(setting.seed, NOISE)
    test = generator.draw(3000, rng)
    root = generator.draw(ROOT_SAMPLES, rng)
    tasks = trial.split_dirichlet(generator.draw(3000, rng), setting.plants, setting.alpha, rng)
    if setting.attack == "label_flip":
        for index in range(setting.attackers):
            tasks[index] = trial.Task(tasks[index].inputs, 5 - tasks[index].labels)
    model = model_to_fine(trial.initial_weights(setting.seed), FINE)
    groups = fixed_groups(setting.plants, setting.group, rng)
    trained = [*tasks, root] if setting.rule.name == "trust" else tasks
    encoding, bound = _encoding(setting), int(setting.bound * (1 << SCALE_BITS))
    for _ in range(setting.rounds):
        weights = model_from_fine(model, FINE)
        if float(np.abs(weights).max()) > DIVERGED:
            break  # what the attackers wanted; the accuracy below tells
        rows = np.repeat(weights[None], len(trained), axis=0)
        updates = trial.train_all(rows, trained, trial.Local(), rng) - weights
        sent = attack_updates(setting.attack, updates[: setting.plants], setting.attackers, rng)
        units = [encode_update(row, encoding) for row in sent]
        declared = sorted(isqrt(squared_norm(row)) for row in units)
        if bound and setting.is_declared:
            # Attackers shorten nothing; the sum of their group tells if they should have.
            for index in range(setting.attackers, setting.plants):
                units[index] = encode_update(sent[index], replace(encoding, norm_limit=bound))
        root_row = None
        if setting.rule.name == "trust":
            root_row = fine_rows([encode_update(updates[-1], encoding)])[0]
        found = _grouped(units, groups, bound)
        if setting.is_declared:
            bound = max(1, declared[(setting.plants - 1) // 2])
        if len(found):
            model = model + apply_rule(setting.rule, found, root=root_row)
    return trial.accuracy(model_from_fine(model, FINE), test)


def fixed_groups(plants: int, size: int, rng: np.random.Generator) -> list[list[int]]:
    """Split plants at random into `plants // size` groups of nearly equal size."""
    order = [int(place) for place in rng.permutation(plants)]
    count = max(1, plants // size)
    return [order[k::count] for k in range(count)]


def within_bound(total: Sums, members: int, bound_units: int) -> bool:
    """Whether a sum of `members` updates can consist of updates within the bound."""
    return squared_norm(total) <= (members * bound_units) ** 2


def _grouped(units: list[Units], groups: list[list[int]], bound_units: int) -> Sums:
    rows = []
    for group in groups:
        total = np.stack([units[k].astype(np.int64) for k in group]).sum(axis=0)
        if not bound_units or within_bound(total, len(group), bound_units):
            rows.append(fine_mean(total, len(group)))
    return np.stack(rows) if rows else np.zeros((0, len(units[0])), np.int64)


def _encoding(setting: Setting) -> Encoding:
    # In plain mode everybody can check the bound, so nobody's encoder exceeds it; in grouped
    # mode an attacker's encoder does as it likes and only the group's sum is checked.
    free = 1 << 30
    bound = int(setting.bound * (1 << SCALE_BITS))
    return Encoding(SCALE_BITS, 1 << 22, bound if bound and setting.group == 1 else free, 1, 10)
