"""The explorer in a real browser: policy, origins, live redraw, resume, proofs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from andon.client import AsyncClient
from andon.client.models import manifest_of_blob, propose_arguments
from andon.core.block import prediction_id
from andon.core.genesis import genesis_to_json
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.model import model_id
from andon.core.proof import encode_bundle
from andon.core.transaction import make_call
from node.explorer import Explorer
from node.rpc import RpcServer, RpcSettings
from node.testing.browser import Browser, find_browser, open_browser
from node.testing.memory_node import MemoryNode
from tests.unit.contracts_py.plants import COIL, GEAR, STEEL, network, produce
from tests.unit.contracts_py.test_demand import depot
from tests.unit.contracts_py.test_labels import STEEL_EYE, answer, lab, send_out
from tests.unit.contracts_py.test_predictions import Committee, equal
from tests.unit.contracts_py.test_quality import measure, works

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "models" / "packages" / "rul-demo" / "package.blob"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="needs chromium"),
]

NOT_PAGES = {"/proof/{kind}/{id}", "/genesis.json", "/live", "/assets/{name}"}
PHONE_WIDTH = 360
HEIGHT = "document.querySelector('main dd strong')?.textContent"


@dataclass(slots=True)
class Scene:
    browser: Browser
    node: MemoryNode
    server: RpcServer
    client: AsyncClient

    async def assess(self, value: int) -> bytes:
        call = make_call("maintenance", "assess", {"machine": "press-7", "window": bytes([value])})
        return (await self.client.submit(call)).hash


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    node = MemoryNode()
    async with (
        RpcServer(node, extensions=[Explorer(node)]) as server,
        AsyncClient(server.url, genesis=node.genesis, key=PrivateKey(b"\x2a" * 32)) as client,
        open_browser() as browser,
    ):
        made = Scene(browser, node, server, client)
        for value in (90, 60, 20):
            await made.assess(value)
        yield made


async def test_every_page_keeps_the_policy_its_origin_and_fits_a_phone(scene: Scene) -> None:
    pages = await furnish(scene)
    served = {route.path for route in Explorer(scene.node).routes() if route.path not in NOT_PAGES}
    assert set(pages) == served
    await scene.browser.resize(width=PHONE_WIDTH)
    for path in pages.values():
        await scene.browser.open(scene.server.url + path)
        assert await scene.browser.evaluate("document.querySelectorAll('h1').length") == 1, path
        title = await scene.browser.evaluate("document.title")
        assert title != "Not found · Andon", path
        wide = await scene.browser.evaluate("document.documentElement.scrollWidth")
        assert wide == PHONE_WIDTH, path
    foreign = [url for url in scene.browser.requests if not url.startswith(scene.server.url)]
    assert foreign == []
    # A search that finds nothing answers 404, which the browser logs: that is no violation.
    assert [text for text in scene.browser.complaints if "404" not in text] == []


async def furnish(scene: Scene) -> dict[str, str]:
    """Put something on every page; gives an address for each route."""
    node = scene.node
    supply, quality, labels, committee = network(), works(), lab(), Committee()
    produce(supply)
    supply.value("recall", "announce", sender=STEEL, item=COIL, reason="cracks")
    for number, bore in enumerate((10_000, 10_004, 9_998, 10_002)):
        measure(quality, "turning", lot=f"{GEAR}{number}", bore=bore)
    send_out(labels)
    answer(labels, STEEL_EYE, "bad")
    asked = committee.ask()
    committee.ballot(asked, equal(committee, 9999, 1000, 1000, 1010))
    worlds = (supply, quality, labels, depot(), committee.world)
    names = {name for world in worlds for name in world.host.sources}
    node.put("contracts", "meta", {name: {"version": 1} for name in names})
    node.put("contracts", "source", {"park": b'"""A park."""\n'})
    node.put("training", "runs", {"line-7": {"owner": b"o" * 32, "status": "RUNNING", "round": 1}})
    blob = PACKAGE.read_bytes()
    manifest = manifest_of_blob(blob)
    await node.publish_blob(blob)
    entry = propose_arguments(manifest, digest(Domain.BLOB, blob), len(blob))
    for world in worlds:
        node.adopt(world.host)
    node.put("models", "packages", {model_id(manifest): {**entry, "status": "ACTIVE"}})
    transaction = (await scene.assess(10)).hex()
    prediction = prediction_id(bytes.fromhex(transaction), 0).hex()
    return {
        "/": "/",
        "/blocks": "/blocks",
        "/block/{reference}": "/block/1",
        "/transactions": "/transactions",
        "/tx/{id}": f"/tx/{transaction}",
        "/validators": "/validators",
        "/predictions": "/predictions",
        "/prediction/{id}": f"/prediction/{prediction}",
        "/attested/{number}": f"/attested/{asked}",
        "/machines": "/machines",
        "/machine/{name}": "/machine/press-7",
        "/models": "/models",
        "/model/{id}": f"/model/{model_id(manifest).hex()}",
        "/quality": "/quality",
        "/quality/{name}": "/quality/bore",
        "/labels": "/labels",
        "/labels/{name}": "/labels/scratches",
        "/lots": "/lots",
        "/lot/{name}": f"/lot/{quote(GEAR, safe='')}",
        "/recall/{number}": "/recall/1",
        "/demand": "/demand",
        "/demand/{name}": "/demand/bearing",
        "/federated": "/federated",
        "/federated/{name}": "/federated/line-7",
        "/contracts": "/contracts",
        "/contract/{name}": "/contract/park",
        "/network": "/network",
        "/verify": "/verify",
        "/search": "/search?q=nothing",
    }


async def test_a_page_follows_the_chain_and_resumes_after_the_server_was_away(
    scene: Scene,
) -> None:
    await scene.browser.open(scene.server.url + "/")
    assert await scene.browser.evaluate(HEIGHT) == "3"
    await scene.assess(50)
    await scene.browser.wait_for(f"{HEIGHT} === '4'")
    port = scene.server.port
    await scene.server.stop()
    again = RpcServer(scene.node, RpcSettings(port=port), extensions=[Explorer(scene.node)])
    async with again:
        await scene.assess(40)
        await scene.browser.wait_for(f"{HEIGHT} === '5'", timeout_s=15)


async def test_a_reader_is_not_disturbed_while_selecting(scene: Scene) -> None:
    await scene.browser.open(scene.server.url + "/")
    await scene.browser.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    await scene.assess(50)
    await asyncio.sleep(1.5)
    assert await scene.browser.evaluate(HEIGHT) == "3"
    await scene.browser.evaluate("getSelection().removeAllRanges()")
    await scene.assess(40)
    await scene.browser.wait_for(f"{HEIGHT} === '5'")


async def test_a_proof_file_is_checked_in_the_browser(scene: Scene, tmp_path: Path) -> None:
    prediction = await scene.client.prediction(prediction_id(await scene.assess(33), 0))
    assert prediction.proof is not None
    data = encode_bundle(prediction.proof)
    good, forged, genesis = tmp_path / "a.proof", tmp_path / "b.proof", tmp_path / "genesis.json"
    good.write_bytes(data)
    forged.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    genesis.write_bytes(genesis_to_json(scene.node.genesis))
    await scene.browser.open(scene.server.url + "/verify")
    verdict = "document.getElementById('verdict').textContent"
    await scene.browser.choose_file("#proof", good)
    await scene.browser.wait_for(f"{verdict}.includes('4 of 4')")
    await scene.browser.choose_file("#genesis", genesis)
    await scene.browser.wait_for(f"{verdict}.startsWith('Valid.')")
    await scene.browser.choose_file("#proof", forged)
    await scene.browser.wait_for(f"{verdict}.startsWith('Not valid')")
    assert scene.browser.complaints == []


async def test_pages_can_be_walked_by_keyboard(scene: Scene) -> None:
    await scene.browser.open(scene.server.url + "/")
    seen = []
    for _ in range(20):
        for kind in ("keyDown", "keyUp"):
            await scene.browser.ask(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        seen.append(await scene.browser.evaluate("document.activeElement.textContent"))
    assert seen[0] == "Skip to content"
    assert {"Blocks", "Predictions", "Machines", "Verify"} <= set(map(str, seen))
