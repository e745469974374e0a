"""The contract `maintenance` with certified models of failure class and anomaly, not with fakes."""

from __future__ import annotations

import numpy as np
from flax import nnx
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from andon.core.codec import Dec, Key, Value
from contracts_py.engine import Mode, Prediction
from contracts_py.library import source
from models.certificate import certify_graph
from models.interpreter import interpret
from models.recipes.anomaly import Autoencoder, reconstruction_part
from models.recipes.learners import Goal, Part, TreeLearner
from tests.unit.contracts_py.plants import ADMINS, STEEL, members, table
from tests.unit.contracts_py.world import World

UNIT = 10**18
CHANNELS = 6
CLASSES = ("fine", "bearing", "belt")


def rows(kind: int, count: int, dice: np.random.Generator) -> NDArray[np.int8]:
    """Six channels that follow one load; a bearing lifts two of them, a belt breaks the link."""
    load = dice.normal(0, 30, (count, 1))
    found = load * np.array([1, 0.8, -0.6, 0.4, 1, -1]) + dice.normal(0, 3, (count, CHANNELS))
    if kind == 1:
        found[:, 1:3] += 50
    if kind == 2:
        found[:, 4] = dice.normal(0, 40, count)
    return np.clip(found.round(), -127, 127).astype(np.int8)


def host(world: World, alias: str, part: Part, steps: int) -> None:
    certify_graph(part.graph, part.tensors)

    def run(window: bytes) -> Prediction:
        outputs = interpret(part.graph, part.tensors, np.frombuffer(window, np.int8)[np.newaxis])
        return Prediction(tuple(int(value) for value in outputs[0]), 1, steps, 100)

    world.host.models[alias] = run


def test_certified_models_name_the_failure_and_see_what_was_never_seen() -> None:
    dice = np.random.default_rng(3)
    normal = rows(0, 600, dice)
    inputs = np.concatenate([normal[:200], rows(1, 200, dice), rows(2, 200, dice)])
    goal = Goal(kind="classes", outputs=3, low=0.0, high=1.0)
    forest = TreeLearner("forest", lambda seed: RandomForestClassifier(20, random_state=seed))
    part = forest.fit(inputs, np.repeat([0.0, 1.0, 2.0], 200), goal, 0)
    odd, score = reconstruction_part(
        Autoencoder(CHANNELS, rngs=nnx.Rngs(0)), normal, 0, lambda _: None
    )
    usual = interpret(odd.graph, odd.tensors, normal)[:, 0] / score.steps
    limit = float(np.quantile(usual, 0.99))
    world = members()
    world.host.models["rul"] = lambda _: Prediction((90,), 1, 1, 100)
    host(world, "class", part, goal.steps)
    host(world, "odd", odd, score.steps)
    world.put("scores", source("scores"))
    world.host.sources["maintenance"] = source("maintenance")
    outcome = world.run("maintenance", "", mode=Mode.INIT, sender=ADMINS[STEEL], model="rul")
    assert outcome.ok, outcome.failure
    changes: dict[Key, Value] = {
        "class_model": "class", "classes": [*CLASSES], "class_margin": Dec(UNIT // 10),
        "anomaly_model": "odd", "anomaly_limit": Dec(round(limit * UNIT)),
        "anomaly_margin": Dec(0),
    }  # fmt: skip
    world.value("maintenance", "configure", sender=ADMINS[STEEL], changes=changes)

    def examined(row: NDArray[np.int8]) -> tuple[Value, Value]:
        found = table(
            world.value(
                "maintenance", "examine", sender=STEEL, machine="m1", window=b"\x5a",
                class_window=row.tobytes(), anomaly_window=row.tobytes(),
            )
        )  # fmt: skip
        return found["failure"], found["anomaly_verdict"]

    # A broken belt and a small load look as usual; channels that are lifted never do.
    named, alarms = [], []
    for kind, name in enumerate(CLASSES):
        fresh = [examined(row) for row in rows(kind, 20, dice)]
        named.append(sum(failure == name for failure, _ in fresh))
        alarms.append(sum(verdict == "ABOVE" for _, verdict in fresh))
    assert min(named) >= 12, named
    assert alarms[0] <= 2, alarms
    assert alarms[1] >= 10, alarms
