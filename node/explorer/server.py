"""Routes, layout, live updates and headers of the explorer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.genesis import genesis_to_json
from node.explorer import (
    pages_attested,
    pages_chain,
    pages_contracts,
    pages_demand,
    pages_fl,
    pages_labels,
    pages_ml,
    pages_models,
    pages_other,
    pages_quality,
    pages_supply,
)
from node.explorer.html import Child, Markup, link, render, tag
from node.explorer.recent import Recent
from node.explorer.view import Desk, Page
from node.facade import NodeFacade
from node.rpc.failures import http_status
from node.rpc.proofs import notar_of, prove_prediction, prove_receipt
from node.rpc.route import Handler, Route
from node.rpc.slots import waiting

ASSETS = Path(__file__).parent / "assets"
ASSET_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STREAMS_MAX = 128
HEARTBEAT_S = 15.0
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
MENU = (
    ("/", "Overview"),
    ("/blocks", "Blocks"),
    ("/transactions", "Transactions"),
    ("/validators", "Validators"),
    ("/contracts", "Contracts"),
    ("/predictions", "Predictions"),
    ("/machines", "Machines"),
    ("/quality", "Quality"),
    ("/labels", "Labels"),
    ("/lots", "Lots"),
    ("/demand", "Demand"),
    ("/models", "Models"),
    ("/federated", "Federated"),
    ("/network", "Network"),
    ("/verify", "Verify"),
)
PARENTS = {
    "block": "/blocks",
    "tx": "/transactions",
    "contract": "/contracts",
    "prediction": "/predictions",
    "attested": "/predictions",
    "machine": "/machines",
    "lot": "/lots",
    "recall": "/lots",
    "model": "/models",
}
"""The entry of the menu that a page of one thing belongs to, where the path does not begin so."""
Draw = Callable[[web.Request], Awaitable[Page]]


class Explorer:
    """The explorer of one node: give its `routes` and `run` to the RPC server."""

    def __init__(self, node: NodeFacade) -> None:
        self._node = node
        self._recent = Recent(node)
        self._desk = Desk(node, self._recent)
        self._streams = 0
        self._assets = {path.name: path.read_bytes() for path in sorted(ASSETS.iterdir())}
        self._stamps = {
            name: hashlib.sha256(data).hexdigest()[:12] for name, data in self._assets.items()
        }

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Follow the chain while the server runs."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._recent.follow())
            yield
            task.cancel()

    def routes(self) -> list[Route]:
        """All routes of the explorer."""
        desk = self._desk
        pages: dict[str, Draw] = {
            "/": lambda _: pages_chain.overview(desk),
            "/blocks": lambda request: pages_chain.blocks(desk, _before(request)),
            "/block/{reference}": lambda request: pages_chain.block(desk, _reference(request)),
            "/transactions": lambda _: pages_chain.transactions(desk),
            "/tx/{id}": lambda request: pages_chain.transaction(desk, _hash(request)),
            "/validators": lambda _: pages_chain.validators(desk),
            "/predictions": lambda _: pages_ml.predictions(desk),
            "/prediction/{id}": lambda request: pages_ml.prediction(desk, _hash(request)),
            "/attested/{number}": lambda request: pages_attested.attested(
                desk, request.match_info["number"]
            ),
            "/machines": lambda _: pages_ml.machines(desk),
            "/machine/{name}": lambda request: pages_ml.machine(desk, request.match_info["name"]),
            "/models": lambda _: pages_models.models(desk),
            "/model/{id}": lambda request: pages_models.model(desk, _hash(request)),
            "/quality": lambda _: pages_quality.quality(desk),
            "/quality/{name}": lambda request: pages_quality.chart(
                desk, request.match_info["name"]
            ),
            "/labels": lambda _: pages_labels.labels(desk),
            "/labels/{name}": lambda request: pages_labels.dataset(
                desk, request.match_info["name"]
            ),
            "/lots": lambda request: pages_supply.lots(desk, request.query),
            "/lot/{name}": lambda request: pages_supply.lot(desk, request.match_info["name"]),
            "/recall/{number}": lambda request: pages_supply.recall(
                desk, request.match_info["number"]
            ),
            "/demand": lambda _: pages_demand.demand(desk),
            "/demand/{name}": lambda request: pages_demand.part(desk, request.match_info["name"]),
            "/federated": lambda _: pages_fl.runs(desk),
            "/federated/{name}": lambda request: pages_fl.run(desk, request.match_info["name"]),
            "/contracts": lambda _: pages_contracts.contracts(desk),
            "/contract/{name}": lambda request: pages_contracts.contract(
                desk, request.match_info["name"], request.query
            ),
            "/network": lambda _: pages_other.network(desk),
        }
        others: dict[str, Handler] = {
            "/verify": self._verify,
            "/search": self._search,
            "/proof/{kind}/{id}": self._proof,
            "/genesis.json": self._genesis,
            "/live": self._live,
            "/assets/{name}": self._asset,
        }
        drawn = {path: self._handler(draw) for path, draw in pages.items()}
        return [Route("GET", path, handler, None) for path, handler in (drawn | others).items()]

    def _handler(self, draw: Draw) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            await self._recent.visit()
            try:
                page, status = await draw(request), 200
            except AndonError as error:
                page, status = failure_page(error), http_status(error)
            return self._respond(request, page, status)

        return handle

    def _respond(self, request: web.Request, page: Page, status: int) -> web.Response:
        if request.headers.get("X-Part") == "main":
            return _html(render(_main(page)), status)
        return _html(self._layout(page, request.path), status)

    def _layout(self, page: Page, path: str) -> str:
        stamp = self._stamps
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", f"{page.title} · Andon"),
            tag("link", rel="icon", href=f"/assets/icon.svg?{stamp['icon.svg']}"),
            tag("link", rel="stylesheet", href=f"/assets/app.css?{stamp['app.css']}"),
            tag("script", src=f"/assets/app.js?{stamp['app.js']}", defer=True),
            tag("script", src=f"/assets/{page.script}?{stamp[page.script]}", type="module")
            if page.script
            else None,
        )
        menu = [link(target, name, aria_current=_current(target, path)) for target, name in MENU]
        form = tag(
            "form",
            tag(
                "input",
                type="search",
                name="q",
                placeholder="height, hash, machine, lot, GTIN …",
                aria_label="Search",
                maxlength=200,
            ),
            tag("button", "Search"),
            action="/search",
            role="search",
        )
        status = self._node.status()
        footer = tag(
            "footer",
            f"{status.chain_id} · node {status.node_key.hex()[:12]} · version {status.version}",
        )
        body = tag(
            "body",
            link("#main", "Skip to content", class_="skip"),
            tag(
                "header",
                link("/", "Andon", class_="brand"),
                tag("nav", menu, aria_label="Pages"),
                form,
            ),
            _main(page),
            footer,
        )
        return "<!doctype html>" + render(tag("html", head, body, lang="en"))

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        return self._respond(request, pages_other.verify(), 200)

    async def _search(self, request: web.Request) -> web.StreamResponse:
        await self._recent.visit()
        query = request.query.get("q", "")
        target = await pages_other.find(self._desk, query)
        if target is not None:
            raise web.HTTPSeeOther(target)
        return self._respond(request, pages_other.search(query), 404)

    async def _proof(self, request: web.Request) -> web.StreamResponse:
        identity, kind = _hash(request), request.match_info["kind"]
        if kind == "prediction":
            found = await self._node.prediction(identity)
            notar = await notar_of(self._node, found.block)
            data = await prove_prediction(self._node, found.block, found.index, notar)
        elif kind == "tx":
            answer = await self._node.transaction(identity)
            if answer.block is None or answer.index is None:
                raise InvalidInput(Code.NOT_FOUND, "the transaction is not final yet")
            data = await prove_receipt(self._node, answer.block, answer.index)
        else:
            raise InvalidInput(Code.NOT_FOUND, "proofs are of a prediction or a tx")
        name = f"{kind}-{identity.hex()[:16]}.proof"
        return web.Response(
            body=data,
            content_type="application/octet-stream",
            headers={**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def _genesis(self, request: web.Request) -> web.StreamResponse:
        del request
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="genesis.json"'}
        body = genesis_to_json(self._node.genesis)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= STREAMS_MAX:
            raise InvalidInput(Code.TOO_MANY, f"{STREAMS_MAX} pages are live already")
        self._streams += 1
        try:
            with waiting():
                return await self._stream(request)
        finally:
            self._streams -= 1

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = request.headers.get("Last-Event-ID", "")
        height = int(text) if text.isdecimal() and len(text) < 19 else self._recent.height
        with contextlib.suppress(ConnectionError):
            await response.write(b"retry: 1000\n\n")
            while True:
                await self._recent.visit()
                seen = await self._recent.wait_beyond(height, HEARTBEAT_S)
                line = b"id: %d\ndata: %d\n\n" % (seen, seen) if seen > height else b": beat\n\n"
                height = max(height, seen)
                await response.write(line)
        return response

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        data = self._assets.get(name)
        if data is None:
            raise InvalidInput(Code.NOT_FOUND, "there is no such asset")
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=data, content_type=ASSET_TYPES[Path(name).suffix], headers=headers)


def failure_page(error: AndonError) -> Page:
    """A typed error as a page."""
    body: list[Child] = [
        tag("p", error.message),
        tag("p", error.hint, class_="muted") if error.hint else None,
        tag("p", f"{error.code.name} ({error.code.value})", class_="muted"),
    ]
    return Page(error.code.name.replace("_", " ").capitalize(), body)


def _current(target: str, path: str) -> str | None:
    if target == path:
        return "page"
    first = path.split("/")[1]
    return "true" if target == PARENTS.get(first, f"/{first}") else None


def _main(page: Page) -> Markup:
    live = "live" if page.live else None
    return tag("main", tag("h1", page.title), page.body, id="main", data_live=live)


def _html(text: str, status: int) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


def _before(request: web.Request) -> int | None:
    text = request.query.get("before", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


def _reference(request: web.Request) -> int | bytes:
    text = request.match_info["reference"]
    if text.isdecimal() and len(text) < 19:
        return int(text)
    return _bytes(text)


def _hash(request: web.Request) -> bytes:
    return _bytes(request.match_info["id"])


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise InvalidInput(Code.BAD_REQUEST, f"{text[:40]!r} is not hex") from None
