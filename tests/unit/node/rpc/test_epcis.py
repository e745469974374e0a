"""The EPCIS face over loopback: real contracts on the real engine behind a node in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from andon.client.async_client import AsyncClient
from andon.client.factory.capture import signed
from andon.client.factory.epcis import events_of
from andon.client.factory.passport import check, collect, decode_passport, encode_passport
from andon.core.codec import Key, Value, decode_value
from andon.core.errors import InvalidInput
from andon.core.keys import PrivateKey
from andon.core.state_key import state_prefix
from contracts_py.library import source
from node.facade import CallAnswer
from node.rpc import RpcServer, epcis_standing
from node.rpc.epcis import Epcis
from node.rpc.epcis_query import query_of
from node.testing.memory_node import MemoryNode
from tests.unit.andon.client.factory.documents import EVENTS, document
from tests.unit.contracts_py.plants import GEAR, MOTOR, MOTORS, PALLET, network, produce
from tests.unit.contracts_py.world import World

KEY = PrivateKey(b"\x2a" * 32)


class PlantNode(MemoryNode):
    """A node in memory that answers views with the supply contracts and proves their state."""

    def __init__(self) -> None:
        super().__init__()
        self.world: World = network()
        self.world.put(
            "quality", source("quality"), model="m", classes=["fine"], policy={"fine": "ACCEPT"}
        )
        produce(self.world)
        for contract, variable in (
            ("supply", "items"), ("supply", "events"), ("supply", "trail"),
            ("quality", "certificates"),
        ):  # fmt: skip
            self.put(contract, variable, self.entries_of(contract, variable))

    def entries_of(self, contract: str, variable: str) -> dict[Key, Value]:
        prefix = state_prefix(contract, variable)
        found: dict[Key, Value] = {}
        for key, data in self.world.host.state.items():
            if key.startswith(prefix):
                name = decode_value(key[len(prefix) :])
                assert isinstance(name, str | tuple)
                found[name] = decode_value(data)
        return found

    async def call(
        self,
        contract: str,
        method: str,
        args: bytes,
        sender: bytes | None,
        *,
        height: int | None = None,
    ) -> CallAnswer:
        del height
        named = decode_value(args)
        assert isinstance(named, dict)
        given = {str(name): value for name, value in named.items()}
        outcome = self.world.run(contract, method, sender=sender or MOTORS, **given)
        return CallAnswer(
            ok=outcome.ok, result=outcome.result, gas_used=outcome.gas_used, failure=None, height=1
        )


class Face:
    def __init__(self, node: PlantNode, url: str, http: aiohttp.ClientSession) -> None:
        self.node, self.url, self.http = node, url, http

    async def get(self, path: str) -> tuple[int, dict[str, Any], str]:
        async with self.http.get(self.url + path) as response:
            link = response.headers.get("Link", "")
            return response.status, json.loads(await response.text()), link

    async def kinds(self, path: str) -> list[str]:
        status, whole, _ = await self.get(path)
        assert status == 200, whole
        return [event["type"] for event in events(whole)]


def events(whole: dict[str, Any]) -> list[dict[str, Any]]:
    listed = whole["epcisBody"]["queryResults"]["resultsBody"]["eventList"]
    assert isinstance(listed, list)
    return listed


@pytest.fixture
async def face() -> AsyncIterator[Face]:
    node = PlantNode()
    server = RpcServer(node, extensions=[Epcis(node)])
    async with server, aiohttp.ClientSession() as http:
        yield Face(node, server.url, http)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 6),
        ("eventType=ObjectEvent", 3),
        ("eventType=ObjectEvent,AggregationEvent", 4),
        ("EQ_action=ADD&eventType=ObjectEvent", 2),
        ("EQ_disposition=in_transit", 1),
        (f"MATCH_epc=https://id.gs1.org/{MOTOR}", 3),
        (f"MATCH_anyEPC=https://id.gs1.org/{MOTOR}", 4),
        ("MATCH_anyEPC=00/19506003*", 2),
        (f"MATCH_parentID={PALLET}", 1),
        (f"MATCH_inputEPCClass={GEAR}", 0),
        (f"MATCH_outputEPCClass={GEAR}", 1),
        ("GE_eventTime=1970-01-01T05:00:00Z", 2),
        ("LT_eventTime=1970-01-01T05:00:00%2B00:00", 4),
        ("EXISTS_errorDeclaration=true", 0),
        ("EXISTS_errorDeclaration=false", 6),
        ("EXISTS_parentID=true", 2),
        ("GE_quantity=1&eventType=TransformationEvent", 1),
        ("GT_quantity=1000000", 0),
        ("EQ_persistentDisposition_set=damaged", 0),
        ("EXISTS_ilmd=true", 0),
        ("EQ_bizTransaction_po=urn:x", 0),
    ],
)
async def test_queries_find_what_the_standard_says(face: Face, query: str, count: int) -> None:
    assert len(await face.kinds("/epcis/events?" + query)) == count


async def test_pages_follow_each_other_without_gap_or_repetition(face: Face) -> None:
    path, seen = "/epcis/events?perPage=4", []
    for _ in range(3):
        _, whole, link = await face.get(path)
        seen += [event["andon:number"] for event in events(whole)]
        if not link:
            break
        path = link[1 : link.index(">")]
    assert seen == [1, 2, 3, 4, 5, 6]


async def test_events_of_one_item_and_one_event_are_resources(face: Face) -> None:
    item = "https%3A%2F%2Fid.gs1.org%2F" + MOTOR.replace("/", "%2F")
    assert await face.kinds(f"/epcis/epcs/{item}/events") == [
        "ObjectEvent", "AssociationEvent", "AggregationEvent", "ObjectEvent",
    ]  # fmt: skip
    _, whole, _ = await face.get("/epcis/events?perPage=1")
    identity = events(whole)[0]["eventID"]
    _, one, _ = await face.get("/epcis/events/" + identity)
    assert events(one) == events(whole)
    status, problem, _ = await face.get("/epcis/events/urn:uuid:none")
    assert (status, problem["title"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("eventTypes/ObjectEvent", 3),
        ("dispositions/in_transit", 1),
        ("bizSteps/urn:epcglobal:cbv:bizstep:nothing", 0),
    ],
)
async def test_collections_of_the_binding_hold_their_events(
    face: Face, path: str, count: int
) -> None:
    assert len(await face.kinds(f"/epcis/{path}/events")) == count


def query_body(name: str, **query: object) -> bytes:
    return json.dumps({"name": name, "query": query}).encode()


async def test_a_named_query_is_made_asked_listed_and_deleted(face: Face) -> None:
    base = face.url + "/epcis/queries"
    body = query_body("made", eventType=["ObjectEvent"], EQ_action="ADD")
    for status in (201, 409):
        async with face.http.post(base, data=body) as response:
            assert response.status == status
    assert await face.kinds("/epcis/queries/made/events") == ["ObjectEvent", "ObjectEvent"]
    _, listed, _ = await face.get("/epcis/queries")
    assert listed == [{"name": "made", "query": {"eventType": "ObjectEvent", "EQ_action": "ADD"}}]
    for wrong in (query_body("x y"), query_body("x", EQ_colour="red"), b"{", b"[]"):
        async with face.http.post(base, data=wrong) as response:
            assert response.status == 400
    for status in (204, 404):
        async with face.http.delete(base + "/made") as response:
            assert response.status == status
    status, _, _ = await face.get("/epcis/queries/made/events")
    assert status == 404


async def numbers(face: Face, location: str, count: int, last: str = "") -> list[str]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    found: list[str] = []
    async with (
        asyncio.timeout(10),
        face.http.get(face.url + location, headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"id: "):
                found.append(line[4:].strip().decode())
            if line.startswith(b"data: "):
                assert json.loads(line[6:])["type"] == "ObjectEvent"
                if len(found) == count:
                    break
    return found


async def test_a_subscription_sends_what_fits_and_resumes_where_its_reader_stopped(
    face: Face,
) -> None:
    base = face.url + "/epcis/queries"
    async with face.http.post(base, data=query_body("o", eventType="ObjectEvent")) as response:
        assert response.status == 201
    subscriptions = base + "/o/subscriptions"
    async with face.http.post(subscriptions, data=b'{"stream": true, "after": 0}') as response:
        assert response.status == 201
        location = response.headers["Location"]
    all_of_them = await numbers(face, location, 3)
    assert await numbers(face, location, 2, last=all_of_them[0]) == all_of_them[1:]
    _, listed, _ = await face.get("/epcis/queries/o/subscriptions")
    assert [one["subscriptionID"] for one in listed] == [location.rsplit("/", 1)[1]]
    # A node calls nobody, so nobody makes it call an address inside its network.
    async with face.http.post(subscriptions, data=b'{"dest": "http://10.0.0.1/"}') as response:
        assert response.status == 400
    async with face.http.delete(face.url + location) as response:
        assert response.status == 204
    status, _, _ = await face.get(location)
    assert status == 404


async def test_queries_and_subscriptions_survive_a_restart_and_have_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = PlantNode()
    monkeypatch.setattr(epcis_standing, "QUERIES_MAX", 1)
    monkeypatch.setattr(epcis_standing, "SUBSCRIPTIONS_MAX", 1)
    location = ""
    async with (
        RpcServer(node, extensions=[Epcis(node, tmp_path)]) as server,
        aiohttp.ClientSession() as http,
    ):
        for path, body, status in (
            ("", query_body("a"), 201),
            ("", query_body("b"), 400),
            ("/a/subscriptions", b"", 201),
            ("/a/subscriptions", b"", 400),
        ):
            async with http.post(server.url + "/epcis/queries" + path, data=body) as response:
                assert response.status == status
                location = response.headers.get("Location", location)
    async with (
        RpcServer(node, extensions=[Epcis(node, tmp_path)]) as server,
        aiohttp.ClientSession() as http,
        http.get(server.url + location) as response,
    ):
        assert response.status == 200
        assert json.loads(await response.text())["queryName"] == "a"


async def test_unknown_parameters_are_refused_by_name(face: Face) -> None:
    status, problem, _ = await face.get("/epcis/events?EQ_colour=red")
    assert status == 400
    assert "EQ_colour" in problem["detail"]
    status, _, _ = await face.get("/epcis/events?perPage=many")
    assert status == 400


async def test_a_capture_is_taken_only_with_a_signature_on_what_it_says(face: Face) -> None:
    async with AsyncClient(face.url) as client:
        good = await signed(client, document(EVENTS[0]), KEY)
        other = json.loads(document(EVENTS[1]))
        other["andon:transaction"] = json.loads(good)["andon:transaction"]
    for body, status in (
        (document(EVENTS[0]), 400),
        (json.dumps(other).encode(), 400),
        (b"{", 400),
        (good, 202),
    ):
        async with face.http.post(face.url + "/epcis/capture", data=body) as response:
            assert response.status == status
            location = response.headers.get("Location", "")
    status, job, _ = await face.get(location)
    assert (status, job["running"]) == (200, False)
    assert isinstance(job["success"], bool)


def test_a_query_needs_all_conditions() -> None:
    event = events_of(document(EVENTS[0]))[0]
    assert query_of({"eventType": "ObjectEvent", "EQ_action": "ADD"}).fits(event)
    assert not query_of({"eventType": "ObjectEvent", "EQ_action": "DELETE"}).fits(event)
    with pytest.raises(InvalidInput, match="no time"):
        query_of({"GE_eventTime": "soon"})


async def test_a_buyer_checks_the_past_of_an_item_with_its_code_and_the_genesis(face: Face) -> None:
    code = f"https://shop.example/{MOTOR}"
    async with AsyncClient(face.url) as client:
        passport = decode_passport(encode_passport(await collect(client, code)))
    checked = check(face.node.genesis, passport, code)
    assert checked.is_genuine
    assert checked.items[0].maker == "motors"
    assert [(one.item, one.depth, one.maker) for one in checked.items[1:]] == [
        (GEAR, 1, "parts"), ("01/19506001000011/10/H77", 2, "steel"),
    ]  # fmt: skip


async def test_a_passport_of_another_item_or_network_or_contract_is_refused(face: Face) -> None:
    async with AsyncClient(face.url) as client:
        passport = await collect(client, MOTOR)
    genesis = face.node.genesis
    with pytest.raises(InvalidInput, match="the passport is of"):
        check(genesis, passport, GEAR)
    with pytest.raises(InvalidInput, match="contracts"):
        check(genesis, passport, MOTOR, supply="pleasant")
    with pytest.raises(InvalidInput):
        check(MemoryNode(chain_id="other").genesis, passport, MOTOR)
    short = type(passport)(passport.item, "supply", "quality", passport.proofs[:2])
    with pytest.raises(InvalidInput, match="lacks the proof"):
        check(genesis, short, MOTOR)
    with pytest.raises(InvalidInput, match="item itself"):
        check(genesis, type(passport)(passport.item, "supply", "quality", ()), MOTOR)
