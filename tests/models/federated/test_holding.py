"""Validators and plants as tasks when updates are withheld: by plants, their nodes, keepers."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput
from models.federated.holding import Holding
from models.federated.journal import Journal
from models.federated.plant import Action, Plant, Send, Sight
from models.federated.secagg import Member
from models.federated.service import run_plant, run_validator
from tests.models.federated.ledger import Chain, act, create, plants, sight
from tests.models.federated.test_service import ChainLedger, half

PATIENCE = 40


@dataclass
class DeafNode(ChainLedger):
    """A plant's first node takes the blob and gives it to nobody; a mute plant tells no other."""

    is_mute: bool = False

    async def publish(self, blob: bytes) -> bytes:
        identity = self.chain.publish(blob)
        del self.chain.blobs[identity]
        return identity

    async def spread(self, blob: bytes) -> None:
        if not self.is_mute:
            await super().spread(blob)


class Traitor(Plant):
    """It deals shares of another seed than the one that it announced."""

    def _member(self, sight: Sight) -> Member | None:
        member = super()._member(sight)
        if member is not None and sight.progress.phase in ("DEAL", "REVEAL"):
            member._seed = bytes(32)
        return member


class Garbler(Plant):
    """It commits to true shares and seals to everybody else what nobody can open."""

    def next_action(self, sight: Sight) -> Action:
        action = super().next_action(sight)
        if isinstance(action, Send) and action.method == "deal":
            sealed: Value = [b"" if not part else bytes(114) for part in action.arguments["sealed"]]  # type: ignore[union-attr] # a list
            return replace(action, arguments={**action.arguments, "sealed": sealed})
        return action


async def carried_out(
    chain: Chain,
    ledgers: dict[bytes, ChainLedger],
    folder: Path,
    *,
    traitor: bytes = b"",
    garbler: bytes = b"",
    liars: tuple[bytes, ...] = (),
    shelves: type[ChainLedger] = ChainLedger,
) -> None:
    """Let plants and validators work while blocks come, until the run ends."""

    async with asyncio.TaskGroup() as group:
        clock = group.create_task(chain.grow())
        tasks = []
        for name, ledger in ledgers.items():
            kind = {traitor: Traitor, garbler: Garbler}.get(name, Plant)
            plant = kind(name, Journal(folder / name.hex()), half)
            tasks.append(
                group.create_task(run_plant(ledger, "run", name, plant, lambda text: None))
            )
        for key in chain.validators():
            shelf = shelves(chain, key, liars=liars)
            tasks.append(
                group.create_task(run_validator(shelf, "run", key, report=lambda text: None))
            )
        await asyncio.wait(tasks)
        clock.cancel()


def opened(names: list[bytes], rounds_max: int = 1) -> Chain:
    chain = Chain.make(names)
    chain.is_holding = False
    create(chain, names, rounds_max=rounds_max, patience=PATIENCE)
    return chain


def faults(chain: Chain, account: bytes) -> list[Value]:
    found = chain.view("record", run="run", account=account)
    assert isinstance(found, dict)
    rows = found["faults"]
    assert isinstance(rows, list)
    return [row[1] for row in rows if isinstance(row, list)]


def survivors(chain: Chain) -> list[Value]:
    return [event["survivors"] for event in chain.events("Frozen") if isinstance(event, dict)]


async def test_a_plant_whose_node_withholds_its_update_gives_it_to_the_others(
    tmp_path: Path,
) -> None:
    names = plants(4)
    chain = opened(names)
    ledgers = {name: ChainLedger(chain, name) for name in names[1:]}
    await carried_out(chain, {names[0]: DeafNode(chain, names[0]), **ledgers}, tmp_path)
    # Validators said that they miss it, it spread it, and it counts.
    place: Key = ("run", 1, 1, names[0])
    assert isinstance(await ledgers[names[1]].state("doubters", place), list)
    assert survivors(chain) == [4]
    assert faults(chain, names[0]) == []


async def test_a_plant_that_never_serves_is_blamed_and_the_others_go_on(tmp_path: Path) -> None:
    names = plants(4)
    chain = opened(names)
    ledgers = {name: ChainLedger(chain, name) for name in names[1:]}
    mute = DeafNode(chain, names[0], is_mute=True)
    await carried_out(chain, {names[0]: mute, **ledgers}, tmp_path)
    assert survivors(chain) == [3]
    assert faults(chain, names[0]) == ["false availability"]
    assert [faults(chain, name) for name in names[1:]] == [[], [], []]
    # The sum without it was unmasked and closed.
    assert len(chain.events("Closed")) == 1
    assert chain.events("Flagged") == []


async def test_a_keeper_that_does_not_serve_what_it_holds_is_accused(tmp_path: Path) -> None:
    names = plants(3)
    chain = opened(names)
    keys = chain.validators()
    ledgers = {name: ChainLedger(chain, name) for name in names}
    # Nobody would serve; one is asked, by all the others, and only that one is accused.
    await carried_out(chain, ledgers, tmp_path, liars=tuple(keys))
    blamed = [key for key in keys if faults(chain, key)]
    assert [faults(chain, key) for key in blamed] == [["false availability"]]
    assert len(chain.events("Closed")) == 1


