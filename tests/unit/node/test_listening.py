"""Connections before anybody knows who they are: few, short, and not all from one address."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import resource
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
import uvloop
from aiohttp import web

from node import listening
from node.listening import Bounds, Listener, connections_allowed, site_of
from node.net.tls import client_context, make_server_tls

BOUNDS = Bounds(seconds=30.0, count_max=4, per_address_max=3, connections_max=99)
FOREIGN = "192.0.2.7"
HELLO = b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n"


class Door:
    """A listener whose server greets who asks for /known."""

    def __init__(self, bounds: Bounds, tls: ssl.SSLContext | None = None) -> None:
        application = web.Application()
        application.router.add_get("/known", self._answer)
        self.runner = web.AppRunner(application, access_log=None)
        self.bounds = bounds
        self.tls = tls
        self.port = 0

    async def _answer(self, request: web.Request) -> web.Response:
        self.listener.greet(request)
        return web.Response(text="hello")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Door]:
        await self.runner.setup()
        self.listener = Listener(self.runner, self.bounds, self.tls)
        self.port = await self.listener.open("127.0.0.1", 0)
        self.clients: list[asyncio.StreamWriter] = []
        yield self
        for writer in self.clients:
            writer.transport.abort()
        await self.listener.close()
        await self.runner.cleanup()

    async def dial(self) -> asyncio.StreamReader:
        tls = None if self.tls is None else client_context()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        self.clients.append(writer)
        return reader

    async def ask(self) -> asyncio.StreamReader:
        reader = await self.dial()
        self.clients[-1].write(HELLO)
        assert await asyncio.wait_for(reader.readuntil(b"hello"), 5)
        return reader


async def ended(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 5) == b""
    return True


def is_open(reader: asyncio.StreamReader) -> bool:
    return not reader.at_eof() and reader.exception() is None


async def test_when_all_places_are_taken_the_oldest_stranger_goes_and_who_is_known_stays() -> None:
    async with Door(BOUNDS).open() as door:
        known = await door.ask()
        silent = [await door.dial() for _ in range(BOUNDS.count_max)]
        await door.ask()
        assert await ended(silent[0])
        assert all(is_open(reader) for reader in [known, *silent[1:]])


async def test_a_stranger_has_one_deadline() -> None:
    async with Door(
        Bounds(seconds=0.2, count_max=4, per_address_max=4, connections_max=99)
    ).open() as door:
        known, silent = await door.ask(), await door.dial()
        assert await ended(silent)
        assert is_open(known)


async def test_one_address_takes_few_places_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listening, "site_of", lambda _address: FOREIGN)
    async with Door(BOUNDS).open() as door:
        silent = [await door.dial() for _ in range(BOUNDS.per_address_max)]
        assert await ended(await door.dial())
        assert all(is_open(reader) for reader in silent)


@pytest.fixture
def from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "site_of", lambda _address: FOREIGN)


async def admitted(door: Door) -> None:
    """Ask until the door has a place."""
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await door.ask()
                return
            await asyncio.sleep(0.01)


async def hang_up(door: Door, sent: bytes) -> None:
    """Take all places of one address, and leave them before anybody is greeted."""
    for _ in range(BOUNDS.per_address_max):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(sent)
        await writer.drain()
        writer.close()


@pytest.mark.usefixtures("from_elsewhere")
async def test_who_hangs_up_leaves_its_place() -> None:
    async with Door(BOUNDS).open() as door:
        await hang_up(door, b"")
        await admitted(door)


@pytest.mark.usefixtures("from_elsewhere")
async def test_a_handshake_that_fails_leaves_its_place() -> None:
    async with Door(BOUNDS, make_server_tls(dt.datetime.now(dt.UTC)).context).open() as door:
        for sent in (b"no TLS at all, but text\r\n\r\n", b""):
            await hang_up(door, sent)
            await admitted(door)


async def test_a_closed_connection_goes_before_one_that_is_open() -> None:
    async with Door(BOUNDS).open() as door:
        silent = [await door.dial() for _ in range(BOUNDS.count_max - 1)]
        await door.dial()
        door.clients[-1].transport.abort()
        async with asyncio.timeout(5):
            while len(door.runner.server.connections) >= BOUNDS.count_max:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        await door.ask()
        assert all(is_open(reader) for reader in silent)


async def test_one_address_connects_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "site_of", lambda _address: FOREIGN)
    bounds = Bounds(
        seconds=30.0,
        count_max=9,
        per_address_max=9,
        connections_max=99,
        connections_per_s=1e-3,
        connections_burst=2.0,
    )
    async with Door(bounds).open() as door:
        await door.ask()
        await door.ask()
        assert await ended(await door.dial())


async def test_who_is_known_takes_no_more_than_there_is() -> None:
    bounds = Bounds(seconds=30.0, count_max=9, per_address_max=9, connections_max=2)
    async with Door(bounds).open() as door:
        known = [await door.ask() for _ in range(2)]
        assert await ended(await door.dial())
        assert all(is_open(reader) for reader in known)
        door.clients[0].transport.abort()
        async with asyncio.timeout(5):
            while len(door.runner.server.connections) > 1:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        await door.ask()


def test_connections_leave_files_for_the_rest_of_the_node() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections_allowed(1) == 1
    assert soft == resource.RLIM_INFINITY or connections_allowed(soft) == soft * 3 // 4


async def test_closing_ends_strangers_too() -> None:
    async with Door(BOUNDS).open() as door:
        silent = await door.dial()
        await door.ask()  # so that both have been taken
        await door.listener.close()
        assert await ended(silent)


@pytest.mark.parametrize(
    "scenario",
    [
        test_when_all_places_are_taken_the_oldest_stranger_goes_and_who_is_known_stays,
        test_a_stranger_has_one_deadline,
        test_closing_ends_strangers_too,
        test_a_closed_connection_goes_before_one_that_is_open,
    ],
)
def test_the_loop_that_nodes_run_on_does_the_same(
    scenario: Callable[[], Coroutine[object, object, None]],
) -> None:
    uvloop.run(scenario())


@pytest.mark.usefixtures("from_elsewhere")
@pytest.mark.parametrize(
    "scenario",
    [test_who_hangs_up_leaves_its_place, test_a_handshake_that_fails_leaves_its_place],
)
def test_places_are_left_on_that_loop_too(
    scenario: Callable[[], Coroutine[object, object, None]],
) -> None:
    uvloop.run(scenario())


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::1"),
    ],
)
def test_an_ipv6_host_counts_by_its_network(address: str, site: str) -> None:
    assert site_of(address) == site
