"""Plants and validators as tasks against the contract, with a network that goes away."""

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from andon.client.federated import holder_of
from andon.core.codec import Key, Value, decode_value, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.state_key import state_key
from models.federated.command import (
    Terms,
    create_run,
    fetch_model,
    load_train,
    recompute_rounds,
    strategy_of,
    weights_of,
)
from models.federated.holding import Holding
from models.federated.journal import Journal
from models.federated.plan import STRATEGIES, Sent
from models.federated.plant import Plant
from models.federated.service import Watcher, run_plant, run_validator
from models.federated.trained import Floats, Trained
from models.federated.validation import Dense, Validation, validation_set, validation_to_bytes
from tests.models.federated.ledger import OWNER, Chain, Refused, create, plants, sight


@dataclass
class ChainLedger:
    """The ledger port over the in-memory chain; every call is a block. `failures` come first."""

    chain: Chain
    account: bytes
    failures: int = 0
    chain_id: str = "test"
    liars: tuple[bytes, ...] = ()
    """Validators whose nodes do not give what they said they hold."""
    kept: list[bytes] = field(default_factory=list)

    async def state(self, variable: str, key: Key) -> Value:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable(Code.UNREACHABLE, "the node restarts")
        value = self.chain.host.read(state_key(holder_of(variable), variable, key))
        return None if value is None else decode_value(value)

    async def height(self) -> int:
        return self.chain.height

    async def changed(self, wait_s: float) -> None:
        await asyncio.sleep(min(wait_s, 0.05))

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        await asyncio.sleep(0)
        self.chain.height += 1
        try:
            self.chain.call(self.account, method, **arguments)
        except Refused as refused:
            raise InvalidInput(Code.CONTRACT_FAILED, str(refused)) from None

    async def publish(self, blob: bytes) -> bytes:
        return self.chain.publish(blob)

    async def spread(self, blob: bytes) -> None:
        self.chain.publish(blob)

    async def keep(self, blob: bytes) -> None:
        self.kept.append(self.chain.publish(blob))

    async def serves(self, keeper: bytes, identity: bytes) -> bool | None:
        return None if keeper == self.account else keeper not in self.liars

    async def blob(self, identity: bytes) -> bytes:
        if identity not in self.chain.blobs:
            raise Unavailable(Code.NOT_FOUND, "no such blob")
        return self.chain.blobs[identity]


def half(model: Floats, number: int) -> Trained:
    del number
    return Trained(update=np.full(len(model), 0.5, np.float32))


async def test_a_run_of_two_masked_rounds_ends_by_itself_over_a_broken_network(
    tmp_path: Path,
) -> None:
    names = plants(4)
    chain = Chain.make(names)
    chain.is_holding = False
    create(chain, names, rounds_max=2, patience=100)
    said: list[str] = []
    async with asyncio.TaskGroup() as group:
        tasks = []
        for index, name in enumerate(names):
            ledger = ChainLedger(chain, name, failures=2 if index == 0 else 0)
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            tasks.append(group.create_task(run_plant(ledger, "run", name, plant, said.append)))
        for key in chain.validators():
            ledger = ChainLedger(chain, key)
            group.create_task(run_validator(ledger, "run", key, report=lambda text: None))
    assert [task.result() for task in tasks] == ["the run has ended"] * 4
    seen = sight(chain)
    assert seen.progress.number == 2
    run = chain.view("status", run="run")
    assert isinstance(run, dict)
    assert isinstance(run["run"], dict)
    state = chain.blobs[run["run"]["blob"]]  # type: ignore[index] # bytes
    assert np.frombuffer(state, "<i8")[:5].tolist() == [1 << 24] * 5
    # An outage is reported once, not at every look.
    assert said.count("will look again: the node restarts") == 1
    assert any("waiting, other members" in line for line in said)


async def test_a_missing_plant_is_passed_over_by_the_others(tmp_path: Path) -> None:
    names = plants(4)
    chain = Chain.make(names)
    chain.is_holding = False
    create(chain, names, rounds_max=1, patience=40)

    async with asyncio.TaskGroup() as group:
        clock = group.create_task(chain.grow())
        tasks = []
        for name in names[:3]:
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            work = run_plant(ChainLedger(chain, name), "run", name, plant, lambda text: None)
            tasks.append(group.create_task(work))
        for key in chain.validators():
            group.create_task(
                run_validator(ChainLedger(chain, key), "run", key, report=lambda text: None)
            )
        await asyncio.wait(tasks)
        clock.cancel()
    closed = chain.events("Closed")
    assert len(closed) == 1
    frozen = chain.events("Frozen")
    assert [e["survivors"] for e in frozen if isinstance(e, dict)] == [3]


