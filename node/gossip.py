"""Transactions between nodes: batches out, bounded admission in, answers to who lacks some.

Links form a full mesh of validators, so a transaction travels one hop: the node that a client
chose sends it to all; receivers admit and do not send on. Whoever still lacks one asks the leader
whose compact proposal named it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import Transaction
from andon.core.wire import TRANSACTIONS_WANTED_MAX, Message, Transactions, TransactionsWanted
from node.mempool import Admitted, Refusal

FLUSH_S = 0.004
"""How long a transaction may wait for company."""
BATCH_BYTES_MAX = 256 * 1024
INCOMING_COUNT_MAX = 16_384
ADMITTED_TOGETHER = 64
BATCHES_AT_ONCE = 4
LAG_DEAF = 8
"""Who is so many blocks behind has better things to do than to check signatures: it catches up ten
times as fast as blocks are made, and what comes now is final before it could propose it."""
_BAD = (Code.BAD_SIGNATURE, Code.MALFORMED, Code.NOT_CANONICAL, Code.WRONG_CHAIN)
"""What no honest node passes on; all else (expired, full, duplicate) is a matter of timing."""


class Pool(Protocol):
    """The mempool."""

    async def admit_all(self, raws: Sequence[bytes]) -> list[Admitted | Refusal]:
        """Check and keep transactions; for each what came of it."""

    def get(self, identity: bytes) -> Transaction | None:
        """Give a waiting transaction."""


class Outlet(Protocol):
    """The network."""

    def broadcast(self, message: Message) -> None:
        """Send to all linked peers."""

    def send(self, peer_key: bytes, message: Message) -> None:
        """Send to the peer with this validator key."""


class Gossip:
    """Moves transactions. `receive` and `spread` are synchronous and bounded."""

    def __init__(
        self,
        pool: Pool,
        outlet: Outlet,
        punish: Callable[[bytes, float, str], None],
        lag: Callable[[], int] = int,
    ) -> None:
        """`lag` says how many blocks this node is catching up."""
        self._pool = pool
        self._outlet = outlet
        self._punish = punish
        self._lag = lag
        self._incoming: deque[tuple[bytes, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._flush_timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def spread(self, raw: bytes) -> None:
        """Send a transaction that a client gave us to all peers, soon and with others."""
        self._outgoing.append(raw)
        self._outgoing_bytes += len(raw)
        if self._outgoing_bytes >= BATCH_BYTES_MAX:
            self._flush()
        elif self._flush_timer is None:
            loop = asyncio.get_running_loop()
            self._flush_timer = loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        raws, self._outgoing, self._outgoing_bytes = tuple(self._outgoing), [], 0
        if raws:
            self._outlet.broadcast(Transactions(raws))

    def receive(self, node_key: bytes, message: Transactions) -> None:
        """Queue transactions of a peer for admission; drops what exceeds the bound.

        A node far behind drops all: it could propose none of them before they are final.
        """
        if self._lag() >= LAG_DEAF:
            self.dropped += len(message.raws)
            return
        for raw in message.raws:
            if len(self._incoming) >= INCOMING_COUNT_MAX:
                self.dropped += 1
            else:
                self._incoming.append((node_key, raw))
        self._arrived.set()

    def answer(self, peer_key: bytes, message: TransactionsWanted) -> None:
        """Send the transactions that a peer lacks and we hold.

        Raises:
            InvalidInput: TOO_MANY.
        """
        for batch in batches_of(self._pool, message.ids):
            self._outlet.send(peer_key, Transactions(batch))

    async def run(self) -> None:
        """Admit what arrives until cancelled, so many at once that signatures go in batches."""
        slots = asyncio.Semaphore(BATCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            while True:
                while not self._incoming:
                    self._arrived.clear()
                    await self._arrived.wait()
                await slots.acquire()
                count = min(ADMITTED_TOGETHER, len(self._incoming))
                batch = [self._incoming.popleft() for _ in range(count)]
                task = group.create_task(self._admit(batch))
                task.add_done_callback(lambda _: slots.release())

    async def _admit(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        found = await self._pool.admit_all([raw for _, raw in batch])
        for (node_key, _), result in zip(batch, found, strict=True):
            if isinstance(result, Unavailable):
                self.dropped += 1
            elif isinstance(result, InvalidInput) and result.code in _BAD:
                self._punish(node_key, 10.0, f"transaction {result.code.name}")


def batches_of(pool: Pool, identities: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Raw transactions for the ids that the pool holds, in messages of bounded size.

    Raises:
        InvalidInput: TOO_MANY.
    """
    if len(identities) > TRANSACTIONS_WANTED_MAX:
        raise InvalidInput(Code.TOO_MANY, f"at most {TRANSACTIONS_WANTED_MAX} ids a message")
    batches: list[tuple[bytes, ...]] = []
    batch: list[bytes] = []
    size = 0
    for identity in identities:
        transaction = pool.get(identity)
        if transaction is None:
            continue
        if batch and size + len(transaction.raw) > BATCH_BYTES_MAX:
            batches.append(tuple(batch))
            batch, size = [], 0
        batch.append(transaction.raw)
        size += len(transaction.raw)
    return [*batches, tuple(batch)] if batch else batches
