"""Signatures of transactions: verified once, in batches; the verdict is remembered.

libsodium releases the GIL, so threads pay; a hop to a thread costs about as much as a signature,
so a few are verified where they are, and more go together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from andon.core.errors import InvalidInput, without_frames
from andon.core.transaction import Transaction, check_signature, parse_transaction

BATCH_COUNT_MAX = 64
INLINE_COUNT_MAX = 4
"""Up to so many signatures are verified on the loop, some 60 us each."""
THREADS = 2
REMEMBERED_COUNT_MAX = 32_768
REMEMBERED_BYTES_MAX = 32 * 1024 * 1024


class Verifier:
    """Parses and verifies raw transactions, each once."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="signature")
        # Ordered: the oldest entry of a plain dict that lost its first ones takes 100 us to find.
        self._verified: OrderedDict[bytes, Transaction] = OrderedDict()
        self._verified_bytes = 0

    def known(self, raw: bytes) -> Transaction | None:
        """Give a transaction whose signature was found good, by its exact bytes."""
        return self._verified.get(raw)

    async def verify(self, transactions: Sequence[Transaction]) -> list[InvalidInput | None]:
        """Check signatures; for each, in order, nothing or BAD_SIGNATURE."""
        verified = self._verified
        places = [at for at, item in enumerate(transactions) if item.raw not in verified]
        verdicts: list[InvalidInput | None] = [None] * len(transactions)
        unknown = [transactions[at] for at in places]
        for at, error in zip(places, await self._check(unknown), strict=True):
            verdicts[at] = error
            if error is None:
                self._remember(transactions[at])
        return verdicts

    async def verify_block(self, raws: Sequence[bytes]) -> list[Transaction]:
        """Parse and verify the transactions of a block, skipping those verified before.

        Raises:
            InvalidInput: the first that is malformed or badly signed.
        """
        transactions = [self._verified.get(raw) or parse_transaction(raw) for raw in raws]
        for error in await self.verify(transactions):
            if error is not None:
                raise error
        return transactions

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _check(self, unknown: Sequence[Transaction]) -> list[InvalidInput | None]:
        if len(unknown) <= INLINE_COUNT_MAX:
            return _verify_batch(unknown)
        loop = asyncio.get_running_loop()
        batches = [
            loop.run_in_executor(self._pool, _verify_batch, unknown[i : i + BATCH_COUNT_MAX])
            for i in range(0, len(unknown), BATCH_COUNT_MAX)
        ]
        return [verdict for batch in await asyncio.gather(*batches) for verdict in batch]

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
            verdicts.append(without_frames(error))
        else:
            verdicts.append(None)
    return verdicts
