"""The peer-facing HTTPS server: one link route, read-only fetch routes, hard limits.

Limits (reliability reference 4.2): a connection is a stranger until it shows a session token or
has shaken hands; it has FIRST_REQUEST_S for its first request and HANDSHAKE_S for the handshake, at
most STRANGERS_MAX live at a time, and an answer to one closes the connection. Keep-alive is short,
bodies are refused, nothing is decompressed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from aiohttp import web

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.pieces import PIECE_BYTES
from node.listening import Bounds, Listener
from node.net.limits import FetchBudgets
from node.net.tls import ServerTls

FIRST_REQUEST_S = 5.0
HANDSHAKE_S = 5.0
STRANGERS_MAX = 256
STRANGERS_PER_ADDRESS_MAX = 16
CONNECTIONS_MAX = 1024
CONNECTIONS_PER_S = 10.0
"""New connections from one address: each costs a TLS handshake, 7 ms of a processor."""
CONNECTIONS_BURST = 64.0
KEEPALIVE_S = 30.0
FETCH_WAIT_MAX_S = 5.0
BLOCKS_PER_FETCH_MAX = 64
BLOCKS_BYTES_PER_FETCH_MAX = 16 * 1024 * 1024
ADOPTABLE_BYTES_PER_FETCH_MAX = 8 * 1024 * 1024
"""A block that is larger with what it did is executed by whoever catches up."""
LINK_PATH = "/peer/v1/link"
SESSION_HEADER = "X-Andon-Session"
TOTAL_HEADER = "X-Andon-Total"
PROOF_HEADER = "X-Andon-Proof"
LENGTH_BYTES = 4
HEIGHT_BYTES = 8
OFFERS_MAX = 64
_LINE_BYTES_MAX = 4096
_HEADERS_MAX = 32
_DIGEST_HEX = 64

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Shelf(Protocol):
    """What peers may fetch."""

    async def final_blocks(self, first: int, count: int) -> list[bytes]:
        """Encoded FinalBlocks from height `first`; fewer if the chain or a bound ends."""

    async def adoptable_blocks(self, first: int, count: int) -> list[bytes]:
        """Encoded AdoptableBlocks from height `first`; fewer where what a block did is not kept."""

    async def blob_part(self, digest: bytes, offset: int, size: int) -> tuple[int, bytes] | None:
        """Total size of a blob and one part of it; None if it is not here."""

    async def private_part(
        self, peer: bytes, digest: bytes, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        """The same of a private payload's envelope, for a node that is a keeper of it, too."""

    async def blob_proof(self, peer: bytes, digest: bytes, index: int) -> bytes | None:
        """The Merkle proof of one piece of a blob; None if it is not here.

        Raises Unavailable if it would cost too much for this peer now.
        """

    async def snapshots(self) -> list[int]:
        """Heights of the portable states that are here."""

    async def snapshot_piece(
        self, height: int, name: str, offset: int, size: int
    ) -> tuple[int, bytes] | None:
        """Total size of a file of a portable state and one piece of it; None if it is not here."""

    async def block_item(self, height: int) -> bytes | None:
        """A final block with what it did, encoded; None if it is not here."""

    async def state_value(self, key: bytes) -> bytes | None:
        """What the last state holds at a key; None if nothing."""


def has_hung_up(request: web.Request) -> bool:
    """Tell whether nobody is left to answer: what fails over that is no error of ours."""
    return request.transport is None or request.transport.is_closing()


