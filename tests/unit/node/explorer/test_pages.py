"""Pages that show the state of standard contracts: models, federated runs, work orders."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from andon.client.models import manifest_of_blob, propose_arguments
from andon.core.codec import Dec, Key, Value, encode_value
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.model import model_id
from andon.core.state_key import state_key
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from node.explorer import Explorer
from node.explorer.changes import rows_of
from node.explorer.charts import Box, Series, graph, lines
from node.explorer.html import render
from node.explorer.pages_models import stability_index
from node.explorer.recent import BACKFILL_BLOCKS, Recent
from node.explorer.svg import Point, round_ticks, tick_text
from node.facade import Change, Wait
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

ROOT = Path(__file__).resolve().parents[4]
PACKAGE = ROOT / "models" / "packages" / "rul-demo" / "package.blob"
MEMBER = b"\x07" * 32
KEY = PrivateKey(b"\x2a" * 32)


class Door:
    def __init__(self, node: MemoryNode, url: str, http: aiohttp.ClientSession) -> None:
        self.node, self.url, self.http = node, url, http

    async def get(self, path: str) -> str:
        async with self.http.get(self.url + path) as response:
            assert response.status == 200, path
            return await response.text()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    node = MemoryNode()
    node.put("contracts", "meta", {"maintenance": {"version": 1}})
    node.put("identity", "members", {MEMBER: {"org": "plant-a", "roles": ["operator"]}})
    async with (
        RpcServer(node, extensions=[Explorer(node)]) as server,
        aiohttp.ClientSession() as http,
    ):
        yield Door(node, server.url, http)


async def test_a_model_shows_its_card_lineage_and_who_checked_it(door: Door) -> None:
    blob = PACKAGE.read_bytes()
    manifest = manifest_of_blob(blob)
    identity = model_id(manifest)
    await door.node.publish_blob(blob)
    entry: dict[Key, Value] = dict(
        propose_arguments(manifest, digest(Domain.BLOB, blob), len(blob)).items()
    )
    validators = door.node.validators().validators
    door.node.put("models", "packages", {identity: {**entry, "status": "ACTIVE"}})
    door.node.put(
        "models",
        "attestations",
        {(identity, validators[0].key): True, (identity, validators[1].key): False},
    )
    page = await door.get(f"/model/{identity.hex()}")
    assert "For demonstrations. It knows the simulator" in page
    assert "data: models.data" in page
    assert page.count(">hold<") == 1
    assert page.count(">refused<") == 1
    assert page.count(">not yet<") == 2


async def test_a_federated_run_shows_rounds_members_and_privacy(door: Door) -> None:
    run: Value = {
        "owner": MEMBER, "members": [[MEMBER, 0, 1]], "mode": "full", "elements": 12, "score": 7000,
        "state": bytes(32), "round": 2, "rounds_max": 5, "status": "RUNNING", "failures": 0,
        "rho_budget": 2_000_000, "recipe": {"rule": "mean", "validation": b"\xab" * 32},
    }  # fmt: skip
    closed: Value = {"score": 7000, "kept": True, "flags": [MEMBER], "height": 4}
    door.node.put("training", "runs", {"line-7": run})
    door.node.put(
        "training",
        "rounds",
        {
            ("line-7", 1): {"attempt": 1, "phase": "CLOSED", "frozen": [MEMBER], "result": closed},
            ("line-7", 2): {"attempt": 2, "phase": "ABORTED", "reason": "too few updates"},
        },
    )
    door.node.put("conduct", "spent", {("line-7", MEMBER): 500_000})
    assert "line-7" in await door.get("/federated")
    page = await door.get("/federated/line-7")
    assert "0.500 of 2.000" in page
    assert "plant-a" in page
    assert "rule mean, validation abababababababab" in page
    assert "ABORTED: too few updates" in page
    assert "7,000" in page
    assert "round 2 of 5" in await door.get("/")


async def test_a_quiet_machine_is_found_in_the_state_with_its_work_orders(door: Door) -> None:
    door.node.put("maintenance", "machines", {"press-1": {"rul": Dec(5 * 10**18), "height": 1}})
    order: Value = {
        "machine": "press-1", "status": "CLOSED", "opened": 1, "by": MEMBER, "failed": False,
    }  # fmt: skip
    other: Value = {"machine": "press-2", "status": "OPEN", "opened": 1, "by": MEMBER}
    door.node.put("maintenance", "orders", {1: order, 2: other})
    assert "/machine/press-1" in await door.get("/machines")
    page = await door.get("/machine/press-1")
    assert "false alarm" in page
    assert "plant-a" in page
    assert "OPEN" not in page


def test_the_stability_index_tells_a_shift_from_noise() -> None:
    early = [float(value % 10) for value in range(200)]
    assert stability_index(early, early) == 0.0
    assert stability_index(early, early[::-1]) < 0.01
    assert stability_index(early, [value + 6 for value in early]) > 0.25
    assert stability_index([1.0, 1.0], [1.0]) == 0.0


def test_a_graph_lays_sources_left_of_what_came_of_them() -> None:
    boxes = {name: Box(name, f"/lot/{name}") for name in "abc"}
    text = render(graph(boxes, [("a", "b"), ("b", "c"), ("a", "c")], "lots"))
    places = [text.index(f">{name}</text>") for name in "abc"]
    assert places == sorted(places)
    assert text.count("<path") == 3
    many = {str(number): Box(str(number), "/") for number in range(20)}
    assert "8 more are not drawn." in render(graph(many, [], "wide"))


def test_a_ring_in_a_graph_ends() -> None:
    boxes = {name: Box(name, "/") for name in "ab"}
    assert "<svg" in render(graph(boxes, [("a", "b"), ("b", "a")], "ring"))


def test_lines_fit_their_range_and_say_when_there_are_none() -> None:
    points = [Point(1, 100.0, "one"), Point(2, 101.0, "two")]
    text = render(lines([Series("measured", points)], [("upper", 102.0)], "chart"))
    assert "upper" in text
    assert text.count("<circle") == 2
    assert ">0</text>" not in text
    assert ">0</text>" in render(
        lines([Series("life", points)], [("upper", 102.0)], "chart", is_from_zero=True)
    )
    assert "No values yet" in render(lines([], [], "chart"))


async def test_contracts_and_machines_of_the_genesis_are_listed(door: Door) -> None:
    door.node.put(
        "maintenance", "machines", {"press-4": {"rul": 12, "state": "WORN", "height": 70}}
    )
    door.node.put("contracts", "meta", {"other": {"version": 3, "organisation": "plant-a"}})
    page = await door.get("/contracts")
    assert all(f'href="/contract/{item.name}"' in page for item in door.node.genesis.contracts)
    assert 'href="/contract/other"' in page
    assert 'href="/machine/press-4"' in await door.get("/machines")
    assert "WORN" in await door.get("/machine/press-4")


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (10_000, 10_005, ["10,000", "10,002", "10,004", "10,006"]),
        (0, 5, ["0", "2", "4", "6"]),
        (0.001, 0.004, ["0.001", "0.002", "0.003", "0.004"]),
        (7, 7, ["6", "8"]),
        (-3, 3, ["-4", "-2", "0", "2", "4"]),
    ],
)
def test_ticks_are_round_and_differ(low: float, high: float, texts: list[str]) -> None:
    ticks = round_ticks(low, high)
    written = [tick_text(value, ticks[1] - ticks[0]) for value in ticks]
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert len(set(written)) == len(written)
    assert written == texts


async def test_a_transaction_shows_what_it_changed_or_why_not(door: Door) -> None:
    door.node.put("maintenance", "machines", {"press-0": {"rul": 90, "machine": "press-0"}})
    identity = await _assess(door.node)
    page = await door.get(f"/tx/{identity.hex()}")
    assert "machines[press-0].rul" in page
    assert ">90<" in page
    assert ">50<" in page
    assert "machines[press-0].machine" not in page  # it stayed
    door.node.pruned_below = 99
    assert "no longer kept" in await door.get(f"/tx/{identity.hex()}")


def test_changes_name_their_variable_key_and_field() -> None:
    key = state_key("labels", "samples", ("steel", b"\x01" * 32))
    told: Value = {"org": "a", "answers": [[b"\x02", 1]], "deep": {"x": 1, "y": 2}}
    now: Value = {"org": "a", "answers": [], "deep": {"x": 1, "y": 3}, "new": True}
    contract, rows = rows_of(Change(key=key, before=encode_value(told), after=encode_value(now)))
    assert contract == "labels"
    start = f"samples[steel, {'01' * 8}… (32 bytes)]"
    assert sorted(row.name for row in rows) == [
        f"{start}.answers", f"{start}.deep.y", f"{start}.new"
    ]  # fmt: skip
    _, (row,) = rows_of(Change(key=state_key("labels", "count"), before=None, after=b"\x01"))
    assert (row.name, row.after) == ("count", 1)
    _, rows = rows_of(Change(key=key, before=encode_value(told), after=None))
    assert len(rows) == 4


async def test_a_quiet_night_does_not_empty_the_pages() -> None:
    node = MemoryNode()
    for number in range(3):
        node.put("maintenance", "machines", {f"press-{number}": {"state": "HEALTHY"}})
    await _assess(node)
    for _ in range(2 * BACKFILL_BLOCKS):
        node.put("identity", "quiet", {})
    recent = Recent(node)
    await recent.visit()
    assert [row.call for row in recent.transactions] == ["maintenance.assess"]
    assert [row.machine for row in recent.predictions] == ["press-0"]
    heights = [row.height for row in recent.blocks]
    assert heights == list(range(heights[0], heights[-1] - 1, -1))
    # Looked at again after another long silence, what was seen is still there, once.
    for _ in range(2 * BACKFILL_BLOCKS):
        node.put("identity", "quiet", {})
    await recent.visit()
    assert len(recent.transactions) == len(recent.predictions) == 1
    heights = [row.height for row in recent.blocks]
    assert heights[0] == node.status().height
    assert heights == list(range(heights[0], heights[-1] - 1, -1))


async def _assess(node: MemoryNode) -> bytes:
    """One final transaction that predicts 50 for press-0."""
    call = make_call("maintenance", "assess", {"machine": "press-0", "window": b"\x32"})
    body = TransactionBody(
        chain_id=node.genesis.chain_id,
        sender=KEY.public,
        nonce=bytes(8),
        expires_height=1_000,
        gas_limit=1_000_000,
        calls=(call,),
    )
    return (await node.submit(sign_transaction(body, KEY), Wait.FINAL, 1_000)).transaction_id
