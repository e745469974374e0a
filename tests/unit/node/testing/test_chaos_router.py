"""The router between the nodes of a local network: commands, refusals, what they do to links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from andon.core.errors import InvalidInput, Unavailable
from node.config import Home, load_config
from node.local_network import Plan, prepare
from node.testing.chaos.links import mode_of, shape
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import FAULTS_MAX, Fault, Verb, draw_plan, parse_plan
from node.testing.chaos.router import Command, Router, link_port, serve, tell
from node.testing.local_net import free_ports
from node.testing.proxy import Mode, Proxy

NODES = ("node-1", "node-2", "node-3")


@asynccontextmanager
async def routing(home: Path) -> AsyncIterator[None]:
    prepare(Plan(home=home, validators=3, seed=1, base_port=free_ports(6, seed=3)))
    task = asyncio.create_task(serve(home))  # noqa: TID251
    async with asyncio.timeout(10):
        while not (home / "chaos.pid").exists():
            assert not task.done(), task
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def ask(home: Path, verb: str, *nodes: str, amount: int = 0, for_ms: int = 0) -> list[str]:
    command = Command(verb=verb, nodes=nodes, amount=amount, for_ms=for_ms)
    return list((await asyncio.to_thread(tell, home, command)).faults)


async def test_every_link_gets_a_proxy_that_the_dialling_node_knows(tmp_path: Path) -> None:
    async with routing(tmp_path):
        manifest = prepare(Plan(home=tmp_path / "other", validators=3, seed=1))
        config = load_config(Home(tmp_path / "node-1"))
        assert set(config.peer_addresses) == {node.node_key for node in manifest.nodes[1:]}
        port = int(next(iter(config.peer_addresses.values())).rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
    # Gone without a trace: the next start dials directly.
    assert load_config(Home(tmp_path / "node-1")).peer_addresses == {}
    assert not (tmp_path / "chaos.sock").exists()


async def test_faults_add_up_end_by_themselves_and_are_logged(tmp_path: Path) -> None:
    async with routing(tmp_path):
        assert await ask(tmp_path, "delay", "node-1", amount=80) == ["delay 80 node-1"]
        assert await ask(tmp_path, "partition", "node-2", for_ms=60) == [
            "delay 80 node-1",
            "partition node-2",
        ]
        await asyncio.sleep(0.2)
        assert await ask(tmp_path, "drop", "node-3", amount=5) == [
            "delay 80 node-1",
            "drop 5 node-3",
        ]
        assert await ask(tmp_path, "heal") == []
    lines = (tmp_path / "chaos.jsonl").read_bytes().splitlines()
    events = [msgspec.json.decode(line)["event"] for line in lines]
    assert events == ["chaos.commanded", "chaos.commanded", "chaos.ended", *["chaos.commanded"] * 2]


@pytest.mark.parametrize(
    "command",
    [
        Command(verb="explode", nodes=("node-1",)),
        Command(verb="kill", nodes=("node-1",)),
        Command(verb="partition"),
        Command(verb="partition", nodes=("node-9",)),
        Command(verb="one-way", nodes=("node-1",)),
        Command(verb="delay", nodes=("node-1",)),
        Command(verb="drop", nodes=("node-1",), amount=10**9),
        Command(verb="partition", nodes=("node-1",), for_ms=-1),
    ],
)
async def test_bad_commands_are_refused_and_change_nothing(
    tmp_path: Path, command: Command
) -> None:
    async with routing(tmp_path):
        with pytest.raises(InvalidInput):
            await asyncio.to_thread(tell, tmp_path, command)
        assert await ask(tmp_path, "heal") == []


async def test_faults_are_bounded(tmp_path: Path) -> None:
    manifest = prepare(Plan(home=tmp_path, validators=3, seed=1))
    with EventLog(tmp_path / "log") as log:
        router = Router(tmp_path, manifest, log)
        for _ in range(FAULTS_MAX):
            router.obey(Command(verb="partition", nodes=("node-1",)))
        with pytest.raises(InvalidInput, match="at most"):
            router.obey(Command(verb="partition", nodes=("node-1",)))


def test_without_a_router_it_is_said_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        tell(tmp_path, Command(verb="heal"))
    assert "--chaos" in error.value.hint


def test_ports_of_links_differ_and_stay(tmp_path: Path) -> None:
    nodes = prepare(Plan(home=tmp_path, validators=4, seed=1, base_port=20_000)).nodes
    ports = [link_port(nodes, a, b) for a in nodes for b in nodes if a is not b]
    assert len(set(ports)) == len(ports) == 12
    assert min(ports) >= 22_000


def fault(verb: Verb, *nodes: str, amount: int = 0) -> Fault:
    return Fault(verb=verb, at_ms=0, until_ms=1, nodes=nodes, amount=amount)


@pytest.mark.parametrize(
    ("faults", "mode"),
    [
        ([], Mode.PASS),
        ([fault(Verb.PARTITION, "a")], Mode.CUT),
        ([fault(Verb.PARTITION, "a", "b")], Mode.PASS),
        ([fault(Verb.CABLE, "b")], Mode.STALL),
        ([fault(Verb.ONE_WAY, "a", "b")], Mode.STALL_FORWARD),
        ([fault(Verb.ONE_WAY, "b", "a")], Mode.STALL_BACKWARD),
        ([fault(Verb.ONE_WAY, "b", "a"), fault(Verb.ONE_WAY, "a", "b")], Mode.STALL),
        ([fault(Verb.CABLE, "a"), fault(Verb.PARTITION, "a")], Mode.CUT),
    ],
)
def test_the_hardest_fault_of_a_link_wins(faults: list[Fault], mode: Mode) -> None:
    assert mode_of("a", "b", faults) is mode


async def test_the_greatest_delay_and_loss_of_a_link_count() -> None:
    proxy = Proxy("127.0.0.1", 1)
    faults = [fault(Verb.DELAY, "a", amount=20), fault(Verb.DELAY, "b", amount=80)]
    shape({("a", "b"): proxy}, [*faults, fault(Verb.DROP, "c", amount=9)])
    assert proxy.delay_ms == 80
    assert proxy.reset_per_mille == 0
    shape({("a", "b"): proxy}, [])
    assert proxy.delay_ms == 0


def test_a_plan_reads_the_same_from_toml_and_json() -> None:
    plan = next(found for found in map(draw_plan, range(100)) if found.acts and found.faults)
    assert parse_plan(msgspec.json.encode(plan)) == plan
    toml = "\n".join(
        [
            f"seed = {plan.seed}\nvalidators = {plan.validators}\nclients = {plan.clients}",
            f'observers = {plan.observers}\nliar = "{plan.liar}"\nfaults_ms = {plan.faults_ms}',
            *(
                f'[[faults]]\nverb = "{item.verb.value}"\nat_ms = {item.at_ms}\n'
                f"until_ms = {item.until_ms}\namount = {item.amount}\n"
                f"nodes = {msgspec.json.encode(item.nodes).decode()}"
                for item in plan.faults
            ),
            *(
                f'[[acts]]\ndeed = "{act.deed.value}"\nat_ms = {act.at_ms}\namount = {act.amount}\n'
                f'node = "{act.node}"\npackage = "{act.package}"'
                for act in plan.acts
            ),
        ]
    )
    assert parse_plan(toml.encode()) == plan
    with pytest.raises(InvalidInput):
        parse_plan(b"seed = = 7")
