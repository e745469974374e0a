"""Who waits for a transaction to be final, and how long it took; bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from andon.core.block import Receipt
from andon.core.errors import Code, Unavailable

WAITERS_MAX = 100_000
ADMITTED_MAX = 100_000

Final = tuple[Receipt, int, int]
"""Receipt, height and place in the block."""


class FinalityTracker:
    """Futures by transaction id, settled by commits."""

    def __init__(self, observe_s: Callable[[float], None]) -> None:
        self._observe_s = observe_s
        self.trace: Callable[[bytes, int, float], None] | None = None
        """Told of every transaction of ours: id, height, seconds since admission."""
        self._waiting: dict[bytes, list[asyncio.Future[Final]]] = {}
        self._count = 0
        self._admitted_at_s: OrderedDict[bytes, float] = OrderedDict()

    def admitted(self, identity: bytes) -> None:
        """Start the clock of a transaction that this node admitted itself."""
        if len(self._admitted_at_s) >= ADMITTED_MAX:
            self._admitted_at_s.popitem(last=False)
        self._admitted_at_s.setdefault(identity, asyncio.get_running_loop().time())

    def committed(self, receipts: Sequence[Receipt], height: int) -> None:
        """Settle all that waits for these."""
        now_s = asyncio.get_running_loop().time()
        for index, receipt in enumerate(receipts):
            started_s = self._admitted_at_s.pop(receipt.transaction_id, None)
            if started_s is not None:
                self._observe_s(now_s - started_s)
                if self.trace is not None:
                    self.trace(receipt.transaction_id, height, now_s - started_s)
            for future in self._waiting.pop(receipt.transaction_id, ()):
                self._count -= 1
                if not future.done():
                    future.set_result((receipt, height, index))

    async def wait(self, identity: bytes, timeout_ms: int) -> Final:
        """Wait until a block holds the transaction.

        Raises:
            Unavailable: CONFIRMATION_TIMEOUT with the id; MEMPOOL_FULL if too many wait.
        """
        if self._count >= WAITERS_MAX:
            raise Unavailable(
                Code.MEMPOOL_FULL, "too many clients wait for finality", hint="poll instead"
            )
        future: asyncio.Future[Final] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(identity, []).append(future)
        self._count += 1
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await future
        except TimeoutError:
            raise Unavailable(
                Code.CONFIRMATION_TIMEOUT,
                f"not final within {timeout_ms} ms; it may still become so",
                hint="ask for the transaction later by its hash, or submit the same bytes again",
                transaction_id=identity,
            ) from None
        finally:
            self._leave(identity, future)

    def _leave(self, identity: bytes, future: asyncio.Future[Final]) -> None:
        waiting = self._waiting.get(identity)
        if waiting is not None and future in waiting:
            waiting.remove(future)
            self._count -= 1
            if not waiting:
                del self._waiting[identity]
