"""What the execution driver asks of the mempool."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from andon.core.errors import Code, InvalidInput
from andon.core.transaction import Transaction
from consensus.ledger import PredictionUnavailable

_HOPELESS = frozenset(
    {
        Code.WRONG_CHAIN,
        Code.EXPIRED,
        Code.DUPLICATE,
        Code.NOT_A_MEMBER,
        Code.PREDICTION_MISMATCH,
        Code.TOO_LARGE,
    }
)


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


def drop_hopeless(
    pool: TransactionPool,
    left_out: Mapping[bytes, InvalidInput | PredictionUnavailable],
    *,
    is_empty: bool,
) -> None:
    """Drop what no later block can hold; `is_empty` says that the block took nothing at all."""
    for identity, reason in left_out.items():
        # A transaction that is too large for an empty block fits into none.
        if reason.code in _HOPELESS and (reason.code is not Code.TOO_LARGE or is_empty):
            pool.drop(identity)
