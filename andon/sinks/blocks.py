"""What a sink writes: one final block with everything in it, as rows, read from a node in order.

The chain of parents is followed: a block whose parent is not the one before is refused, so a node
of another chain cannot mix in. Receipts are the node's word, as events are; run your own node.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from andon.client.transport import Transport
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.rpc_schema import (
    BlockParams,
    BlockReply,
    Empty,
    StatusReply,
    TransactionParams,
    TransactionReply,
)

READS_AT_ONCE = 16
TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class FullBlock:
    """A block and its transactions, in order."""

    block: BlockReply
    transactions: tuple[TransactionReply, ...]

    @property
    def height(self) -> int:
        """Height of the block."""
        return int(self.block.header.height)


class BlockReader:
    """Reads final blocks one after the other."""

    def __init__(self, nodes: list[str]) -> None:
        self._transport = Transport(nodes, TIMEOUT_MS)
        self._gate = asyncio.Semaphore(READS_AT_ONCE)

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    async def status(self) -> StatusReply:
        """Where the node stands."""
        return await self._transport.ask("status", Empty(), StatusReply)

    async def read(self, height: int, parent: str | None) -> FullBlock:
        """Read a block with all receipts; `parent` is the hash that it has to follow.

        Raises:
            Unavailable: the node is not there, or has not all of it yet.
            InvalidInput: WRONG_CHAIN if it does not follow; HEIGHT_UNKNOWN or NOT_FOUND if pruned.
        """
        block = await self._transport.ask("block", BlockParams(height=height), BlockReply)
        if parent is not None and block.header.parent != parent:
            raise InvalidInput(
                Code.WRONG_CHAIN,
                f"block {height} does not follow the block that was written before",
                hint="the database holds another network; use another schema",
            )
        found = await asyncio.gather(*(self._transaction(item) for item in block.transactions))
        return FullBlock(block, tuple(found))

    async def _transaction(self, identity: str) -> TransactionReply:
        async with self._gate:
            found = await self._transport.ask(
                "tx", TransactionParams(hash=identity), TransactionReply
            )
        if found.receipt is None:
            raise Unavailable(Code.SYNCING, f"the node has no receipt of {identity} yet")
        return found


def text(raw: msgspec.Raw) -> str:
    """JSON of an open value."""
    return bytes(raw).decode()
