"""Pages of supply chain, demand and attested predictions, over the standard contracts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from contracts_py.engine.memory_host import MemoryHost
from node.explorer import Explorer
from node.rpc import RpcServer
from node.testing.memory_node import MemoryNode
from tests.unit.contracts_py.plants import (
    BUYER,
    COIL,
    GEAR,
    MOTOR,
    PALLET,
    PARTS,
    STEEL,
    network,
    produce,
)
from tests.unit.contracts_py.test_demand import depot
from tests.unit.contracts_py.test_labels import (
    MODELER,
    MOTORS_EYE,
    PARTS_EYE,
    STEEL_EYE,
    answer,
    lab,
    send_out,
)
from tests.unit.contracts_py.test_predictions import Committee, equal
from tests.unit.contracts_py.test_quality import CRACK, FINE, inspect, measure, works

Get = Callable[[str], "aiohttp.client._RequestContextManager"]


@asynccontextmanager
async def explorer(host: MemoryHost) -> AsyncIterator[Get]:
    node = MemoryNode()
    node.put("contracts", "meta", {name: {"version": 1} for name in host.sources})
    node.adopt(host)
    async with (
        RpcServer(node, extensions=[Explorer(node)]) as server,
        aiohttp.ClientSession() as http,
    ):
        yield lambda path: http.get(URL(server.url + path, encoded=True), allow_redirects=False)


async def text(get: Get, path: str) -> str:
    async with get(path) as response:
        assert response.status == 200, path
        return await response.text()


def supply() -> AbstractAsyncContextManager[Get]:
    world = network()
    produce(world)
    world.value("recall", "announce", sender=STEEL, item=COIL, reason="cracks")
    return explorer(world.host)


async def test_lots_are_listed_with_their_recall() -> None:
    async with supply() as get:
        page = await text(get, "/lots")
    assert "cracks" in page
    assert page.count("recalled (1)") == 4
    for item in (COIL, GEAR, MOTOR, PALLET):
        assert f"/lot/{quote(item, safe='')}" in page


async def test_a_lot_shows_its_genealogy_and_where_what_contains_it_is() -> None:
    async with supply() as get:
        page = await text(get, f"/lot/{quote(GEAR, safe='')}")
    assert "recalled: cracks" in page
    assert page.count('class="edge"') == 3
    assert page.count('class="box here"') == 1
    assert page.count(">shipped<") == 3
    assert "TransformationEvent" in page


async def test_a_recall_shows_who_has_not_answered() -> None:
    world = network()
    produce(world)
    world.value("recall", "announce", sender=STEEL, item=COIL, reason="cracks")
    world.value("recall", "answer", sender=PARTS, number=1, item=COIL, action="DESTROYED")
    async with explorer(world.host) as get:
        page = await text(get, "/recall/1")
        async with get("/recall/7") as response:
            assert response.status == 404
    assert "1 of 4" in page
    assert page.count("no answer yet") == 3
    assert "DESTROYED" in page


@pytest.mark.parametrize(
    ("query", "item"),
    [(MOTOR.split("/")[1], MOTOR), (PALLET.split("/")[1], PALLET), (GEAR, GEAR)],
)
async def test_search_finds_items_by_gtin_sscc_and_id(query: str, item: str) -> None:
    async with supply() as get, get(f"/search?q={quote(query, safe='')}") as response:
        assert response.headers["Location"] == f"/lot/{quote(item, safe='')}"


async def test_search_does_not_take_any_number_for_an_item() -> None:
    async with supply() as get, get("/search?q=99999999999999") as response:
        assert response.status == 404


async def test_a_part_shows_forecast_against_actual_and_its_rivals() -> None:
    world = depot()
    world.value("demand", "forecast", sender=STEEL, part="bearing")
    world.value("demand", "record", sender=STEEL, part="bearing", quantity=3)
    world.value("demand", "forecast", sender=STEEL, part="bearing")
    async with explorer(world.host) as get:
        assert "bearing" in await text(get, "/demand")
        page = await text(get, "/demand/bearing")
    assert "TSB smoothing" in page
    assert page.count("came</title>") == 13
    assert page.count("forecast</title>") == 2
    assert "not forecast" not in page


async def test_an_attested_prediction_shows_every_value_and_who_dissents() -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, 9999, 1000, 1000, 1010))
    async with explorer(committee.world.host) as get:
        assert f"/attested/{number}" in await text(get, "/predictions")
        page = await text(get, f"/attested/{number}")
    assert "SETTLED" in page
    assert page.count(">agrees<") == 3
    assert page.count(">dissents<") == 1
    assert "+8.9990" in page
    assert 'class="zone"' in page


async def test_a_dispute_is_an_alarm_without_a_value() -> None:
    committee = Committee()
    number = committee.ask()
    committee.ballot(number, equal(committee, 0, 1000, 2000, 3000))
    async with explorer(committee.world.host) as get:
        page = await text(get, f"/attested/{number}")
        async with get("/attested/99") as response:
            assert response.status == 404
    assert "Disputed" in page
    assert 'class="zone"' not in page
    assert page.count(">revealed<") == 4


async def test_quality_shows_defects_stopped_lots_and_charts() -> None:
    world = works()
    for image in (FINE, FINE, FINE, CRACK):
        inspect(world, image)
    for number, bore in enumerate((10_000, 10_004, 9_998, 10_002)):
        measure(world, "turning", lot=f"{GEAR}{number}", bore=bore)
    measure(world, "turning", lot=f"{GEAR}x", bore=10_060)
    async with explorer(world.host) as get:
        page = await text(get, "/quality")
        chart = await text(get, "/quality/bore")
        async with get("/quality/nothing") as response:
            assert response.status == 404
    assert "25.0 %" in page
    assert "QUARANTINED" in page
    assert "rejected: crack" in page
    assert chart.count("at height") == 5
    assert "upper, 3 sigma" in chart
    assert "alarm at 5 sigma" in chart


async def test_labels_show_requests_who_answered_inspectors_and_versions() -> None:
    world = lab(surety=700)
    for number in (1, 2):
        send_out(world, number)
    answer(world, STEEL_EYE, "bad")
    answer(world, PARTS_EYE, "fine")
    answer(world, MOTORS_EYE, "bad")
    answer(world, PARTS_EYE, "fine", 2)
    digest = world.value("labels", "cut", sender=MODELER, dataset="scratches")
    assert isinstance(digest, bytes)
    async with explorer(world.host) as get:
        listed = await text(get, "/labels")
        page = await text(get, "/labels/scratches")
        async with get("/labels/nothing") as response:
            assert response.status == 404
    assert 'href="/labels/scratches"' in listed
    assert page.index("out with inspectors") < page.index(
        'class="ok">labelled<'
    )  # the open ones first
    assert "steel: bad, parts: fine, motors: bad" in page
    assert "parts: fine, motors: no answer, steel: no answer" in page
    assert "two organisations, and 70.0 % sure" in page
    assert page.count(f"<code>{STEEL_EYE.hex()[:12]}</code>") == 1
    assert digest.hex() in page
    assert "3 of token for each right answer" in page


async def test_chains_without_these_contracts_have_empty_pages() -> None:
    async with explorer(MemoryHost()) as get:
        for name in ("lots", "quality", "labels", "demand", "predictions", "machines", "federated"):
            assert "Nothing yet." in await text(get, f"/{name}")
        async with get(f"/lot/{quote(BUYER.decode(), safe='')}") as response:
            assert response.status == 404
