"""Every page of the explorer over loopback, with a node in memory behind it."""

import asyncio
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import aiohttp
import pytest
from yarl import URL

from andon.client import AsyncClient
from andon.core.codec import encode_value
from andon.core.errors import InvalidInput
from andon.core.genesis import genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.proof import decode_bundle, verify_bundle
from andon.core.state_key import state_key
from andon.core.transaction import Call, make_call
from node.explorer import Explorer
from node.explorer.charts import Series, lines
from node.explorer.html import render, table, tag
from node.explorer.pages_contracts import argument
from node.explorer.recent import PREDICTIONS_MAX, Recent
from node.explorer.svg import Point, sparkline, vote_bar
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode

KEY = PrivateKey(b"\x2a" * 32)
EVIL = '<script>alert("x")</script>'


class Door:
    def __init__(self, node: MemoryNode, url: str, http: aiohttp.ClientSession) -> None:
        self.node, self.url, self.http = node, url, http
        self.hash = ""

    async def get(self, path: str, part: str = "") -> tuple[int, str]:
        headers = {"X-Part": part} if part else {}
        async with self.http.get(URL(self.url + path, encoded=True), headers=headers) as response:
            self.headers = response.headers
            return response.status, await response.text()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    node = MemoryNode()
    async with (
        RpcServer(node, extensions=[Explorer(node)]) as server,
        aiohttp.ClientSession() as http,
        AsyncClient(server.url, genesis=node.genesis, key=KEY) as client,
    ):
        door = Door(node, server.url, http)
        for number in (90, 60, 20):
            await client.send("maintenance", "assess", machine="press-7", window=bytes([number]))
        await client.send("maintenance", "assess", machine=EVIL, window=b"\x32")
        failed = await client.submit(_call())
        door.hash = failed.hash.hex()
        yield door


def _call() -> Call:
    return make_call("maintenance", "fail", {})