class PeerServer:
    """Serves links through `accept_link` and fetches from `shelf`."""

    def __init__(self, tls: ServerTls, shelf: Shelf, accept_link: Handler) -> None:
        self._shelf = shelf
        self._budgets = FetchBudgets()
        self._tokens: dict[bytes, bytes] = {}
        application = web.Application(middlewares=[self._guard], client_max_size=1024)
        application.router.add_get(LINK_PATH, accept_link)
        application.router.add_get("/peer/v1/blocks", self._blocks)
        application.router.add_get("/peer/v1/adoptable", self._adoptable)
        application.router.add_get("/peer/v1/blobs/{digest}", self._blob)
        application.router.add_get("/peer/v1/private/{digest}", self._private)
        application.router.add_get("/peer/v1/snapshots", self._snapshots)
        application.router.add_get("/peer/v1/snapshots/{height}/{name}", self._snapshot)
        application.router.add_get("/peer/v1/items/{height}", self._item)
        application.router.add_get("/peer/v1/state/{key}", self._state)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            auto_decompress=False,
            lingering_time=0,
            shutdown_timeout=1.0,
        )
        bounds = Bounds(
            seconds=FIRST_REQUEST_S,
            count_max=STRANGERS_MAX,
            per_address_max=STRANGERS_PER_ADDRESS_MAX,
            connections_max=CONNECTIONS_MAX,
            connections_per_s=CONNECTIONS_PER_S,
            connections_burst=CONNECTIONS_BURST,
        )
        self._listener = Listener(self._runner, bounds, tls.context)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (chosen by the system if `port` is 0).

        Raises:
            Unavailable: PORT_IN_USE.
        """
        await self._runner.setup()
        try:
            return await self._listener.open(host, port)
        except OSError as error:
            raise Unavailable(
                Code.PORT_IN_USE,
                f"cannot listen for peers on {host}:{port}: {error.strerror}",
                hint="stop what holds the port or change peer_port",
            ) from None

    async def stop(self) -> None:
        """Stop listening and end every connection."""
        await self._listener.close()
        await self._runner.cleanup()

    def grant(self, token: bytes, node_key: bytes) -> None:
        """Open the fetch routes to the session token of a node."""
        self._tokens[_token_key(token)] = node_key

    def revoke(self, token: bytes) -> None:
        """Close them again."""
        self._tokens.pop(_token_key(token), None)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        is_link = request.path == LINK_PATH
        if request.can_read_body:
            return _turned_away(web.Response(status=413))
        if is_link:
            self._listener.extend(request, HANDSHAKE_S)
        else:
            token = request.headers.get(SESSION_HEADER, "")
            # Comparing digests in a table leaks nothing about the token itself.
            peer = self._tokens.get(_token_key_hex(token))
            if peer is None:
                return _turned_away(web.Response(status=401))
            self._listener.greet(request)
            handler = partial(self._paced, peer, handler)
        try:
            return await handler(request)
        except web.HTTPException as error:
            _turned_away(error)
            raise
        except InvalidInput as error:
            status = 404 if error.code is Code.NOT_FOUND else 400
            return web.Response(status=status, text=error.code.name)
        except ConnectionError:
            if not has_hung_up(request):
                raise
            return web.Response()

    async def _paced(
        self, peer: bytes, handler: Handler, request: web.Request
    ) -> web.StreamResponse:
        """Answer as fast as a peer may fetch: what is merely too much waits."""
        clock = asyncio.get_running_loop().time
        wait_s = self._budgets.begin(peer, clock())
        if wait_s is None:
            return web.Response(status=429)
        size = 0
        try:
            await asyncio.sleep(min(wait_s, FETCH_WAIT_MAX_S))
            response = await handler(request)
            size = response.content_length or 0
        finally:
            self._budgets.end(peer, size, clock())
        return response

    def greet(self, request: web.Request) -> None:
        """A handshake was finished on this connection."""
        self._listener.greet(request)

    async def _blocks(self, request: web.Request) -> web.Response:
        first = _number(request.query.get("first", ""))
        count = min(_number(request.query.get("count", "")), BLOCKS_PER_FETCH_MAX)
        body = bytearray()
        for encoded in await self._shelf.final_blocks(first, count):
            if body and len(body) + len(encoded) > BLOCKS_BYTES_PER_FETCH_MAX:
                break
            body += len(encoded).to_bytes(LENGTH_BYTES, "big") + encoded
        return web.Response(body=bytes(body), content_type="application/octet-stream")

    async def _adoptable(self, request: web.Request) -> web.Response:
        first = _number(request.query.get("first", ""))
        count = min(_number(request.query.get("count", "")), BLOCKS_PER_FETCH_MAX)
        found = await self._shelf.adoptable_blocks(first, count)
        parts = [part for item in found for part in (len(item).to_bytes(LENGTH_BYTES, "big"), item)]
        return web.Response(body=b"".join(parts), content_type="application/octet-stream")

    async def _blob(self, request: web.Request) -> web.Response:
        digest, offset = _digest(request), _number(request.query.get("offset", "0"))
        found = await self._shelf.blob_part(digest, offset, PIECE_BYTES) if digest else None
        response = _piece(found)
        if found is not None and offset % PIECE_BYTES == 0 and "proof" in request.query:
            peer = self._peer_of(request)
            try:
                proof = await self._shelf.blob_proof(peer, digest, offset // PIECE_BYTES)
            except Unavailable:
                return web.Response(status=429)
            response.headers[PROOF_HEADER] = "" if proof is None else proof.hex()
        return response

    def _peer_of(self, request: web.Request) -> bytes:
        """Whose session it is; empty if that ended while the request waited."""
        return self._tokens.get(_token_key_hex(request.headers.get(SESSION_HEADER, "")), b"")

    async def _private(self, request: web.Request) -> web.Response:
        digest, offset = _digest(request), _number(request.query.get("offset", "0"))
        if not digest:
            return _piece(None)
        peer = self._peer_of(request)
        return _piece(await self._shelf.private_part(peer, digest, offset, PIECE_BYTES))

    async def _snapshots(self, request: web.Request) -> web.Response:
        del request
        heights = await self._shelf.snapshots()
        body = b"".join(height.to_bytes(HEIGHT_BYTES, "big") for height in heights[-OFFERS_MAX:])
        return web.Response(body=body, content_type="application/octet-stream")

    async def _snapshot(self, request: web.Request) -> web.Response:
        height = _number(request.match_info["height"])
        offset = _number(request.query.get("offset", "0"))
        name = request.match_info["name"]
        return _piece(await self._shelf.snapshot_piece(height, name, offset, PIECE_BYTES))

    # What a peer needs to repair its store; it checks both against its own headers.

    async def _item(self, request: web.Request) -> web.Response:
        return _whole(await self._shelf.block_item(_number(request.match_info["height"])))

    async def _state(self, request: web.Request) -> web.Response:
        try:
            key = bytes.fromhex(request.match_info["key"])
        except ValueError:
            return _whole(None)
        return _whole(await self._shelf.state_value(key))


def _turned_away(response: web.Response) -> web.Response:
    """End the connection with this answer: whoever is not known keeps no place."""
    response.force_close()
    return response


def _whole(found: bytes | None) -> web.Response:
    if found is None:
        return web.Response(status=404)
    return web.Response(body=found, content_type="application/octet-stream")


def _piece(found: tuple[int, bytes] | None) -> web.Response:
    if found is None:
        return web.Response(status=404)
    total, piece = found
    return web.Response(
        body=piece, headers={TOTAL_HEADER: str(total)}, content_type="application/octet-stream"
    )


def _digest(request: web.Request) -> bytes:
    name = request.match_info["digest"]
    try:
        return bytes.fromhex(name) if len(name) == _DIGEST_HEX else b""
    except ValueError:
        return b""


def _token_key(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _token_key_hex(text: str) -> bytes:
    try:
        return _token_key(bytes.fromhex(text))
    except ValueError:
        return b""


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise InvalidInput(Code.BAD_REQUEST, "a number of at most 18 digits is expected")
    return int(text)