class Gagged(ChainLedger):
    """No accusation gets through to the chain."""

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        if method == "accuse":
            raise InvalidInput(Code.MEMPOOL_FULL, "not now")
        await super().send(method, arguments)


async def test_an_accusation_that_does_not_get_through_holds_no_round_up(tmp_path: Path) -> None:
    names = plants(3)
    chain = opened(names, rounds_max=2)
    ledgers = {name: ChainLedger(chain, name) for name in names}
    liars = tuple(chain.validators())
    await carried_out(chain, ledgers, tmp_path, liars=liars, shelves=Gagged)
    assert len(chain.events("Closed")) == 2


async def test_validators_that_serve_are_not_accused(tmp_path: Path) -> None:
    names = plants(3)
    chain = opened(names, rounds_max=3)
    await carried_out(chain, {name: ChainLedger(chain, name) for name in names}, tmp_path)
    assert len(chain.events("Closed")) == 3
    assert [faults(chain, key) for key in chain.validators()] == [[]] * 4


async def test_a_dealer_of_wrong_secrets_is_suspended_and_nobody_else_left_out(
    tmp_path: Path,
) -> None:
    names = plants(7)
    chain = Chain.make(names)
    chain.is_holding = False
    rows: Value = [[name, 0 if index < 4 else 1, 1] for index, name in enumerate(names)]
    create(chain, names, mode="grouped", members=rows, rounds_max=1, patience=PATIENCE)
    ledgers = {name: ChainLedger(chain, name) for name in names}
    await carried_out(chain, ledgers, tmp_path, traitor=names[1])
    assert faults(chain, names[1]) == ["dealt wrong secrets"]
    left_out = [event["account"] for event in chain.events("LeftOut") if isinstance(event, dict)]
    assert left_out == [names[1]]
    assert [faults(chain, name) for name in names if name != names[1]] == [[]] * 6


async def test_a_round_without_a_usable_update_leaves_the_model_and_ends_no_validator(
    tmp_path: Path,
) -> None:
    names = plants(4)
    chain = opened(names)
    ledgers = {name: ChainLedger(chain, name) for name in names}
    # One masked sum has one row: a single wrong dealer empties it.
    await carried_out(chain, ledgers, tmp_path, traitor=names[1])
    assert faults(chain, names[1]) == ["dealt wrong secrets"]
    left_out = [event["account"] for event in chain.events("LeftOut") if isinstance(event, dict)]
    assert left_out == [names[1]]
    run = chain.view("status", run="run")
    assert isinstance(run, dict)
    assert isinstance(run["round"], dict)
    result = run["round"]["result"]
    assert isinstance(result, dict)
    assert result["state"] == run["round"]["base"]


@dataclass
class PickyNetwork(ChainLedger):
    """One blob cannot be asked for without an error of the asked."""

    broken: bytes = b""

    async def blob(self, identity: bytes) -> bytes:
        if identity == self.broken:
            raise InvalidInput(Code.MALFORMED, "so a node says")
        return await super().blob(identity)


def until_held(chain: Chain, names: list[bytes], folder: Path) -> Sight:
    """Let plants work until validators are to hold their updates."""
    workers = {name: Plant(name, Journal(folder / name.hex()), half) for name in names}
    while sight(chain).progress.phase != "HOLD":
        for name, plant in workers.items():
            act(chain, name, plant)
    return sight(chain)


async def test_an_update_that_nodes_answer_nonsense_for_is_missing_and_the_others_are_held(
    tmp_path: Path,
) -> None:
    names = plants(4)
    chain = opened(names)
    seen = until_held(chain, names, tmp_path)
    broken = seen.sent[names[0]].blob
    key = chain.validators()[0]
    shelf = PickyNetwork(chain, key, broken=broken)
    holding = Holding(shelf, "run", key)
    chain.height = seen.progress.deadline - 5
    await holding.look(seen.plan, seen.progress, seen.sent)
    assert holding.held == names[1:]
    assert await shelf.state("doubters", ("run", 1, 1, names[0])) == [key]
    assert await shelf.state("keepers", ("run", 1, 1, names[1])) == [key]


async def test_a_dealer_whose_shares_nobody_can_open_empties_one_round_and_not_the_next(
    tmp_path: Path,
) -> None:
    names = plants(5)
    chain = opened(names, rounds_max=2)
    ledgers = {name: ChainLedger(chain, name) for name in names}
    await carried_out(chain, ledgers, tmp_path, garbler=names[1])
    left_out = [event["account"] for event in chain.events("LeftOut") if isinstance(event, dict)]
    assert left_out == [names[1]]
    # No fault: other holders could have kept its shares back. The second round is without it.
    assert faults(chain, names[1]) == []
    assert survivors(chain) == [5, 4]
    run = chain.view("status", run="run")
    assert isinstance(run, dict)
    assert isinstance(run["round"], dict)
    result = run["round"]["result"]
    assert isinstance(result, dict)
    assert result["state"] != run["round"]["base"]