def noisy_half(model: Floats, number: int) -> Trained:
    return Trained(update=half(model, number).update, rho=10)


async def test_models_wander_twice_before_they_are_averaged(tmp_path: Path) -> None:
    names = plants(4)
    chain = Chain.make(names)
    chain.is_holding = False
    wandering: Value = {"routes": 2}
    create(chain, names, rounds_max=3, patience=100, rho_budget=1000, conditions=wandering)
    async with asyncio.TaskGroup() as group:
        for name in names:
            plant = Plant(name, Journal(tmp_path / name.hex()), noisy_half)
            ledger = ChainLedger(chain, name)
            group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
        for key in chain.validators():
            group.create_task(
                run_validator(ChainLedger(chain, key), "run", key, report=lambda text: None)
            )
    assert len(chain.events("Taken")) == 8
    data, _ = await fetch_model(ChainLedger(chain, OWNER), "run")
    # Three trainings of a half each are in every model that is averaged.
    assert np.load(io.BytesIO(data)).tolist() == [1.5] * 5


def test_a_training_function_is_found_by_name_or_refused_with_a_hint() -> None:
    assert load_train("tests.models.federated.test_service:half").__name__ == "half"  # type: ignore[attr-defined] # a function
    for name in ("os", "nowhere:train", "os:nothing", ""):
        with pytest.raises(InvalidInput, match="training function"):
            load_train(name)


def zeros() -> Floats:
    return np.zeros(5, np.float32)


async def test_a_run_is_created_from_published_weights_and_its_result_fetched(
    tmp_path: Path,
) -> None:
    names = plants(3)
    chain = Chain.make(names)
    chain.is_holding = False
    owner = ChainLedger(chain, OWNER)
    initial = "tests.models.federated.test_service:zeros"
    terms = Terms(rounds=1, patience=100)
    assert await create_run(owner, "run", names[::-1], initial, terms) == 5
    data, digest = await fetch_model(owner, "run")
    assert np.load(io.BytesIO(data)).tolist() == [0.0] * 5
    async with asyncio.TaskGroup() as group:
        for name in names:
            ledger = ChainLedger(chain, name)
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
        for key in chain.validators():
            group.create_task(
                run_validator(ChainLedger(chain, key), "run", key, report=lambda text: None)
            )
    after, changed = await fetch_model(owner, "run")
    assert np.load(io.BytesIO(after)).tolist() == [0.5] * 5
    assert changed != digest
    with pytest.raises(InvalidInput, match="no run other"):
        await fetch_model(owner, "other")
    with pytest.raises(InvalidInput, match="initial weights function"):
        await create_run(owner, "second", names, "nowhere:initial", terms)
    with pytest.raises(InvalidInput, match="3 to 256 members"):
        await create_run(owner, "second", names[:2], initial, terms)


@dataclass
class Refusing(ChainLedger):
    """The contract takes no attestation of this validator."""

    refused: int = 0

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        if method == "attest":
            self.refused += 1
            raise InvalidInput(Code.CONTRACT_FAILED, "attested something else")
        await super().send(method, arguments)


async def test_a_refused_attestation_is_reported_and_the_next_round_attested(
    tmp_path: Path,
) -> None:
    names = plants(3)
    chain = Chain.make(names)
    create(chain, names, mode="plain", rounds_max=2, patience=100)
    keys = chain.validators()
    refusing, said = Refusing(chain, keys[0]), []
    async with asyncio.TaskGroup() as group:
        for name in names:
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            ledger = ChainLedger(chain, name)
            group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
        last = group.create_task(run_validator(refusing, "run", keys[0], report=said.append))
        await asyncio.sleep(2)
        for key in keys[1:]:
            ledger = ChainLedger(chain, key)
            group.create_task(run_validator(ledger, "run", key, report=lambda text: None))
    assert last.result() == "the run has ended"
    assert len(chain.events("Closed")) == 2
    assert refusing.refused <= 6
    assert sum("not attested" in line for line in said) >= 1


def judged() -> Validation:
    """Five numbers that are best at one: a network of one layer without inputs but zero."""
    inputs = np.zeros((1, 4), np.float32)
    layers = (Dense(1, is_relu=False),)
    return validation_set("regression", layers, inputs, np.ones(1))


