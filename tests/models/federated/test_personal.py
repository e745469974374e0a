"""Heads stay in the plant: what is shared, what a restart does, and what they are good for."""

from pathlib import Path

import numpy as np
import pytest

from andon.core.errors import Code, Corrupt, Misuse
from models.federated import trial
from models.federated.personal import KEPT_ROUNDS, Floats, Head, with_head
from models.federated.ring import Encoding
from models.federated.simulate import Federation
from models.federated.trained import Train, Trained

HEAD = trial.HIDDEN * trial.CLASSES + trial.CLASSES
BODY = trial.PARAMETERS - HEAD
PLANTS, ROUNDS = 4, 8
LOCAL = trial.Local(steps=10)


def add_one(whole: Floats, _number: int) -> Trained:
    return Trained(update=np.ones_like(whole), rho=7)


def test_a_run_sees_the_body_alone_and_the_head_moves_at_home(tmp_path: Path) -> None:
    head = Head(tmp_path, np.array([10, 20], np.float32))
    train = with_head(add_one, head)
    trained = train(np.zeros(3, np.float32), 1)
    assert trained.update.tolist() == [1, 1, 1]
    assert trained.rho == 7
    assert head.latest().tolist() == [11, 21]


def test_a_round_trained_again_after_a_kill_starts_where_it_began(tmp_path: Path) -> None:
    first = Head(tmp_path, np.zeros(2, np.float32))
    with_head(add_one, first)(np.zeros(3, np.float32), 1)
    with_head(add_one, first)(np.zeros(3, np.float32), 2)
    again = Head(tmp_path, np.zeros(2, np.float32))
    with_head(add_one, again)(np.zeros(3, np.float32), 2)
    assert again.latest().tolist() == [2, 2]


def test_only_the_last_rounds_are_kept(tmp_path: Path) -> None:
    head = Head(tmp_path, np.zeros(1, np.float32))
    for number in range(1, 6):
        head.save(number, np.full(1, number, np.float32))
    assert len(list(tmp_path.iterdir())) == KEPT_ROUNDS
    assert head.before(5).tolist() == [4]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    head = Head(tmp_path, np.zeros(2, np.float32))
    head.save(1, np.ones(2, np.float32))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Corrupt) as found:
        head.latest()
    assert found.value.code is Code.STORAGE_DAMAGED
    with pytest.raises(Corrupt):
        Head(tmp_path, np.zeros(3, np.float32)).latest()


def test_training_of_another_length_is_refused(tmp_path: Path) -> None:
    head = Head(tmp_path, np.zeros(2, np.float32))
    with pytest.raises(Misuse):
        with_head(lambda _w, _n: Trained(update=np.zeros(3, np.float32)), head)(
            np.zeros(3, np.float32), 1
        )
    with pytest.raises(Misuse):
        head.save(1, np.array([np.nan, 0], np.float32))
    assert head.latest().tolist() == [0, 0]


def test_plants_that_name_the_same_states_differently_need_heads(tmp_path: Path) -> None:
    tasks, tests = _renamed_plants()
    start = trial.initial_weights(0)
    shared = _federated(start, [_train_on(task, k) for k, task in enumerate(tasks)])
    heads = [Head(tmp_path / str(k), start[BODY:]) for k in range(PLANTS)]
    trains = [
        with_head(_train_on(task, k), head)
        for k, (task, head) in enumerate(zip(tasks, heads, strict=True))
    ]
    body = _federated(start[:BODY], trains)
    one = [trial.accuracy(shared, test) for test in tests]
    own = [
        trial.accuracy(np.concatenate([body, head.latest()]), test)
        for head, test in zip(heads, tests, strict=True)
    ]
    assert max(one) < 50
    assert min(own) > 60


def _renamed_plants() -> tuple[list[trial.Task], list[trial.Task]]:
    """The same machines; every plant numbers their states in an order of its own."""
    rng = np.random.default_rng(0)
    generator = trial.Generator(0, 0.5)
    tasks, tests = [], []
    for _ in range(PLANTS):
        names = rng.permutation(trial.CLASSES)
        for count, found in ((300, tasks), (500, tests)):
            drawn = generator.draw(count, rng)
            found.append(trial.Task(drawn.inputs, names[drawn.labels]))
    return tasks, tests


def _train_on(task: trial.Task, plant: int) -> Train:
    rng = np.random.default_rng(plant)

    def train(weights: Floats, _number: int) -> Trained:
        trained = trial.train_all(weights[None], [task], LOCAL, rng)[0]
        return Trained(update=trained - weights)

    return train


def _federated(start: Floats, trains: list[Train]) -> Floats:
    federation = Federation.start(start, Encoding(16, 1 << 20, 1 << 24, 1, PLANTS))
    federation.is_masked = True
    for number in range(1, ROUNDS + 1):
        federation.step([train(federation.weights(), number).update for train in trains])
    return federation.weights()
