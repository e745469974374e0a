"""The mempool's gate: rules of inclusion against the final state, and prefetch of predictions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from andon.core.errors import Code, InvalidInput
from andon.core.transaction import Transaction
from consensus.ledger import Parent, check_limits
from consensus.ledger.block import environment_of
from consensus.ledger.directory import Directory
from node.drivers.predictions import Question
from node.storage import ChainStore

WAITING_COUNT_MAX = 8192
REMEMBERED_COUNT_MAX = 65_536
"""Senders and transactions that were looked up since the last final block."""
RUNS_PER_JOB = 16
"""Dry runs share the execution thread with blocks; a job of them also has a bound of gas."""


class Admission:
    """Implements `Gate`. All methods run on the event loop."""

    def __init__(
        self,
        store: ChainStore,
        final: Callable[[], Parent],
        guess: Callable[[Transaction], list[Question] | None],
        dry_run: Callable[
            [list[Transaction]], Awaitable[tuple[list[Question], Sequence[Transaction]]]
        ],
        prefetch: Callable[[list[Question]], None],
    ) -> None:
        self._store = store
        self._final = final
        self._guess = guess
        self._dry_run = dry_run
        self._prefetch = prefetch
        self._snapshot = store.snapshot()
        self.is_closed = False
        self._directory = Directory(self._read)
        # What this head says; both are asked twice for every transaction, and reads cost most of
        # an admission.
        self._senders: dict[bytes, bool] = {}
        self._admissible: set[bytes] = set()
        self._waiting: deque[Transaction] = deque()
        self._has_work = asyncio.Event()

    def check_admission(self, transaction: Transaction) -> None:
        """Check every rule of inclusion but the signature against the last final state.

        Raises:
            InvalidInput: the rule's code.
        """
        if transaction.id in self._admissible:
            return
        # First, so that one which is final is answered so when its expiry is over, too.
        if self._snapshot.has_transaction(transaction.id):
            raise InvalidInput(
                Code.DUPLICATE,
                f"transaction {transaction.id.hex()[:16]} is already final",
                hint="ask for its receipt",
            )
        final = self._final()
        check_limits(transaction, environment_of(final, final.header.time_ms + 1))
        if not self._may_send(transaction.body.sender):
            raise InvalidInput(
                Code.NOT_A_MEMBER,
                f"{transaction.body.sender.hex()[:16]} is no active member",
                hint="an admin adds members through the identity contract",
            )
        if len(self._admissible) >= REMEMBERED_COUNT_MAX:
            self._admissible.clear()
        self._admissible.add(transaction.id)

    def _may_send(self, sender: bytes) -> bool:
        known = self._senders.get(sender)
        if known is None:
            if len(self._senders) >= REMEMBERED_COUNT_MAX:
                self._senders.clear()
            known = self._senders[sender] = self._directory.may_send(sender)
        return known

    def prefetch(self, transaction: Transaction) -> None:
        """Ask for what it will need, or queue a dry run that finds out; both are bounded."""
        questions = self._guess(transaction)
        if questions is not None:
            self._prefetch(questions)
        else:
            self.find_out((transaction,))

    def find_out(self, transactions: Sequence[Transaction]) -> None:
        """Queue dry runs that ask for what these lack; drops what exceeds the bound."""
        self._waiting.extend(transactions[: max(0, WAITING_COUNT_MAX - len(self._waiting))])
        if self._waiting:
            self._has_work.set()

    def refresh(self) -> None:
        """Look at the stored head from now on."""
        self._snapshot.close()
        self._snapshot = self._store.snapshot()
        self._senders.clear()
        self._admissible.clear()

    async def run(self) -> None:
        """Do queued dry runs until cancelled."""
        while True:
            await self._has_work.wait()
            count = min(RUNS_PER_JOB, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(count)]
            if not batch:
                self._has_work.clear()
                continue
            questions, left = await self._dry_run(batch)
            self._prefetch(questions)
            self._waiting.extendleft(reversed(left))

    def _read(self, key: bytes) -> bytes | None:
        return self._snapshot.get(key)

    def close(self) -> None:
        """Close the snapshot; what is stored from now on is announced after the next start."""
        self.is_closed = True
        self._snapshot.close()
