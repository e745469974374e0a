"""Listens for one HTTP server and bounds who is not known yet: connections, time, handshakes.

aiohttp has deadlines for neither the head of a request nor an idle first connection (reliability
reference 4.2), and asyncio starts a TLS handshake for whoever connects. So connections are taken
here: an address is judged before it costs a handshake, and a connection stays a stranger, with one
deadline for all it does, until the server greets it. When all places are taken, the oldest
stranger goes: an honest one needs milliseconds, who waits longer is the likelier flood.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import socket
import ssl
from collections import OrderedDict
from dataclasses import dataclass

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from node.net.limits import TokenBucket

BACKLOG = 256
ACCEPT_RETRY_S = 0.1
"""After an accept that the system refused: mostly for want of file descriptors."""
TLS_SHUTDOWN_S = 1.0
ADDRESSES_MAX = 4096
_IPV6_SITE_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What strangers may take, in all and from one address."""

    seconds: float
    """From the connection to the greeting."""
    count_max: int
    per_address_max: int
    connections_max: int
    """Of all kinds: who is known has no deadline, and file descriptors end."""
    connections_per_s: float = 0.0
    """New connections from one address, on average; 0 for any."""
    connections_burst: float = 0.0


@dataclass(slots=True)
class _Stranger:
    address: str
    timer: asyncio.TimerHandle
    connection: socket.socket | None
    """Until its transport owns it."""
    task: asyncio.Task[None] | None = None

    def is_gone(self, handler: RequestHandler) -> bool:
        """Tell whether its handshake failed, or its connection was lost since."""
        if self.task is None or not self.task.done():
            return False
        return handler.transport is None or handler.transport.is_closing()


class Listener:
    """Takes connections for `runner`, which must be set up before `open`."""

    def __init__(
        self, runner: web.AppRunner, bounds: Bounds, tls: ssl.SSLContext | None = None
    ) -> None:
        self._runner = runner
        self._bounds = bounds
        self._tls = tls
        self._strangers: OrderedDict[RequestHandler, _Stranger] = OrderedDict()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Listen on every address of a name; returns the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, address in dict.fromkeys((item[0], item[4]) for item in found):
                listening = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                listening.settimeout(0)
                self._sockets.append(listening)
        except OSError:
            self._close_sockets()
            raise
        for listening in self._sockets:
            self._watch(listening)
        bound: int = self._sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Take no more connections, and end those that are strangers."""
        self._close_sockets()
        tasks = tuple(self._tasks)
        for handler in list(self._strangers):
            self._drop(handler)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def greet(self, request: web.Request) -> None:
        """The server knows this connection now: it is no stranger any more."""
        stranger = self._strangers.pop(request.protocol, None)
        if stranger is not None:
            stranger.timer.cancel()

    def extend(self, request: web.Request, seconds: float) -> None:
        """Give a stranger that has asked properly so much time from now on, once."""
        stranger = self._strangers.get(request.protocol)
        if stranger is not None:
            stranger.timer.cancel()
            stranger.timer = self._deadline(request.protocol, seconds)

    # -- connections ----------------------------------------------------------------------

    def _watch(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        """Take what waits; a coroutine that is cancelled over an accept would lose a connection."""
        loop = asyncio.get_running_loop()
        for _ in range(BACKLOG):
            try:
                connection, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_RETRY_S, self._watch, listening)
                return
            connection.settimeout(0)
            address = site_of(peer[0])
            if self._has_room() and self._admits(address):
                self._take(connection, address)
            else:
                connection.close()

    def _take(self, connection: socket.socket, address: str) -> None:
        server = self._runner.server
        assert server is not None
        if len(self._strangers) >= self._bounds.count_max:
            self._forget_gone()
        while len(self._strangers) >= self._bounds.count_max:
            self._drop(next(iter(self._strangers)))
        handler = server()
        # The timer holds the handler only until it fires, so the table cannot leak.
        timer = self._deadline(handler, self._bounds.seconds)
        stranger = _Stranger(address, timer, connection)
        self._strangers[handler] = stranger
        work = self._connect(handler, stranger, connection)
        stranger.task = asyncio.ensure_future(work)  # noqa: TID251 - cancelled and awaited by close
        self._tasks.add(stranger.task)
        stranger.task.add_done_callback(self._tasks.discard)

    async def _connect(
        self, handler: RequestHandler, stranger: _Stranger, connection: socket.socket
    ) -> None:
        stranger.connection = None
        is_tls = self._tls is not None
        with contextlib.suppress(OSError):  # whoever fails at TLS is no error of ours
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=self._bounds.seconds if is_tls else None,
                ssl_shutdown_timeout=TLS_SHUTDOWN_S if is_tls else None,
            )

    def _has_room(self) -> bool:
        server = self._runner.server
        return server is not None and len(server.connections) < self._bounds.connections_max

    def _admits(self, address: str) -> bool:
        if ipaddress.ip_address(address).is_loopback:
            return True  # whoever is on this machine has better ways; networks of trials live here
        bounds = self._bounds
        if self._count_at(address) >= bounds.per_address_max:
            self._forget_gone()
            if self._count_at(address) >= bounds.per_address_max:
                return False
        if not bounds.connections_per_s:
            return True
        now_s = asyncio.get_running_loop().time()
        bucket = self._buckets.pop(address, None)
        if bucket is None:
            bucket = TokenBucket(bounds.connections_per_s, bounds.connections_burst, now_s)
            while len(self._buckets) >= ADDRESSES_MAX:
                self._buckets.popitem(last=False)
        self._buckets[address] = bucket
        return bucket.allows(now_s)

    def _count_at(self, address: str) -> int:
        return sum(stranger.address == address for stranger in self._strangers.values())

    def _forget_gone(self) -> None:
        """Free the places of who is gone; done when places are short, since no hook tells."""
        gone = [item for item in self._strangers.items() if item[1].is_gone(item[0])]
        for handler, stranger in gone:
            stranger.timer.cancel()
            del self._strangers[handler]

    def _deadline(self, handler: RequestHandler, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self._drop, handler)

    def _drop(self, handler: RequestHandler) -> None:
        stranger = self._strangers.pop(handler)
        stranger.timer.cancel()
        if stranger.task is not None:
            stranger.task.cancel()  # ends a handshake; after it, there is nothing to cancel
        if stranger.connection is not None:
            stranger.connection.close()
        if handler.transport is not None:
            handler.transport.abort()

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            asyncio.get_running_loop().remove_reader(listening)
            listening.close()
        self._sockets.clear()


def connections_allowed(wanted: int) -> int:
    """As many connections as wanted, at most three quarters of what the process may open.

    The rest is for the other port, the database and the worker: clients must not take it.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft * 3 // 4)


def site_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the 64 bits of an IPv6 one that are given."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found.is_loopback:
        return str(found)
    return str(ipaddress.ip_network((found, _IPV6_SITE_BITS), strict=False).network_address)