async def carried_out(chain: Chain, names: list[bytes], folder: Path, values: list[float]) -> None:
    """Plants that each send their value in every round, and validators, until the run ends."""
    async with asyncio.TaskGroup() as group:
        for name, value in zip(names, values, strict=True):

            def train(model: Floats, number: int, value: float = value) -> Trained:
                return Trained(update=np.full(len(model), value, np.float32))

            plant = Plant(name, Journal(folder / name.hex()), train)
            ledger = ChainLedger(chain, name)
            group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
        for key in chain.validators():
            ledger = ChainLedger(chain, key)
            group.create_task(recompute_rounds(ledger, "run", key, report=lambda text: None))


async def test_the_command_scores_rounds_rolls_back_and_ends_at_the_target(tmp_path: Path) -> None:
    names = plants(3)
    chain = Chain.make(names)
    terms = Terms(
        mode="plain",
        rounds=9,
        patience=100,
        validation="tests.models.federated.test_service:judged",
        contributions=True,
        target=-10,
    )
    initial = "tests.models.federated.test_service:zeros"
    assert await create_run(ChainLedger(chain, OWNER), "run", names, initial, terms) == 5
    await carried_out(chain, names, tmp_path, [0.75, 0.5, -0.5])
    closed = [e for e in chain.events("Closed") if isinstance(e, dict)]
    # A quarter in each round: the error falls from one to nothing in four.
    assert [e["score"] for e in closed] == [-750, -500, -250, 0]
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    assert isinstance(status["run"], dict)
    assert status["run"]["reason"] == "the target score is reached"
    worth = [chain.view("record", run="run", account=name) for name in names]
    earned = [found["earned"] for found in worth if isinstance(found, dict)]
    assert earned[0] > earned[1] > 0 > earned[2]  # type: ignore[operator] # integers


async def test_validators_attest_no_round_of_a_run_that_states_another_score(
    tmp_path: Path,
) -> None:
    names = plants(3)
    chain = Chain.make(names)
    judge = chain.publish(validation_to_bytes(judged()))
    recipe: dict[Key, Value] = {"validation": judge}
    terms: dict[Key, Value] = {"score": 5}
    create(chain, names, mode="plain", recipe=recipe, patience=20, conditions=terms)
    said: list[str] = []
    async with asyncio.TaskGroup() as group:
        for name in names:
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            ledger = ChainLedger(chain, name)
            group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
        for key in chain.validators():
            ledger = ChainLedger(chain, key)
            group.create_task(run_validator(ledger, "run", key, report=said.append))
        while not chain.events("Stopped"):
            await asyncio.sleep(0.05)
            chain.height += 5
    assert chain.events("Closed") == []
    assert any("states the score 5 for its state, which has -1000" in line for line in said)


async def test_a_round_that_makes_the_score_worse_is_rolled_back(tmp_path: Path) -> None:
    names = plants(3)
    chain = Chain.make(names)
    terms = Terms(
        rounds=9, patience=100, validation="tests.models.federated.test_service:judged", stale=2
    )
    initial = "tests.models.federated.test_service:zeros"
    await create_run(ChainLedger(chain, OWNER), "run", names, initial, terms)
    # One step reaches the best model; every later one goes past it.
    await carried_out(chain, names, tmp_path, [1.0, 1.0, 1.0])
    closed = [e for e in chain.events("Closed") if isinstance(e, dict)]
    assert [(e["score"], e["kept"]) for e in closed] == [(0, True), (-1000, False), (-1000, False)]
    data, _ = await fetch_model(ChainLedger(chain, OWNER), "run")
    assert np.load(io.BytesIO(data)).tolist() == [1.0] * 5


async def test_even_the_first_round_is_rolled_back_if_it_makes_the_model_worse(
    tmp_path: Path,
) -> None:
    names = plants(3)
    chain = Chain.make(names)
    judge = "tests.models.federated.test_service:judged"
    terms = Terms(rounds=1, patience=100, validation=judge)
    initial = "tests.models.federated.test_service:zeros"
    await create_run(ChainLedger(chain, OWNER), "run", names, initial, terms)
    await carried_out(chain, names, tmp_path, [-1.0, -1.0, -1.0])
    closed = [e for e in chain.events("Closed") if isinstance(e, dict)]
    assert [(e["score"], e["kept"]) for e in closed] == [(-2000, False)]
    data, _ = await fetch_model(ChainLedger(chain, OWNER), "run")
    assert np.load(io.BytesIO(data)).tolist() == [0.0] * 5


