"""One authenticated WebSocket to one peer: a writer that batches, a reader that is paced.

Owns the socket's life after the handshake. What is queued while a send is in progress leaves in
the next frame; an idle link sends at once. Reading pauses when the peer exceeds its budget, so
TCP slows it down; frames that the rules refuse cost score and may ban.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import structlog
from aiohttp import web

from andon.core.errors import Code, InvalidInput
from andon.core.wire import BlockWanted, Message, TransactionsWanted, decode_frame
from node.net.handshake import Session
from node.net.limits import PENALTY_INVALID, PENALTY_MALFORMED, TokenBucket
from node.net.peers import Peer
from node.net.queue import Class, OutgoingQueue, Put

MESSAGES_PER_S = 20_000.0
MESSAGES_BURST = 40_000.0
BYTES_PER_S = 64.0 * 1024 * 1024
BYTES_BURST = 128.0 * 1024 * 1024
SEND_TIMEOUT_S = 10.0
PAUSE_MAX_S = 5.0
WANTED_PER_S = 50_000.0
WANTED_BURST = 100_000.0
"""Transactions that a peer asks for; a block that it asks for counts as BLOCK_COST of them."""
BLOCK_COST = 250
CPU_S_PER_S = 0.5
CPU_S_BURST = 5.0
"""Processor time of the event loop that reading one peer's frames may take."""
COMPANY_S = 0.1
"""How long a message that may wait does so for one that may not; a send costs as much as both. More
than a block takes, so that a Final certificate leaves with what the next block has sent."""

Socket = aiohttp.ClientWebSocketResponse[bool] | web.WebSocketResponse[bool]
Receive = Callable[[Peer, Message], None]

log = structlog.get_logger()


@dataclass(slots=True)
class Counters:
    """Totals of one peer over all its links; metrics read them at scrape time."""

    bytes_in: int = 0
    bytes_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    messages_in: int = 0
    dropped: int = 0
    invalid: int = 0


class Link:
    """A live link. `put` is synchronous; `run` lasts until the link ends."""

    def __init__(
        self,
        socket: Socket,
        peer: Peer,
        session: Session,
        *,
        receive: Receive,
        punish: Callable[[bytes, float, str], None],
        counters: Counters,
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        self.peer = peer
        self.session = session
        self.counters = counters
        self._socket = socket
        self._receive = receive
        self._punish_peer = punish
        self._queue = OutgoingQueue()
        self._queued = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self._messages = TokenBucket(MESSAGES_PER_S, MESSAGES_BURST, now_s)
        self._bytes = TokenBucket(BYTES_PER_S, BYTES_BURST, now_s)
        self._wanted = TokenBucket(WANTED_PER_S, WANTED_BURST, now_s)
        self._cpu = TokenBucket(CPU_S_PER_S, CPU_S_BURST, now_s)
        self._reason = ""

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait to be sent."""
        return self._queue.urgent_bytes + self._queue.gossip_bytes

    def put(self, encoded: bytes, kind: Class, *, waits: bool = False) -> None:
        """Queue one encoded message; a peer that lets urgent ones pile up is disconnected.

        One that `waits` keeps its place and leaves with the next, or by itself after `COMPANY_S`.
        """
        outcome = self._queue.put(encoded, kind)
        if outcome is Put.OVERFLOW:
            self.close("overflow")
            return
        if outcome is Put.DROPPED:
            self.counters.dropped += 1
        if not waits:
            self._queued.set()
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(COMPANY_S, self._send_late)

    def _send_late(self) -> None:
        self._late = None
        self._queued.set()

    def _cancel_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def close(self, reason: str) -> None:
        """End the link soon; `run` returns."""
        if not self._reason:
            self._reason = reason
            self._queued.set()

    def _is_closing(self) -> bool:
        return self._reason != ""

    async def run(self) -> str:
        """Carry messages until the link ends; returns why it ended."""
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write())
            try:
                await self._read()
            finally:
                writer.cancel()
                self._cancel_late()
        return self._reason or "closed by the peer"

    async def _write(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            # One limit for all frames, moved on for each: a context a frame costs thrice as much.
            async with asyncio.timeout(None) as limit:
                while not self._is_closing():
                    await self._queued.wait()
                    self._queued.clear()
                    while (
                        frame := self._queue.take_frame()
                    ) is not None and not self._is_closing():
                        limit.reschedule(clock() + SEND_TIMEOUT_S)
                        await self._socket.send_bytes(frame)
                        self.counters.frames_out += 1
                        self.counters.bytes_out += len(frame)
                    limit.reschedule(None)
                    self._cancel_late()  # what waited has left, and the next may wait as long
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            self.close(f"send failed: {type(error).__name__}")
        await self._socket.close()

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        while not self._is_closing():
            try:
                frame = await self._socket.receive()
            except (OSError, aiohttp.ClientError) as error:
                # It answers pings itself, and may be cut in between.
                self.close(f"receive failed: {type(error).__name__}")
                break
            if frame.type is not aiohttp.WSMsgType.BINARY:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    self._punish(PENALTY_MALFORMED, "text frame")
                break
            data: bytes = frame.data
            began_s = time.thread_time()  # not what other threads take meanwhile
            try:
                messages = decode_frame(data)
            except InvalidInput as error:
                self._punish(PENALTY_MALFORMED, error.code.name)
                break
            self.counters.frames_in += 1
            self.counters.bytes_in += len(data)
            self.counters.messages_in += len(messages)
            for message in messages:
                self._deliver(message)
            now_s = clock()
            pause_s = max(
                self._messages.take(len(messages), now_s),
                self._bytes.take(len(data), now_s),
                self._wanted.take(sum(map(_cost, messages)), now_s),
                self._cpu.take(time.thread_time() - began_s, now_s),
            )
            if pause_s > 0:
                await asyncio.sleep(min(pause_s, PAUSE_MAX_S))

    def _deliver(self, message: Message) -> None:
        try:
            self._receive(self.peer, message)
        except InvalidInput as error:
            # Late or repeated messages are normal between honest nodes; receivers do not raise
            # for those, only for what no honest node sends.
            self._punish(PENALTY_INVALID, error.code.name)

    def _punish(self, penalty: float, reason: str) -> None:
        self.counters.invalid += 1
        self._punish_peer(self.peer.node_key, penalty, reason)
        if penalty >= PENALTY_MALFORMED:
            self.close(reason)


def _cost(message: Message) -> int:
    """What answering takes: these messages are small, and what they ask for is not."""
    match message:
        case TransactionsWanted():
            return len(message.ids)
        case BlockWanted():
            return BLOCK_COST
        case _:
            return 0


async def receive_handshake(socket: Socket) -> bytes:
    """Read one handshake record.

    Raises:
        InvalidInput: MALFORMED if the peer sends anything but a binary frame.
    """
    frame = await socket.receive()
    if frame.type is not aiohttp.WSMsgType.BINARY:
        raise InvalidInput(
            Code.MALFORMED,
            f"the handshake ended early ({frame.type.name.lower()})",
            hint="the peer's log says why it refused",
        )
    data: bytes = frame.data
    return data
