"""What the execution driver asks of the mempool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from andon.core.transaction import Transaction


class TransactionPool(Protocol):
    """Where transactions wait for a block."""

    def take(
        self, bytes_max: int, gas_max: int, count_max: int, exclude: Collection[bytes]
    ) -> list[Transaction]:
        """Give candidates that are not excluded."""
        ...

    def on_commit(self, ids: Sequence[bytes], height: int) -> None:
        """Forget what is final."""
        ...

    def drop(self, identity: bytes) -> None:
        """Forget what no block can include."""
        ...

    async def wait_nonempty(self, timeout_ms: int, exclude: Collection[bytes] = ()) -> bool:
        """Wait for a transaction outside `exclude`."""
        ...
