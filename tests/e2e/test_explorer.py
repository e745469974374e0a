"""The explorer in a real browser: policy, origins, live redraw, resume, proofs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from andon.client import AsyncClient
from andon.core.block import prediction_id
from andon.core.genesis import genesis_to_json
from andon.core.keys import PrivateKey
from andon.core.proof import encode_bundle
from andon.core.transaction import make_call
from node.explorer import Explorer
from node.rpc import RpcServer, RpcSettings
from node.testing.browser import Browser, find_browser, open_browser
from node.testing.memory_node import MemoryNode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="needs chromium"),
]

PAGES = (
    "/", "/blocks", "/block/1", "/transactions", "/predictions", "/machines", "/machine/press-7",
    "/models", "/quality", "/labels", "/lots", "/demand", "/federated", "/contracts", "/validators",
    "/network", "/verify", "/search?q=nothing",
)  # fmt: skip
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


async def test_every_page_keeps_the_policy_and_its_origin(scene: Scene) -> None:
    for path in PAGES:
        await scene.browser.open(scene.server.url + path)
        assert await scene.browser.evaluate("document.querySelectorAll('h1').length") == 1, path
    foreign = [url for url in scene.browser.requests if not url.startswith(scene.server.url)]
    assert foreign == []
    # A search that finds nothing answers 404, which the browser logs: that is no violation.
    assert [text for text in scene.browser.complaints if "404" not in text] == []


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
