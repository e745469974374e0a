"""The network of a node: listens, dials, authenticates, and carries messages to named peers.

One link a pair: the node with the smaller node key dials and re-dials with capped backoff; a new
authenticated link replaces an older one of the same peer (it restarted). Consensus names peers by
validator key; the registry maps those to node keys and addresses.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import structlog
from aiohttp import web

from andon.core.errors import Code, InvalidInput
from andon.core.keys import PrivateKey
from andon.core.wire import FRAME_BYTES_MAX, Message
from node.net.addresses import CheckedResolver, DialRules
from node.net.bans import load_bans, save_bans
from node.net.handshake import (
    NONCE_BYTES,
    TOKEN_BYTES,
    Acceptor,
    Dialer,
    Identity,
    Session,
    certificate_digest,
)
from node.net.limits import Backoff, PeerScores
from node.net.link import Counters, Link, Receive, receive_handshake
from node.net.peers import Peer, PeerTable
from node.net.queue import class_of, encode_message, may_wait
from node.net.server import PeerServer, Shelf
from node.net.tls import ServerTls, client_context

HANDSHAKE_S = 5.0
HEARTBEAT_S = 10.0
CLOSE_S = 1.0
UNREGISTERED_CLOSE = 4001
"""WebSocket close code that tells a dialler: the identity state here does not name it."""
UNDIALLED_S = 20.0
"""A peer that should dial us and has not for so long is dialled: it may have forgotten us."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who we are and where we listen."""

    key: PrivateKey
    chain_id: str
    genesis: bytes
    host: str
    port: int
    tls: ServerTls
    dial: DialRules
    bans: Path | None = None
    """Where bans are kept; None forgets them at the end."""


