"""What is submitted in a simulated world: plain transactions, predictions, changes of the set."""

from __future__ import annotations

import random

from andon.core.certificate import Validator, ValidatorSet
from andon.core.codec import encode
from node.testing.sim.chain import PREDICT, SET
from node.testing.sim.options import Options

TRANSACTIONS = 24

Pairs = list[tuple[bytes, int]]


def make_set(pairs: Pairs) -> ValidatorSet:
    """A set of fake keys."""
    return ValidatorSet(tuple(Validator(key, weight) for key, weight in sorted(pairs)))


def make_workload(options: Options, keys: list[bytes], rng: random.Random) -> list[bytes]:
    """Draw the transactions of a world, in the order in which they are submitted."""
    transactions = [
        PREDICT + b"%d" % index if rng.randrange(3) == 0 else b"count:%d" % index
        for index in range(TRANSACTIONS)
    ]
    weights = options.weights[: options.members]
    for change in range(options.set_changes):
        # Who may be guilty gains no weight and stays below a third.
        changed = [
            weight if index == options.faulty else weight + rng.randrange(2) * (change + 1)
            for index, weight in enumerate(weights)
        ]
        pairs = list(zip(keys, changed, strict=False))
        if options.members > 4 and options.faulty < 0 and rng.randrange(2):
            del pairs[rng.randrange(len(pairs))]
        _insert(transactions, pairs, rng)
    current = list(zip(keys, weights, strict=False))
    for kind in options.changes:
        changed_set = _changed(kind, options, keys, current, rng.randrange(64))
        if _may_rule(changed_set, keys, options):
            current = changed_set
            _insert(transactions, current, rng)
    return transactions


def _changed(kind: str, options: Options, keys: list[bytes], pairs: Pairs, place: int) -> Pairs:
    """Give the set after one change; the one before if it does not fit."""
    spare = (keys[options.spare], options.weights[options.spare])
    faulty = keys[options.faulty] if options.faulty >= 0 else b""
    others = [pair for pair in pairs if pair[0] != faulty]
    chosen = others[place % len(others)]
    rest = [pair for pair in pairs if pair != chosen]
    is_spare_in = any(key == spare[0] for key, _ in pairs)
    match kind:
        case "add":
            return pairs if is_spare_in else [*pairs, spare]
        case "remove":
            return rest
        case "weight":
            return [*rest, (chosen[0], chosen[1] + 1)]
        case "rotate":
            return pairs if is_spare_in else [*rest, (spare[0], chosen[1])]
        case _:
            raise AssertionError(kind)


def _may_rule(pairs: Pairs, keys: list[bytes], options: Options) -> bool:
    """Whoever is faulty stays below a third, and three remain at least."""
    faulty = keys[options.faulty] if options.faulty >= 0 else b""
    weight = sum(weight for key, weight in pairs if key == faulty)
    return 3 * weight < sum(weight for _, weight in pairs) and len(pairs) >= 3


def _insert(transactions: list[bytes], pairs: Pairs, rng: random.Random) -> None:
    transactions.insert(rng.randrange(len(transactions)), SET + encode(make_set(pairs)))