@pytest.mark.parametrize("mode", ["plain", "full"])
async def test_members_weigh_as_much_as_they_have_records(mode: str, tmp_path: Path) -> None:
    names = plants(3)
    chain = Chain.make(names)
    sizes = dict(zip(names, (1000, 3000, 4000), strict=True))
    terms = Terms(mode=mode, rounds=1, patience=100, sizes=sizes)
    initial = "tests.models.federated.test_service:zeros"
    await create_run(ChainLedger(chain, OWNER), "run", names, initial, terms)
    await carried_out(chain, names, tmp_path, [8.0, 0.0, 0.0])
    data, _ = await fetch_model(ChainLedger(chain, OWNER), "run")
    # 63 of 63 + 191 + 255: proportions of the records within a weight of 255.
    assert np.load(io.BytesIO(data)) == pytest.approx(8 * 63 / 509, abs=1e-6)


async def test_terms_of_the_encoding_reach_the_run_and_its_result(tmp_path: Path) -> None:
    names = plants(3)
    chain = Chain.make(names)
    terms = Terms(
        mode="plain", rounds=1, patience=100, scale_bits=12, limit=2.0, norm_limit=64.0,
        strategy="momentum", server_rate=0.5, momentum=0.0,
    )  # fmt: skip
    initial = "tests.models.federated.test_service:zeros"
    await create_run(ChainLedger(chain, OWNER), "run", names, initial, terms)
    await carried_out(chain, names, tmp_path, [3.0, 3.0, 1.0])
    data, _ = await fetch_model(ChainLedger(chain, OWNER), "run")
    assert np.load(io.BytesIO(data)) == pytest.approx(0.5 * (2 + 2 + 1) / 3, abs=1e-3)


def test_strategies_by_name_and_sizes_that_cannot_be_are_refused() -> None:
    unit = 1 << Terms().fine_bits
    adam = strategy_of(Terms(strategy="adam", server_rate=0.25, floor=0.5))
    assert (adam.name, adam.rate, adam.floor) == ("adam", unit // 4, unit // 2)
    for name in STRATEGIES:
        assert strategy_of(Terms(strategy=name)).name == name
    for terms in (Terms(strategy="sgd"), Terms(server_rate=0.0), Terms(strategy="adam", floor=1e9)):
        with pytest.raises(InvalidInput, match=r"no strategy|bounds|floor"):
            strategy_of(terms)
    names = plants(2)
    for sizes in ({names[0]: 5}, {names[0]: 5, names[1]: 0}):
        with pytest.raises(InvalidInput, match="every member"):
            weights_of(names, sizes, 100)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("reveals", [[0, 0, bytes(33), bytes(16), 1]]),
        ("dealings", {"sealed": [1], "seed": [2], "key": [3]}),
        ("keys", {"mask_key": 1}),
    ],
)
async def test_a_part_that_cannot_be_read_counts_as_not_sent(variable: str, value: Value) -> None:
    names = plants(4)
    chain = Chain.make(names)
    create(chain, names)
    place: Key = ("run", 1, 1, names[0])
    chain.host.write(state_key(holder_of(variable), variable, place), encode_value(value))
    watcher = Watcher(ChainLedger(chain, names[1]), "run")
    progress = await watcher.progress(1)
    assert await watcher.sent(progress, names[0], (variable,)) == Sent()


@dataclass
class Clumsy(ChainLedger):
    """The first call of every method fails on its way."""

    said: list[str] = field(default_factory=list)

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        self.said.append(method)
        if self.said.count(method) == 1:
            raise Unavailable(Code.UNREACHABLE, "the node restarts")
        await super().send(method, arguments)


async def test_a_statement_that_did_not_arrive_is_made_again() -> None:
    names = plants(4)
    chain = Chain.make(names)
    chain.is_holding = False
    create(chain, names, mode="plain")
    for name in names:
        blob = chain.publish(name.ljust(20, b"\0")[:20])
        words: dict[str, Value] = {"blob": blob, "size": 20, "rho": 0, "norm": 0}
        chain.call(name, "commit", run="run", number=1, attempt=1, **words)
    key = chain.validators()[0]
    ledger = Clumsy(chain, key)
    watcher, holding = Watcher(ledger, "run"), Holding(ledger, "run", key)
    plan, progress = await watcher.plan(), await watcher.progress(1)
    commits = await watcher.commits(progress)
    with pytest.raises(Unavailable):
        await holding.look(plan, progress, commits)
    await holding.look(plan, progress, commits)
    assert ledger.said == ["hold", "hold"]
    await holding.look(plan, progress, commits)
    assert ledger.said == ["hold", "hold"]
