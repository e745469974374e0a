"""The OpenAPI document says what a node serves, all of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from andon.core.keys import PrivateKey
from node.envelopes import Envelopes
from node.explorer import Explorer
from node.private import PrivatePayloads
from node.rpc import RpcServer
from node.rpc.epcis import Epcis
from node.rpc.epcis_query import PARAMETERS, query_of
from node.rpc.methods import TABLE
from node.rpc.openapi import openapi_document
from node.rpc.route import JSON, OCTETS, Answer, Content, Operation, Parameter, Route
from node.testing.memory_node import MemoryNode

KEY = PrivateKey(b"\x11" * 32)
VERBS = {"get", "put", "post", "delete"}


class NoState:
    async def value(self, key: bytes) -> bytes | None:
        return None

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        return []


def whole_server(folder: Path) -> RpcServer:
    """A server with every face that `node.app` gives it."""
    node = MemoryNode()
    private = PrivatePayloads(node, Envelopes(folder, b"", NoState()), KEY)
    return RpcServer(node, extensions=[Explorer(node), Epcis(node), private])


def served(server: RpcServer) -> set[tuple[str, str]]:
    """Verb and path of every route of the server's router."""
    return {
        (route.method.lower(), route.resource.canonical)
        for route in server.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


def described(server: RpcServer) -> dict[tuple[str, str], dict[str, object]]:
    paths = json.loads(server.document)["paths"]
    return {(verb, path): paths[path][verb] for path in paths for verb in paths[path]}


def test_every_route_stands_in_the_document_but_pages_for_people(tmp_path: Path) -> None:
    server = whole_server(tmp_path)
    pages = {("get", route.path) for route in Explorer(MemoryNode()).routes()}
    told = described(server)
    assert served(server) == set(told) | pages
    assert not set(told) & pages
    assert {verb for verb, _ in told} == VERBS
    for path in (
        "/epcis/queries/{name}/subscriptions/{id}",
        "/v1/private/{payload}/purge",
        "/v1/transactions/batch",
        "/v1/blob/{digest}/complete",
        *("/v1" + method.path for method in TABLE),
    ):
        assert any(known == path for _, known in told), path


def test_operations_have_names_of_their_own_and_every_field_of_a_path(tmp_path: Path) -> None:
    told = described(whole_server(tmp_path))
    names = [operation["operationId"] for operation in told.values()]
    assert len(set(names)) == len(names)
    for (_, path), operation in told.items():
        assert operation["summary"], path
        parameters = operation.get("parameters", [])
        assert isinstance(parameters, list)
        in_path = [item["name"] for item in parameters if item["in"] == "path"]
        assert all(f"{{{name}}}" in path for name in in_path)
        assert path.count("{") == len(in_path)


def test_every_reference_leads_to_a_schema(tmp_path: Path) -> None:
    text = whole_server(tmp_path).document.decode()
    known = set(json.loads(text)["components"]["schemas"])
    found = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert found <= known
    assert {"BatchEntry", "FetchRequest", "PurgeReply", "NamedQuery", "Problem"} <= found


async def nothing(request: web.Request) -> web.StreamResponse:
    return web.Response(text=request.match_info["n"])


def test_a_route_is_served_and_described_from_one_record() -> None:
    operation = Operation(
        name="one",
        summary="One.",
        parameters=(Parameter(name="from", text="where", schema={"type": "integer"}),),
        body=Content(OCTETS, bytes, is_required=False),
        answers=(
            Answer("made", status=201),
            Answer("either", Content(JSON, dict), Content("text/plain", str)),
        ),
    )
    route = Route("PUT", "/one/{n}", nothing, operation, {"n": "[0-9]+"})
    assert route.definition().path == "/one/{n:[0-9]+}"
    page = Route("GET", "/page", nothing, None)
    document = json.loads(openapi_document([route, page]))
    assert list(document["paths"]) == ["/one/{n}"]
    told = document["paths"]["/one/{n}"]["put"]
    assert told["parameters"] == [
        {
            "name": "n",
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        },
        {
            "name": "from",
            "in": "query",
            "required": False,
            "schema": {"type": "integer"},
            "description": "where",
        },
    ]
    assert told["requestBody"] == {
        "required": False,
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
    }
    assert told["responses"]["201"] == {"description": "made"}
    assert set(told["responses"]["200"]["content"]) == {JSON, "text/plain"}
    assert set(told["responses"]["default"]["content"]) == {"application/problem+json"}


async def test_a_face_that_is_added_is_in_the_document() -> None:
    class More:
        def routes(self) -> list[Route]:
            told = Operation(name="more", summary="More.", answers=(Answer("more"),))
            return [Route("GET", "/more/{n}", nothing, told)]

        @contextlib.asynccontextmanager
        async def run(self) -> AsyncIterator[None]:
            yield

    server = RpcServer(MemoryNode(), extensions=[More()])
    assert ("get", "/more/{n}") in described(server)
    assert ("get", "/more/{n}") in served(server)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_of_events_that_is_described_is_served(name: str) -> None:
    value = {"eventTime": "2026-01-01T00:00:00Z", "quantity": "1.5"}
    text = next((value[kind] for kind in value if name.endswith(kind)), "word")
    if name.endswith("Time"):
        text = value["eventTime"]
    query_of({name: text})