class Network:
    """Transport of consensus and gossip, and the sessions that fetches use."""

    def __init__(
        self,
        settings: Settings,
        table: PeerTable,
        shelf: Shelf,
        *,
        receive: Receive,
        linked: Callable[[Peer], None],
        unlinked: Callable[[bytes], None],
        jitter: random.Random,
    ) -> None:
        self._settings = settings
        self.dial_rules = settings.dial
        self._table = table
        self._receive = receive
        self._linked = linked
        self._unlinked = unlinked
        self._jitter = jitter
        self._identity = Identity(
            key=settings.key,
            chain_id=settings.chain_id,
            genesis=settings.genesis,
            certificate=settings.tls.digest,
        )
        self._server = PeerServer(settings.tls, shelf, self._accept)
        self._links: dict[bytes, Link] = {}
        self._dialling: dict[bytes, asyncio.Task[None]] = {}
        self._refused_by: set[bytes] = set()
        self._registry: list[Peer] = []
        self._parting: asyncio.TimerHandle | None = None
        self._group: asyncio.TaskGroup | None = None
        self._client: aiohttp.ClientSession | None = None
        self.scores = PeerScores()
        self.counters: dict[bytes, Counters] = {}
        self.port = settings.port

    async def run(self, started: asyncio.Event) -> None:
        """Serve and dial until cancelled; sets `started` once it listens."""
        context = client_context()
        connector = aiohttp.TCPConnector(
            ssl=context, limit=0, force_close=True, resolver=CheckedResolver(self.dial_rules)
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=HANDSHAKE_S)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            self._client, self._group = client, group
            if self._settings.bans is not None:
                await asyncio.to_thread(load_bans, self._settings.bans, self.scores, _now_s())
            self.port = await self._server.start(self._settings.host, self._settings.port)
            log.info("network.listening", host=self._settings.host, port=self.port)
            try:
                self._dial_missing()
                started.set()
                await asyncio.get_running_loop().create_future()
            finally:
                if self._parting is not None:
                    self._parting.cancel()
                for link in list(self._links.values()):
                    link.close("shutdown")
                await self._server.stop()

    def update_peers(self, peers: list[Peer]) -> None:
        """Take a new registry: dial who is new or moved, drop who left a while ago."""
        self._registry = peers
        moved, gone = self._table.replace(peers, _now_s())
        for key in [*gone, *(peer.node_key for peer in moved)]:
            if (task := self._dialling.pop(key, None)) is not None:
                task.cancel()
            if key in gone and (link := self._links.get(key)) is not None:
                link.close("unregistered")
        for key, link in self._links.items():
            link.peer = self._table.by_node(key) or link.peer
        self._refused_by &= {peer.node_key for peer in self._table.all()}
        self._await_parting()
        self._dial_missing()

    def _await_parting(self) -> None:
        """Look again when the respite of somebody who left the registry is over."""
        if self._parting is not None:
            self._parting.cancel()
        at_s = self._table.next_parting_s()
        self._parting = None
        if at_s is not None:
            again = partial(self.update_peers, self._registry)
            self._parting = asyncio.get_running_loop().call_at(at_s, again)

    def _dial_missing(self) -> None:
        if self._group is None:
            return
        for peer in self._table.all():
            if peer.host and peer.node_key not in self._dialling:
                self._dialling[peer.node_key] = self._group.create_task(
                    self._keep_dialled(peer), name=f"dial {peer.address}"
                )

    # -- sending --------------------------------------------------------------------------

    def broadcast(self, message: Message) -> None:
        """Queue a message for every linked peer; encodes once."""
        encoded = encode_message(message)
        kind, waits = class_of(message), may_wait(message)
        for link in self._links.values():
            link.put(encoded, kind, waits=waits)

    def send(self, peer_key: bytes, message: Message) -> None:
        """Queue a message for the peer with this validator key; dropped if it is not linked."""
        peer = self._table.by_validator(peer_key)
        link = self._links.get(peer.node_key) if peer is not None else None
        if link is not None:
            link.put(encode_message(message), class_of(message))

    def punish(self, node_key: bytes, penalty: float, reason: str) -> None:
        """Lower a peer's score for what another part found; bans and disconnects at the limit."""
        is_banned = self.scores.punish(node_key, penalty, reason, _now_s())
        log.warning("peer.misbehaved", peer=node_key.hex()[:16], reason=reason, banned=is_banned)
        if not is_banned:
            return
        if self._settings.bans is not None:
            save_bans(self._settings.bans, self.scores, _now_s())
        if (link := self._links.get(node_key)) is not None:
            link.close("banned")

    # -- state ----------------------------------------------------------------------------

    def linked_peers(self) -> list[Peer]:
        """Peers with a live link."""
        return [link.peer for link in self._links.values()]

    def linked_keys(self) -> list[bytes]:
        """Node keys of the peers with a live link."""
        return [peer.node_key for peer in self.linked_peers()]

    def is_linked(self, node_key: bytes) -> bool:
        """Tell whether a link to this node is live."""
        return node_key in self._links

    def refusals(self) -> int:
        """How many peers said that this node is not registered, when it dialled them last."""
        return len(self._refused_by)

    def session(self, node_key: bytes) -> tuple[Peer, Session] | None:
        """How to fetch from a linked peer; None if it is not linked."""
        link = self._links.get(node_key)
        return (link.peer, link.session) if link is not None else None

    def pending_bytes(self) -> dict[bytes, int]:
        """Bytes waiting to be sent, by node key."""
        return {key: link.pending_bytes for key, link in self._links.items()}

    # -- links ----------------------------------------------------------------------------

    async def _keep_dialled(self, peer: Peer) -> None:
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        try:
            self.dial_rules.check(peer.host, peer.port)
        except InvalidInput as error:
            log.warning("peer.not_dialled", peer=peer.node_key.hex()[:16], reason=str(error))
            return
        while True:
            if not self._table.should_dial(peer.node_key):
                await asyncio.sleep(UNDIALLED_S)
                if self.is_linked(peer.node_key):
                    continue
            if not self.scores.is_banned(peer.node_key, loop.time()):
                try:
                    await self._dial(peer, backoff)
                except (aiohttp.ClientError, OSError, TimeoutError, InvalidInput) as error:
                    log.debug("peer.unreachable", address=peer.address, reason=str(error)[:200])
            await asyncio.sleep(backoff.next_s(self._jitter.random()))

    def _note_refusal(self, peer: Peer) -> None:
        if peer.node_key not in self._refused_by:
            self._refused_by.add(peer.node_key)
            log.warning("peer.knows_us_not", peer=peer.node_key.hex()[:16], address=peer.address)

    async def _dial(self, peer: Peer, backoff: Backoff) -> None:
        assert self._client is not None
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await self._client.ws_connect(
                f"wss://{peer.address}/peer/v1/link",
                max_msg_size=FRAME_BYTES_MAX + 1,
                heartbeat=HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                compress=0,
            )
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                tls = socket.get_extra_info("ssl_object")
                der: bytes = tls.getpeercert(binary_form=True)
                dialer = Dialer(
                    self._identity,
                    peer.node_key,
                    nonce=secrets.token_bytes(NONCE_BYTES),
                    token=secrets.token_bytes(TOKEN_BYTES),
                )
                await socket.send_bytes(dialer.hello())
                answer = await receive_handshake(socket)
                confirm, session = dialer.confirm(answer, certificate_digest(der))
                await socket.send_bytes(confirm)
            backoff.reset()
            await self._run_link(self._make_link(socket, peer, session))
        finally:
            await socket.close()
            if socket.close_code == UNREGISTERED_CLOSE:
                self._note_refusal(peer)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            timeout=CLOSE_S,
            heartbeat=HEARTBEAT_S,
            compress=False,
            max_msg_size=FRAME_BYTES_MAX + 1,
        )
        await socket.prepare(request)
        close_code: int = aiohttp.WSCloseCode.POLICY_VIOLATION

        def is_admitted(node_key: bytes) -> bool:
            nonlocal close_code
            if self._table.by_node(node_key) is None:
                close_code = UNREGISTERED_CLOSE
                return False
            return not self.scores.is_banned(node_key, _now_s())

        acceptor = Acceptor(
            self._identity,
            is_admitted,
            nonce=secrets.token_bytes(NONCE_BYTES),
            token=secrets.token_bytes(TOKEN_BYTES),
        )
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await socket.send_bytes(acceptor.answer(await receive_handshake(socket)))
                session = acceptor.finish(await receive_handshake(socket))
                peer = self._registered(session.peer)
                self._server.greet(request)
        except (InvalidInput, TimeoutError, OSError) as error:
            log.warning("peer.refused", remote=request.remote, reason=str(error)[:200])
            await socket.close(code=close_code)
            return socket
        await self._run_link(self._make_link(socket, peer, session))
        return socket

    def _registered(self, node_key: bytes) -> Peer:
        peer = self._table.by_node(node_key)
        if peer is None:
            raise InvalidInput(Code.WRONG_PEER, "unregistered during the handshake")
        return peer

    def _make_link(
        self,
        socket: aiohttp.ClientWebSocketResponse[bool] | web.WebSocketResponse[bool],
        peer: Peer,
        session: Session,
    ) -> Link:
        counters = self.counters.setdefault(peer.node_key, Counters())
        return Link(
            socket,
            peer,
            session,
            receive=self._receive,
            punish=self.punish,
            counters=counters,
        )

    async def _run_link(self, link: Link) -> None:
        key = link.peer.node_key
        if (older := self._links.get(key)) is not None:
            older.close("replaced")
        self._links[key] = link
        self._refused_by.discard(key)
        self._server.grant(link.session.token_given, key)
        log.info("peer.linked", peer=key.hex()[:16], address=link.peer.address)
        reason = "cancelled"
        try:
            self._linked(link.peer)
            reason = await link.run()
        except* Exception:
            # A task's root: a bug in handling one message ends this link, not the node.
            reason = "crashed"
            log.exception("link.crashed", peer=key.hex()[:16])
        finally:
            self._server.revoke(link.session.token_given)
            if self._links.get(key) is link:
                del self._links[key]
                self._unlinked(key)
            log.info("peer.unlinked", peer=key.hex()[:16], reason=reason)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
