"""A TCP proxy between two nodes that can be cut, stalled and slowed; no root needed.

One `Proxy` stands before one target for one source, so each direction of dialling between two
nodes can be treated alone. Chaos tests point a node's `peer_addresses` at its proxies.
"""

from __future__ import annotations

import asyncio
import random
from enum import Enum

READ_BYTES = 64 * 1024
CONNECTIONS_MAX = 256
UNDER_WAY_MAX = 1024
"""Reads that one direction of one connection holds; more wait in the sender, as on a full line."""


class Mode(Enum):
    """What happens to bytes."""

    PASS = "pass"  # noqa: S105 - no password
    STALL = "stall"
    """Bytes are held; connections stay open, as when a cable is cut."""
    STALL_FORWARD = "stall-forward"
    """Only bytes from the dialling side are held: a fault in one direction."""
    STALL_BACKWARD = "stall-backward"
    """Only bytes to the dialling side are held."""
    CUT = "cut"
    """Connections are reset and new ones refused, as when a process is gone."""


class Proxy:
    """Forwards connections to `target_host:target_port`; `async with` starts and stops it."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._forward, self._backward = asyncio.Event(), asyncio.Event()
        self._draw = random.Random(f"{target_host}:{target_port}")  # noqa: S311 - no secret
        self.set_mode(Mode.PASS)
        self.delay_ms = 0
        self.reset_per_mille = 0
        """How likely data is lost, which ends its connection: TCP hides smaller losses."""
        self.port = 0
        self.bytes_passed = 0

    async def start(self, port: int = 0) -> None:
        """Listen on loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        self.set_mode(Mode.CUT)

    @property
    def mode(self) -> Mode:
        """What happens to bytes now."""
        return self._mode

    def set_mode(self, mode: Mode) -> None:
        """Change what happens to bytes, from now on."""
        self._mode = mode
        for flowing, held in (
            (self._forward, (Mode.STALL, Mode.STALL_FORWARD)),
            (self._backward, (Mode.STALL, Mode.STALL_BACKWARD)),
        ):
            if mode in held:
                flowing.clear()
            else:
                flowing.set()
        if mode is Mode.CUT:
            self._reset()

    def _reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mode is Mode.CUT or len(self._writers) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, far_writer, self._forward))
                group.create_task(self._pump(far_reader, writer, self._backward))
        finally:
            self._writers -= {writer, far_writer}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        """Carry bytes one way: what is under way arrives one by one, each after its own delay."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._arrive(under_way, writer, flowing))
            now = asyncio.get_running_loop().time
            data = b"x"
            while data:
                try:
                    data = await reader.read(READ_BYTES)
                except OSError:
                    data = b""
                await under_way.put((now() + self.delay_ms / 1000, data))

    async def _arrive(
        self,
        under_way: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        flowing: asyncio.Event,
    ) -> None:
        now = asyncio.get_running_loop().time
        is_open = True
        while True:
            due_s, data = await under_way.get()
            if not data:
                break
            if not is_open:
                continue  # empty the queue, so that the reading side comes to its end
            await asyncio.sleep(max(0.0, due_s - now()))
            await flowing.wait()
            if self._draw.randrange(1000) < self.reset_per_mille:
                writer.transport.abort()
                is_open = False
                continue
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                is_open = False
            self.bytes_passed += len(data)
        writer.close()
