"""Plants and validators as tasks against the contract, with a network that goes away."""

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from andon.client.federated import holder_of
from andon.core.codec import Key, Value, decode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.state_key import state_key
from models.federated.command import Terms, create_run, fetch_model, load_train
from models.federated.journal import Journal
from models.federated.plant import Plant
from models.federated.service import run_plant, run_validator
from models.federated.trained import Floats, Trained
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
            group.create_task(
                run_validator(ledger, "run", key, scorer=None, report=lambda text: None)
            )
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

    async def blocks() -> None:
        while True:
            await asyncio.sleep(0.05)
            chain.height += 1

    async with asyncio.TaskGroup() as group:
        clock = group.create_task(blocks())
        tasks = []
        for name in names[:3]:
            plant = Plant(name, Journal(tmp_path / name.hex()), half)
            work = run_plant(ChainLedger(chain, name), "run", name, plant, lambda text: None)
            tasks.append(group.create_task(work))
        for key in chain.validators():
            group.create_task(
                run_validator(
                    ChainLedger(chain, key), "run", key, scorer=None, report=lambda text: None
                )
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
                run_validator(
                    ChainLedger(chain, key), "run", key, scorer=None, report=lambda text: None
                )
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
                run_validator(
                    ChainLedger(chain, key), "run", key, scorer=None, report=lambda text: None
                )
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
        last = group.create_task(
            run_validator(refusing, "run", keys[0], scorer=None, report=said.append)
        )
        await asyncio.sleep(2)
        for key in keys[1:]:
            ledger = ChainLedger(chain, key)
            group.create_task(
                run_validator(ledger, "run", key, scorer=None, report=lambda text: None)
            )
    assert last.result() == "the run has ended"
    assert len(chain.events("Closed")) == 2
    assert refusing.refused <= 6
    assert sum("not attested" in line for line in said) >= 1