class Checker(HTMLParser):
    """Collects what a strict policy and a screen reader care about."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.links: set[str] = set()
        self.scripts = 0
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag not in ("meta", "link", "input", "br", "hr", "img"):
            self.stack.append(tag)
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.bad.append(f"{tag} {name}")
            if name in ("href", "src", "action") and value and not value.startswith(("/", "#")):
                self.bad.append(f"{tag} leads to {value}")
        if tag == "a" and named.get("href"):
            self.links.add(str(named["href"]))
        if tag == "script":
            self.scripts += 1
            if "src" not in named:
                self.bad.append("inline script")
        # A graph holds links, which an image would hide from a screen reader: it is a named group.
        is_named_group = named.get("role") == "group" and bool(named.get("aria-label"))
        if tag == "svg" and named.get("role") != "img" and not is_named_group:
            self.bad.append("svg without role")

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.bad.append(f"unbalanced {tag}")


PAGES = (
    "/", "/blocks", "/block/1", "/transactions", "/validators", "/predictions", "/machines",
    "/machine/press-7", "/models", "/federated", "/contracts", "/network", "/verify",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_whole_and_keeps_to_its_origin(door: Door, path: str) -> None:
    status, text = await door.get(path)
    assert status == 200
    checker = Checker()
    checker.feed(text)
    assert checker.bad == []
    assert checker.stack == []
    assert checker.scripts == (2 if path == "/verify" else 1)
    assert "default-src 'none'" in door.headers["Content-Security-Policy"]
    assert EVIL not in text


async def test_every_link_of_every_page_leads_somewhere(door: Door) -> None:
    seen: set[str] = set()
    wanted = list(PAGES)
    while wanted:
        path = wanted.pop()
        if path in seen or path.startswith("#"):
            continue
        seen.add(path)
        status, text = await door.get(path)
        # The node in memory keeps no registry and no sources: their pages say so.
        assert status == 200 or path.startswith(("/model/", "/contract/")), path
        if door.headers["Content-Type"].startswith("text/html"):
            checker = Checker()
            checker.feed(text)
            assert checker.bad == [], path
            wanted += [link for link in checker.links if "/proof/" not in link]
    assert len(seen) > 25


async def test_a_failed_transaction_shows_contract_line_and_message(door: Door) -> None:
    status, text = await door.get(f"/tx/{door.hash}")
    assert status == 200
    assert "failed: E_REQUIRE" in text
    assert "maintenance.fail, line 12: rul below zero" in text


async def test_a_prediction_shows_votes_and_gives_a_proof_that_holds(door: Door) -> None:
    _, text = await door.get("/predictions")
    identity = re.findall(r"/prediction/([0-9a-f]+)", text)[0]
    _, page = await door.get(f"/prediction/{identity}")
    assert "4 of 4" in page
    async with door.http.get(f"{door.url}/proof/prediction/{identity}") as response:
        verified = verify_bundle(door.node.genesis, decode_bundle(await response.read()))
    assert verified.signed_weight == 4


async def test_a_machine_shows_its_curve_state_and_alerts(door: Door) -> None:
    status, text = await door.get("/machine/press-7")
    assert status == 200
    assert text.count("<circle") == 3
    assert "maintenance.alert" in text
    assert "State in maintenance" in text
    assert (await door.get("/machine/nobody"))[0] == 404


async def test_the_genesis_file_is_the_one_that_operators_exchange(door: Door) -> None:
    status, text = await door.get("/genesis.json")
    assert status == 200
    assert genesis_from_json(text.encode()) == door.node.genesis


SOURCE = b'''"""Machines."""
machines = Map(key=str, value=dict)

@export(role="operator")
def assess(machine: str, window: bytes) -> dict:
    return {}

@view
def status(machine: str) -> any:
    return machines.get(machine)
'''


async def test_a_contract_shows_its_methods_and_its_views_can_be_called(door: Door) -> None:
    key = state_key("contracts", "source", "maintenance")
    door.node._state[key] = encode_value(SOURCE)
    status, text = await door.get("/contract/maintenance")
    assert status == 200
    checker = Checker()
    checker.feed(text)
    assert checker.bad == []
    assert "(machine: str, window: bytes) -&gt; dict" in text
    assert "operator" in text
    _, text = await door.get("/contract/maintenance?method=status&a.machine=press-7")
    assert "&quot;rul&quot;: 20" in text
    assert 'value="press-7"' in text


@pytest.mark.parametrize("query", ["method=assess&a.machine=x", "method=nothing", "method=status"])
async def test_only_views_are_called_and_only_with_their_arguments(door: Door, query: str) -> None:
    key = state_key("contracts", "source", "maintenance")
    door.node._state[key] = encode_value(SOURCE)
    status, text = await door.get(f"/contract/maintenance?{query}")
    assert status in (400, 404)
    assert "Traceback" not in text


def test_what_is_typed_into_a_form_is_read_by_its_form() -> None:
    assert [argument(text) for text in ("press-7", "7", "0x0a", '"7"', "[1]", "{")] == [
        "press-7", 7, b"\n", "7", [1], "{",
    ]  # fmt: skip
    with pytest.raises(InvalidInput):
        argument("x" * 10_001)


async def test_names_from_the_chain_are_never_markup(door: Door) -> None:
    _, text = await door.get("/machines")
    assert "&lt;script&gt;" in text
    assert EVIL not in text


@pytest.mark.parametrize(
    ("query", "target"),
    [("2", "/block/2"), ("press-7", "/machine/press-7"), ("999", None), ("", None)],
)
async def test_search_finds_heights_and_machines(
    door: Door, query: str, target: str | None
) -> None:
    await door.get("/")
    async with door.http.get(
        f"{door.url}/search", params={"q": query}, allow_redirects=False
    ) as response:
        if target is None:
            assert response.status == 404
        else:
            assert response.headers["Location"] == target


async def test_search_finds_hashes_of_any_kind(door: Door) -> None:
    block = (await door.node.block(1)).hash.hex()
    for given, target in ((door.hash, f"/tx/{door.hash}"), ("0x" + block, f"/block/{block}")):
        async with door.http.get(
            f"{door.url}/search", params={"q": given}, allow_redirects=False
        ) as response:
            assert response.headers["Location"] == target


@pytest.mark.parametrize(
    "path", ["/block/99", "/block/zz", "/tx/00", "/prediction/zz", "/model/00"]
)
async def test_what_is_not_there_is_a_page_that_says_so(door: Door, path: str) -> None:
    status, text = await door.get(path)
    assert status in (400, 404)
    assert "<h1>" in text
    assert "Traceback" not in text


async def test_live_pages_get_a_message_a_block_and_redraw_their_main_part(door: Door) -> None:
    await door.get("/")
    async with (
        door.http.get(door.url + "/live", headers={"Last-Event-ID": "2"}) as stream,
        asyncio.timeout(5),
    ):
        lines = [await stream.content.readline() for _ in range(4)]
    assert b"id: 5\n" in lines
    _, part = await door.get("/", part="main")
    assert part.startswith("<main")
    assert "<html" not in part


async def test_assets_are_served_with_type_and_stamp(door: Door) -> None:
    _, text = await door.get("/")
    for path in re.findall(r'"(/assets/[^"]+)"', text):
        status, _ = await door.get(path)
        assert status == 200
        assert "immutable" in door.headers["Cache-Control"]
    assert (await door.get("/assets/../server.py"))[0] == 404


async def test_the_memory_of_recent_things_is_bounded() -> None:
    node = MemoryNode()
    recent = Recent(node)
    await recent.visit()
    assert recent.predictions.maxlen == PREDICTIONS_MAX
    assert recent.height == 0


def test_charts_and_tables_of_nothing_say_so() -> None:
    assert "—" in render(sparkline((), "x"))
    assert "Nothing yet" in render(table(["a"], []))


def test_a_single_point_and_a_flat_line_are_drawn() -> None:
    one = [Series("life", (Point(3, 0.0, "p"),))]
    assert "NaN" not in render(lines(one, (), "x", is_from_zero=True))
    assert "polyline" in render(sparkline((0.0, 0.0), "x"))
    bar = render(vote_bar((("a", 1, True), ("b", 1, False)), 2, 2))
    assert "a: weight 1, signed" in bar
    assert "b: weight 1, absent" in bar


def test_text_and_attributes_are_escaped() -> None:
    assert render(tag("p", "<&>", title='"x"')) == '<p title="&quot;x&quot;">&lt;&amp;&gt;</p>'
