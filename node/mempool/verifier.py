"""Signatures of transactions: verified once, in threads, in batches; the verdict is remembered.

libsodium releases the GIL, so threads pay; a hop to a thread costs about as much as a signature,
so what arrives in one turn of the loop goes together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from andon.core.errors import InvalidInput
from andon.core.transaction import Transaction, check_signature, parse_transaction

BATCH_COUNT_MAX = 64
THREADS = 2
REMEMBERED_COUNT_MAX = 32_768
REMEMBERED_BYTES_MAX = 32 * 1024 * 1024


class Verifier:
    """Parses and verifies raw transactions, each once."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="signature")
        self._waiting: list[tuple[Transaction, asyncio.Future[None]]] = []
        # Ordered: the oldest entry of a plain dict that lost its first ones takes 100 us to find.
        self._verified: OrderedDict[bytes, Transaction] = OrderedDict()
        self._verified_bytes = 0

    def known(self, raw: bytes) -> Transaction | None:
        """Give a transaction whose signature was found good, by its exact bytes."""
        return self._verified.get(raw)

    async def verify(self, transaction: Transaction) -> None:
        """Check one signature.

        Raises:
            InvalidInput: BAD_SIGNATURE.
        """
        if transaction.raw in self._verified:
            return
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        verdict: asyncio.Future[None] = loop.create_future()
        self._waiting.append((transaction, verdict))
        await verdict
        self._remember(transaction)

    async def verify_block(self, raws: Sequence[bytes]) -> list[Transaction]:
        """Parse and verify the transactions of a block, skipping those verified before.

        Raises:
            InvalidInput: the first that is malformed or badly signed.
        """
        transactions = [self._verified.get(raw) or parse_transaction(raw) for raw in raws]
        unknown = [item for item in transactions if item.raw not in self._verified]
        loop = asyncio.get_running_loop()
        batches = [
            loop.run_in_executor(self._pool, _verify_batch, unknown[i : i + BATCH_COUNT_MAX])
            for i in range(0, len(unknown), BATCH_COUNT_MAX)
        ]
        for batch in batches:
            for error in await batch:
                if error is not None:
                    raise error
        for transaction in unknown:
            self._remember(transaction)
        return transactions

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        for start in range(0, len(waiting), BATCH_COUNT_MAX):
            batch = waiting[start : start + BATCH_COUNT_MAX]
            verdicts = loop.run_in_executor(
                self._pool, _verify_batch, [transaction for transaction, _ in batch]
            )
            verdicts.add_done_callback(lambda done, batch=batch: _settle(done, batch))  # type: ignore[misc] # the default binds the loop's variable

    def _remember(self, transaction: Transaction) -> None:
        if transaction.raw in self._verified:
            return
        self._verified[transaction.raw] = transaction
        self._verified_bytes += len(transaction.raw)
        while (
            len(self._verified) > REMEMBERED_COUNT_MAX
            or self._verified_bytes > REMEMBERED_BYTES_MAX
        ):
            oldest, _ = self._verified.popitem(last=False)
            self._verified_bytes -= len(oldest)


def _verify_batch(transactions: Sequence[Transaction]) -> list[InvalidInput | None]:
    verdicts: list[InvalidInput | None] = []
    for transaction in transactions:
        try:
            check_signature(transaction)
        except InvalidInput as error:
            verdicts.append(error)
        else:
            verdicts.append(None)
    return verdicts


def _settle(
    done: asyncio.Future[list[InvalidInput | None]],
    batch: list[tuple[Transaction, asyncio.Future[None]]],
) -> None:
    if done.cancelled():
        for _, verdict in batch:
            verdict.cancel()
        return
    for (_, verdict), error in zip(batch, done.result(), strict=True):
        if verdict.done():
            continue
        if error is None:
            verdict.set_result(None)
        else:
            verdict.set_exception(error)
