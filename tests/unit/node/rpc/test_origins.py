"""Pages of other sites: neither a foreign name nor a foreign script reaches a node on loopback."""

from __future__ import annotations

import aiohttp
import pytest

from node.config import parse_config
from node.rpc import RpcServer, RpcSettings
from node.rpc.settings import rpc_settings
from node.testing.memory_node import MemoryNode

EVIL = "http://evil.example"


async def answers(
    settings: RpcSettings, method: str = "GET", path: str = "/v1/status", **headers: str
) -> tuple[int, str]:
    """Status, and the title of what was refused."""
    async with (
        RpcServer(MemoryNode(), settings) as server,
        aiohttp.ClientSession() as http,
        http.request(
            method,
            server.url + path,
            headers={
                name: text.replace("PORT", str(server.port)) for name, text in headers.items()
            },
        ) as answer,
    ):
        content = await answer.json() if answer.content_type.endswith("json") else {}
        return answer.status, content.get("title", "")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:PORT", "127.0.0.1:PORT", "[::1]:PORT", "node.localhost", "127.9.9.9"],
)
async def test_a_node_on_loopback_answers_to_names_of_loopback(host: str) -> None:
    assert await answers(RpcSettings(), Host=host) == (200, "")


@pytest.mark.parametrize(
    "host", ["evil.example:PORT", "localhost.evil.example", "10.0.0.1", "a:b:c"]
)
async def test_another_name_is_refused_which_ends_rebinding(host: str) -> None:
    assert await answers(RpcSettings(), Host=host) == (403, "FOREIGN_SITE")


async def test_names_of_the_configuration_are_answered_and_probes_always() -> None:
    settings = rpc_settings(parse_config('rpc_port = 0\nrpc_hosts = ["Node.Plant.example"]'))
    assert await answers(settings, Host="node.plant.example:443") == (200, "")
    assert await answers(settings, Host="localhost") == (200, "")
    assert await answers(settings, Host="evil.example") == (403, "FOREIGN_SITE")
    assert await answers(settings, path="/health/live", Host="10.2.3.4") == (200, "")
    assert await answers(settings, path="/metrics", Host="evil.example") == (403, "FOREIGN_SITE")


async def test_an_rpc_that_is_reached_from_elsewhere_answers_to_any_name_unless_told() -> None:
    anywhere = RpcSettings(host="0.0.0.0")
    assert await answers(anywhere, Host="node.plant.example") == (200, "")
    told = RpcSettings(host="0.0.0.0", hosts=("node.plant.example",))
    assert await answers(told, Host="node.plant.example") == (200, "")
    assert await answers(told, Host="evil.example") == (403, "FOREIGN_SITE")


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:1", "https://[", ""])
async def test_a_foreign_page_may_neither_write_nor_open_a_socket(origin: str) -> None:
    refused = (403, "FOREIGN_SITE")
    assert await answers(RpcSettings(), "POST", "/v1/call", Origin=origin) == refused
    assert await answers(RpcSettings(), "PUT", "/v1/blob", Origin=origin) == refused
    async with RpcServer(MemoryNode()) as server, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(server.url + "/v1/ws", headers={"Origin": origin})
    assert error.value.status == 403


async def test_our_own_pages_and_listed_sites_may() -> None:
    settings = rpc_settings(parse_config('rpc_port = 0\nrpc_origins = ["https://mes.example"]'))
    async with RpcServer(MemoryNode(), settings) as server, aiohttp.ClientSession() as http:
        for origin in (server.url, "https://mes.example"):
            async with http.ws_connect(server.url + "/v1/ws", headers={"Origin": origin}) as socket:
                await socket.send_str('{"id": 1, "method": "status"}')
                assert "result" in await socket.receive_json(timeout=5)


async def test_a_page_may_ask_what_it_cannot_read() -> None:
    assert await answers(RpcSettings(), Origin=EVIL) == (200, "")
