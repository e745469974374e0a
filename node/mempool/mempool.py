"""Transactions that wait for a block: admitted under bounds, handed out in turn of senders.

Admission asks the cheap questions first and the signature last. There are no sequence numbers,
so any subset may go into a block; a sender's own order is kept.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from andon.core.errors import Code, InvalidInput, Unavailable, without_frames
from andon.core.transaction import Transaction, TransactionId, parse_transaction
from node.mempool.verifier import Verifier
from node.phases import ADMISSION, Lap, Observe, unobserved


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolLimits:
    """Bounds of the pool; `sender_count_max` keeps one gateway from filling it."""

    count_max: int = 50_000
    bytes_max: int = 64 * 1024 * 1024
    sender_count_max: int = 25_000


Refusal = InvalidInput | Unavailable


@dataclass(frozen=True, slots=True)
class Admitted:
    """A transaction is in the pool; `is_new` if it was not before."""

    id: TransactionId
    is_new: bool


class Gate(Protocol):
    """What the pool asks the ledger before it admits."""

    def check_admission(self, transaction: Transaction) -> None:
        """Check every rule of inclusion but the signature against the last final state.

        Raises:
            InvalidInput: the rule's code.
        """
        ...

    def prefetch(self, transaction: Transaction) -> None:
        """Find out which predictions it needs and have them computed; returns at once."""
        ...


class Mempool:
    """The pool of one node. All methods run on the event loop."""

    def __init__(
        self,
        gate: Gate,
        verifier: Verifier,
        limits: MempoolLimits | None = None,
        *,
        observe: Observe = unobserved,
        on_refused: Callable[[Code], None] = lambda _: None,
    ) -> None:
        self._gate = gate
        self._on_refused = on_refused
        self._verifier = verifier
        self._limits = limits or MempoolLimits()
        self._observe = observe
        self._entries: dict[bytes, Transaction] = {}
        self._senders: dict[bytes, dict[bytes, Transaction]] = {}
        self._expiries: list[tuple[int, bytes]] = []
        self._bytes = 0
        self._grown = asyncio.Event()
        self._listeners: list[Callable[[Transaction], None]] = []

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Sum of the raw sizes."""
        return self._bytes

    def subscribe(self, listener: Callable[[Transaction], None]) -> None:
        """Call `listener` with every transaction that is admitted."""
        self._listeners.append(listener)

    async def admit(self, raw: bytes) -> TransactionId:
        """Check a transaction and keep it; the same one again is no error and no work.

        Raises:
            InvalidInput: a rule of inclusion, BAD_SIGNATURE, DUPLICATE if a final block has it,
                SENDER_QUOTA. Unavailable: MEMPOOL_FULL.
        """
        (found,) = await self.admit_all((raw,))
        if isinstance(found, Admitted):
            return found.id
        raise found

    async def admit_all(self, raws: Sequence[bytes]) -> list[Admitted | Refusal]:
        """Do as `admit` for each, with one wait for all signatures; refusals are returned."""
        lap = Lap(self._observe)
        found: dict[int, Admitted | Refusal] = {}
        waiting: list[tuple[int, Transaction]] = []
        for place, raw in enumerate(raws):
            try:
                transaction = self._screened(raw)
            except (InvalidInput, Unavailable) as refusal:
                found[place] = without_frames(refusal)
                continue
            if transaction.id in self._entries:
                found[place] = Admitted(transaction.id, is_new=False)
            else:
                waiting.append((place, transaction))
        verdicts = await self._verifier.verify([transaction for _, transaction in waiting])
        for (place, transaction), verdict in zip(waiting, verdicts, strict=True):
            found[place] = verdict or self._enter(transaction)
        lap(ADMISSION)
        for result in found.values():
            if not isinstance(result, Admitted):
                self._on_refused(result.code)
        return [found[place] for place in range(len(raws))]

    def _screened(self, raw: bytes) -> Transaction:
        """Parse and ask all but the signature."""
        transaction = self._verifier.known(raw) or parse_transaction(raw)
        if transaction.id not in self._entries:
            self._gate.check_admission(transaction)
            self._check_bounds(transaction)
        return transaction

    def _enter(self, transaction: Transaction) -> Admitted | Refusal:
        """Keep a transaction whose signature is good."""
        # Others were admitted and blocks committed while the signature was checked.
        if transaction.id in self._entries:
            return Admitted(transaction.id, is_new=False)
        try:
            self._gate.check_admission(transaction)
            self._check_bounds(transaction)
        except (InvalidInput, Unavailable) as refusal:
            return without_frames(refusal)
        self._insert(transaction)
        self._gate.prefetch(transaction)
        for listener in self._listeners:
            listener(transaction)
        return Admitted(transaction.id, is_new=True)

    def take(
        self, bytes_max: int, gas_max: int, count_max: int, exclude: Collection[bytes]
    ) -> list[Transaction]:
        """Give candidates for a block, senders in turn; they stay in the pool until committed."""
        taken: list[Transaction] = []
        size_bytes = 0
        lanes = [iter(list(lane.values())) for lane in self._senders.values()]
        while lanes and len(taken) < count_max:
            still: list[Iterable[Transaction]] = []
            for lane in lanes:
                transaction = next(
                    (
                        item
                        for item in lane
                        if item.id not in exclude and item.body.gas_limit <= gas_max
                    ),
                    None,
                )
                if transaction is None:
                    continue
                size_bytes += len(transaction.raw)
                if size_bytes > bytes_max or len(taken) >= count_max:
                    return taken
                taken.append(transaction)
                still.append(lane)
            lanes = [iter(lane) for lane in still]
        return taken

    def get(self, identity: bytes) -> Transaction | None:
        """Give a waiting transaction."""
        return self._entries.get(identity)

    def ids(self) -> tuple[bytes, ...]:
        """Ids of all waiting transactions, oldest first."""
        return tuple(self._entries)

    def on_commit(self, ids: Iterable[bytes], height: int) -> None:
        """Forget what a final block holds and what can no longer be included after it."""
        for identity in ids:
            self._remove(identity)
        while self._expiries and self._expiries[0][0] <= height:
            self._remove(heapq.heappop(self._expiries)[1])

    def drop(self, identity: bytes) -> None:
        """Forget a transaction that no block can include any more."""
        self._remove(identity)

    async def wait_nonempty(self, timeout_ms: int, exclude: Collection[bytes] = ()) -> bool:
        """Wait until there is a transaction outside `exclude`; False after the timeout."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not self._has_other_than(exclude):
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            return False
        return True

    def _has_other_than(self, exclude: Collection[bytes]) -> bool:
        if len(self._entries) > len(exclude):
            return True
        return any(identity not in exclude for identity in self._entries)

    def _check_bounds(self, transaction: Transaction) -> None:
        size_bytes = self._bytes + len(transaction.raw)
        if len(self._entries) >= self._limits.count_max or size_bytes > self._limits.bytes_max:
            raise Unavailable(
                Code.MEMPOOL_FULL,
                f"{len(self._entries)} transactions of {self._bytes} bytes are waiting",
                hint="submit again after some blocks",
            )
        lane = self._senders.get(transaction.body.sender)
        if lane is not None and len(lane) >= self._limits.sender_count_max:
            raise InvalidInput(
                Code.SENDER_QUOTA,
                f"{len(lane)} transactions of this sender are waiting",
                hint="wait until some are final, or put more calls into one transaction",
            )

    def _insert(self, transaction: Transaction) -> None:
        self._entries[transaction.id] = transaction
        self._senders.setdefault(transaction.body.sender, {})[transaction.id] = transaction
        heapq.heappush(self._expiries, (transaction.body.expires_height, transaction.id))
        self._bytes += len(transaction.raw)
        self._grown.set()

    def _remove(self, identity: bytes) -> None:
        transaction = self._entries.pop(TransactionId(identity), None)
        if transaction is None:
            return
        self._bytes -= len(transaction.raw)
        lane = self._senders[transaction.body.sender]
        del lane[identity]
        if not lane:
            del self._senders[transaction.body.sender]
        if len(self._expiries) > 2 * len(self._entries) + 1024:
            waiting = self._entries
            self._expiries = [entry for entry in self._expiries if entry[1] in waiting]
            heapq.heapify(self._expiries)
