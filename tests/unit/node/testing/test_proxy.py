import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from node.testing.proxy import Mode, Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1000):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield proxy, reader, writer
    finally:
        writer.close()
        await proxy.stop()
        server.close()
        await asyncio.sleep(0.02)


async def test_bytes_pass_both_ways() -> None:
    async with proxied() as (proxy, reader, writer):
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 2) == b"hello"
        assert proxy.bytes_passed == 10


async def test_a_stall_holds_bytes_and_gives_them_back_in_order() -> None:
    async with proxied() as (proxy, reader, writer):
        proxy.set_mode(Mode.STALL)
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), 0.1)
        proxy.set_mode(Mode.PASS)
        assert await asyncio.wait_for(reader.readexactly(4), 2) == b"held"


async def test_a_cut_resets_and_refuses_until_healed() -> None:
    async with proxied() as (proxy, reader, writer):
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.set_mode(Mode.CUT)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 2)
        again_reader, again = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(again_reader.readexactly(1), 2)
        again.close()
        proxy.set_mode(Mode.PASS)
        healed_reader, healed = await asyncio.open_connection("127.0.0.1", proxy.port)
        healed.write(b"y")
        assert await asyncio.wait_for(healed_reader.readexactly(1), 2) == b"y"
        healed.close()


async def test_a_delay_is_felt() -> None:
    async with proxied() as (proxy, reader, writer):
        proxy.delay_ms = 60
        started = time.monotonic()
        writer.write(b"slow")
        await asyncio.wait_for(reader.readexactly(4), 2)
        assert time.monotonic() - started >= 0.12


async def test_a_delay_is_a_distance_and_no_queue() -> None:
    async with proxied() as (proxy, reader, writer):
        proxy.delay_ms = 500
        for octet in (b"a", b"b", b"c"):
            writer.write(octet)
            await asyncio.sleep(0.03)
        arrived: list[float] = []
        for octet in (b"a", b"b", b"c"):
            assert await asyncio.wait_for(reader.readexactly(1), 5) == octet
            arrived.append(time.monotonic())
        # Sent 60 ms apart; one after the other through the delay they would be a second apart.
        assert arrived[-1] - arrived[0] < 0.5


@pytest.mark.parametrize("mode", [Mode.STALL_FORWARD, Mode.STALL_BACKWARD])
async def test_a_fault_of_one_direction_lets_the_other_pass(mode: Mode) -> None:
    received: list[bytes] = []

    async def hears_and_speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"welcome")
        received.append(await reader.read(100))
        writer.close()

    async with await asyncio.start_server(hears_and_speaks, "127.0.0.1", 0) as server:
        proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
        await proxy.start()
        proxy.set_mode(mode)
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"hello")
        if mode is Mode.STALL_FORWARD:
            assert await asyncio.wait_for(reader.readexactly(7), 2) == b"welcome"
            await asyncio.sleep(0.05)
            assert received == []
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(7), 0.1)
            assert received == [b"hello"]
        writer.close()
        await proxy.stop()
        await asyncio.sleep(0.02)


async def test_lost_data_ends_its_connection() -> None:
    async with proxied() as (proxy, reader, writer):
        proxy.reset_per_mille = 1000
        writer.write(b"lost")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(4), 2)
        assert proxy.bytes_passed == 0
