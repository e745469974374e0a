"""The HTTP server of a node: faces, bounds and errors in one aiohttp application."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import msgspec
import structlog
from aiohttp import web

from andon.core.errors import AndonError, Code, InvalidInput, Misuse, Unavailable
from node.facade import NodeFacade
from node.gas_budget import GasBudgets
from node.listening import Bounds, Listener, connections_allowed, site_of
from node.rpc import jsonrpc, operations, rest, streams, websocket
from node.rpc.access import CHALLENGE, METRICS, Access, ApiKey, is_health, require
from node.rpc.blobs import Blobs
from node.rpc.bodies import read_body
from node.rpc.bulk import Bulk
from node.rpc.failures import describe, http_status, problem, protocol_error
from node.rpc.limits import (
    BODY_BYTES_MAX,
    CONNECTIONS_MAX,
    FIRST_REQUEST_S,
    KEEPALIVE_S,
    STRANGERS_MAX,
    STRANGERS_PER_ADDRESS_MAX,
    STREAMS_MAX,
    RateLimiter,
)
from node.rpc.openapi import openapi_document
from node.rpc.operations import PROBES
from node.rpc.origins import Sites
from node.rpc.render import health as render_health
from node.rpc.revoked import Revoked
from node.rpc.route import Handler, Route
from node.rpc.slots import Slots
from node.upload_budget import UploadBudgets

log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder()
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHUTDOWN_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcSettings:
    """Where to listen and how much to serve. Port 0 takes any free port."""

    host: str = "127.0.0.1"
    port: int = 0
    rate_per_s: int = 4000
    burst: int = 8000
    streams_max: int = STREAMS_MAX
    call_gas_per_s: int = 100_000_000
    upload_mib_per_hour: int = 0
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    """Names and sites beside our own that may ask; see `node.rpc.origins`."""
    access: Access = field(default_factory=Access)
    tls: ssl.SSLContext | None = None
    first_request_s: float = FIRST_REQUEST_S
    """How long a new connection may take for its first whole head of a request."""
    write_timeout_s: float = streams.WRITE_TIMEOUT_S
    """How long a client of a stream may take no bytes."""


class Extension(Protocol):
    """More routes on the same port, with something that runs beside them: the explorer."""

    def routes(self) -> list[Route]:
        """Routes to add; those with an operation stand in the OpenAPI document."""

    def run(self) -> contextlib.AbstractAsyncContextManager[None]:
        """What has to run while the server does."""


class RpcServer:
    """Serves a node; `async with` starts and stops it."""

    def __init__(
        self,
        node: NodeFacade,
        settings: RpcSettings | None = None,
        extensions: Sequence[Extension] = (),
    ) -> None:
        self._node = node
        self._settings = settings or RpcSettings()
        self._limiter = RateLimiter(self._settings.rate_per_s, self._settings.burst)
        self._probe_limiter = RateLimiter(self._settings.rate_per_s, self._settings.burst)
        self._gas = GasBudgets(self._settings.call_gas_per_s)
        self._uploads = UploadBudgets(self._settings.upload_mib_per_hour)
        self._sites = Sites(self._settings.host, self._settings.hosts, self._settings.origins)
        self._slots = Slots(self._settings.streams_max)
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None
        self._port = self._settings.port
        self._extensions = tuple(extensions)
        self._running = contextlib.AsyncExitStack()
        self.app = self._build()

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL, once started."""
        scheme = "http" if self._settings.tls is None else "https"
        return f"{scheme}://{self._settings.host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            Unavailable: PORT_IN_USE.
        """
        runner = web.AppRunner(
            self.app,
            access_log=None,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            keepalive_timeout=KEEPALIVE_S,
            handler_cancellation=True,
        )
        await runner.setup()
        settings = self._settings
        bounds = Bounds(
            seconds=settings.first_request_s,
            count_max=STRANGERS_MAX,
            per_address_max=STRANGERS_PER_ADDRESS_MAX,
            connections_max=connections_allowed(CONNECTIONS_MAX + settings.streams_max),
        )
        self._listener = Listener(runner, bounds, settings.tls)
        try:
            self._port = await self._listener.open(settings.host, settings.port)
        except OSError as error:
            await runner.cleanup()
            raise Unavailable(
                Code.PORT_IN_USE,
                f"cannot listen on {self._settings.host}:{self._settings.port}: {error.strerror}",
                hint="stop what holds the port or choose another",
            ) from None
        for extension in self._extensions:
            await self._running.enter_async_context(extension.run())
        self._runner = runner

    async def stop(self) -> None:
        """Close streams and stop listening; harmless if not started."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            if self._listener is not None:
                await self._listener.close()
            await runner.cleanup()
        await self._running.aclose()

    def renew(self, keys: tuple[ApiKey, ...], revoked: Revoked) -> None:
        """Take other lists of who may ask; connections of revoked certificates end at once."""
        access = self._settings.access
        access.renew(keys, revoked)
        server = None if self._runner is None else self._runner.server
        for connection in [] if server is None else server.connections:
            transport = connection.transport
            # No transport of uvloop is an asyncio.Transport by type.
            if transport is not None and access.is_revoked(transport):
                transport.abort()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _build(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=BODY_BYTES_MAX)
        routes = [
            Route("POST", "/rpc", self._rpc, operations.RPC),
            Route("GET", "/v1/events", self._event_stream, operations.EVENT_STREAM_OF_CHAIN),
            Route("GET", "/v1/ws", self._socket, operations.WEBSOCKET),
            *Blobs(self._node).routes(),
            Route("GET", "/metrics", self._metrics, operations.METRICS),
            Route("GET", "/health", self._health, operations.LIVE),
            Route("GET", "/health/{probe}", self._health, operations.HEALTH),
            Route("GET", "/openapi.json", self._openapi, operations.DOCUMENT),
            *rest.routes(self._node, read_body),
            *Bulk(self._node, read_body, self._charge).routes(),
            *(route for extension in self._extensions for route in extension.routes()),
        ]
        self.document = openapi_document(routes)
        app.add_routes([route.definition() for route in routes])
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Bound what is served and turn every failure into a typed answer."""
        if self._listener is not None:
            self._listener.greet(request)
        try:
            with contextlib.nullcontext() if _is_probe(request) else self._slots.work():
                self._charge(request, 1)
                if not is_health(request):
                    self._sites.check(request)
                name = self._settings.access.enter(request)
                _check_encoding(request)
                with self._gas.of(_site(request)), self._uploads.of(name or _site(request)):
                    return await handler(request)
        except AndonError as error:
            wait_ms = error.fields.get("retry_ms")
            return _failure(request, error, wait_ms if isinstance(wait_ms, int) else None)
        except web.HTTPRequestEntityTooLarge:
            return _failure(
                request,
                InvalidInput(Code.TOO_LARGE, f"a body has at most {BODY_BYTES_MAX} bytes"),
                None,
            )
        except web.HTTPException as error:
            return _http_failure(request, error)
        except ConnectionError:
            if request.transport is not None and not request.transport.is_closing():
                raise
            return web.Response()  # to nobody: who asked has hung up, which is no error of ours
        except Exception:  # task root: a bug must not reach the caller as a traceback
            log.exception("rpc.bug", path=request.path)
            return _failure(request, Unavailable(Code.INTERNAL, "the node failed to answer"), None)

    def _charge(self, request: web.Request, cost: int) -> None:
        now_ms = int(asyncio.get_running_loop().time() * 1000)
        # A client that has used up its rate must not make its own probes fail.
        limiter = self._probe_limiter if _is_probe(request) else self._limiter
        wait_ms = limiter.take(_site(request), cost, now_ms)
        if wait_ms:
            raise Unavailable(
                Code.RATE_LIMITED,
                f"more than {self._settings.rate_per_s} requests a second",
                hint=f"try again in {wait_ms} ms",
                retry_ms=wait_ms,
            )

    async def _rpc(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request)
        self._charge(request, jsonrpc.batch_size(body) - 1)
        answer = await jsonrpc.answer(self._node, body)
        if not answer:
            return web.Response(status=204)
        return web.Response(body=answer, content_type="application/json")

    async def _event_stream(self, request: web.Request) -> web.StreamResponse:
        text = request.headers.get("Last-Event-ID") or request.query.get("cursor", "")
        wanted = streams.Filter(request.query.get("contract", ""), request.query.get("name", ""))
        after = streams.parse_cursor(text) or streams.now_cursor(self._node)
        with self._slots.streaming():
            return await streams.serve(
                self._node, request, after, wanted, self._settings.write_timeout_s
            )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        with self._slots.streaming():
            return await websocket.Session(
                self._node, request, self._charge, self._settings.write_timeout_s
            ).run()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        del request
        require(METRICS)
        return web.Response(body=self._node.metrics_text(), headers={"Content-Type": METRICS_TYPE})

    async def _health(self, request: web.Request) -> web.StreamResponse:
        probe = request.match_info.get("probe", "live")
        if probe not in PROBES:
            raise InvalidInput(Code.NOT_FOUND, f"probes are {', '.join(PROBES)}")
        verdict = self._node.health(probe)
        return web.Response(
            body=_encoder.encode(render_health(verdict)),
            status=200 if verdict.is_ok else 503,
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(body=self.document, content_type="application/json")


def _site(request: web.Request) -> str:
    """Whose rates a request counts for; a network of IPv6 addresses is one client."""
    return site_of(request.remote) if request.remote else ""


def _is_probe(request: web.Request) -> bool:
    """Probes and metrics answer without waiting, also when every place is taken."""
    return request.path == "/metrics" or is_health(request)


def _check_encoding(request: web.Request) -> None:
    # aiohttp would inflate the body before any size limit of ours could see it.
    if "Content-Encoding" in request.headers:
        raise InvalidInput(
            Code.BAD_REQUEST, "compressed bodies are not taken", hint="send it plain"
        )


def _failure(request: web.Request, error: AndonError, retry_ms: int | None) -> web.StreamResponse:
    reply = describe(error)
    status = http_status(error)
    headers = {} if retry_ms is None else {"Retry-After": str(-(-retry_ms // 1000))}
    if error.code is Code.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = CHALLENGE
    if isinstance(error, Misuse):
        log.error("rpc.misuse", path=request.path, code=error.code.name, error=error.message)
    if request.path == "/rpc":
        body = _encoder.encode({"jsonrpc": "2.0", "id": None, "error": reply})
        return web.Response(
            body=body, status=status, content_type="application/json", headers=headers
        )
    return web.Response(
        body=problem(reply, status),
        status=status,
        content_type="application/problem+json",
        headers=headers,
    )


def _http_failure(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400:
        raise error
    name = error.reason.upper().replace(" ", "_")
    reply = protocol_error(
        Code.BAD_REQUEST.value,
        name,
        f"{request.method} {request.path[:80]}: {error.reason}",
        "see /openapi.json",
    )
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return web.Response(
        body=problem(reply, error.status),
        status=error.status,
        content_type="application/problem+json",
        headers=headers,
    )
