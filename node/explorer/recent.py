"""A bounded memory of the last blocks, for lists and curves: filled from the chain, not from a bus.

Pages about one thing read the chain itself; only lists of recent things come from here. After a
restart, or when nobody has looked for long, it reads the last `BACKFILL_BLOCKS` blocks and, of
those before, the last `BUSY_BLOCKS` in which something happened: a quiet night empties no page.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass

from andon.core.block import Event, PredictionRecord
from andon.core.codec import decode_value
from andon.core.errors import InvalidInput
from andon.core.transaction import parse_transaction
from node.facade import BlockAnswer, NodeFacade

BACKFILL_BLOCKS = 300
BUSY_BLOCKS = 300
BLOCKS_MAX = 400
TRANSACTIONS_MAX = 2000
PREDICTIONS_MAX = 4000
EVENTS_MAX = 1000
MACHINES_MAX = 1000
POINTS_MAX = 500
POLL_S = 0.2
VISIT_S = 120.0
"""How long after the last look the memory is kept up to date."""

BATCH_BLOCKS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """One block of the list."""

    height: int
    hash: bytes
    time_ms: int
    epoch: int
    slot: int
    proposer: bytes
    transactions: int
    predictions: int
    signers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionRow:
    """One transaction of the list; `call` names its first call."""

    id: bytes
    height: int
    sender: bytes
    call: str
    calls: int
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionRow:
    """One prediction; `machine` is empty where the call named none."""

    record: PredictionRecord
    machine: str
    time_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event of a contract."""

    height: int
    transaction_id: bytes
    event: Event


class Recent:
    """What happened lately. One task fills it, pages read it."""

    def __init__(self, node: NodeFacade) -> None:
        self._node = node
        self.height = -1
        self.blocks: deque[BlockRow] = deque(maxlen=BLOCKS_MAX)
        self.transactions: deque[TransactionRow] = deque(maxlen=TRANSACTIONS_MAX)
        self.predictions: deque[PredictionRow] = deque(maxlen=PREDICTIONS_MAX)
        self.events: deque[EventRow] = deque(maxlen=EVENTS_MAX)
        self.machines: OrderedDict[str, deque[PredictionRow]] = OrderedDict()
        self._grown = asyncio.Event()
        self._filling = asyncio.Lock()
        self._visited_s = -VISIT_S - 1.0

    async def follow(self) -> None:
        """Take in blocks for ever, while somebody looks: a busy node does not read for nobody."""
        while True:
            idle_s = asyncio.get_running_loop().time() - self._visited_s
            if idle_s > VISIT_S or not await self.catch_up():
                await asyncio.sleep(POLL_S)

    async def visit(self) -> None:
        """Say that somebody looks, and take in what is new."""
        self._visited_s = asyncio.get_running_loop().time()
        for _ in range(1 + BACKFILL_BLOCKS // BATCH_BLOCKS):
            if not await self.catch_up():
                return

    async def catch_up(self) -> bool:
        """Take in up to `BATCH_BLOCKS` new blocks; False if there were none."""
        async with self._filling:
            return await self._take_batch()

    async def _take_batch(self) -> bool:
        top = self._node.status().height
        if self.height >= top:
            return False
        first = max(self.height + 1, top - BACKFILL_BLOCKS, 0)
        if first > self.height + 1:
            await self._take_busy(first)
        for height in range(first, min(top, first + BATCH_BLOCKS - 1) + 1):
            with contextlib.suppress(InvalidInput):  # pruned, or the genesis: nothing to list
                self.take(await self._node.block(height))
            self.height = height
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return True

    async def _take_busy(self, first: int) -> None:
        """Take in what happened in the blocks that are left out before `first`."""
        busy = await self._node.busy_heights(first, BUSY_BLOCKS)
        for height in reversed(busy):
            if height > self.height:
                with contextlib.suppress(InvalidInput):
                    self.take(await self._node.block(height), is_listed=False)

    async def wait_beyond(self, height: int, timeout_s: float) -> int:
        """Wait until a block above `height` is in; returns the last height either way."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.height <= height:
                    await self._grown.wait()
        except TimeoutError:
            pass
        return self.height

    def take(self, block: BlockAnswer, *, is_listed: bool = True) -> None:
        """Take in one block; the list of blocks has no gaps, so not all are listed."""
        header = block.final.block.header
        if is_listed:
            self._take_row(block)
        machines: dict[bytes, list[str]] = {}
        # Receipts of scheduled runs stand behind those of the transactions.
        for raw, receipt in zip(block.final.block.transactions, block.receipts, strict=False):
            body = parse_transaction(raw).body
            first = body.calls[0]
            machines[receipt.transaction_id] = _machines([call.args for call in body.calls])
            self.transactions.appendleft(
                TransactionRow(
                    id=receipt.transaction_id,
                    height=header.height,
                    sender=body.sender,
                    call=f"{first.contract}.{first.method}",
                    calls=len(body.calls),
                    ok=receipt.ok,
                )
            )
            for event in receipt.events:
                self.events.appendleft(
                    EventRow(
                        height=header.height, transaction_id=receipt.transaction_id, event=event
                    )
                )
        places: dict[bytes, int] = {}
        for record in block.predictions:
            place = places.get(record.transaction_id, 0)
            places[record.transaction_id] = place + 1
            names = machines.get(record.transaction_id, [])
            self._take_prediction(
                PredictionRow(
                    record=record,
                    machine=names[place] if place < len(names) else "",
                    time_ms=header.time_ms,
                )
            )

    def _take_row(self, block: BlockAnswer) -> None:
        header = block.final.block.header
        if self.blocks and header.height != self.blocks[0].height + 1:
            self.blocks.clear()
        self.blocks.appendleft(
            BlockRow(
                height=header.height,
                hash=block.hash,
                time_ms=header.time_ms,
                epoch=header.epoch,
                slot=header.slot,
                proposer=header.proposer,
                transactions=len(block.final.block.transactions),
                predictions=len(block.predictions),
                signers=tuple(s.validator for s in block.final.certificate.signers),
            )
        )

    def _take_prediction(self, row: PredictionRow) -> None:
        self.predictions.appendleft(row)
        if not row.machine:
            return
        history = self.machines.pop(row.machine, None)
        if history is None:
            history = deque(maxlen=POINTS_MAX)
            while len(self.machines) >= MACHINES_MAX:
                self.machines.popitem(last=False)
        history.append(row)
        self.machines[row.machine] = history


def _machines(arguments: list[bytes]) -> list[str]:
    """Names of the machines in order of their predictions, as far as arguments tell."""
    names: list[str] = []
    for encoded in arguments:
        named = decode_value(encoded)
        if not isinstance(named, dict):
            continue
        one, many = named.get("machine"), named.get("machines")
        if isinstance(one, str):
            names.append(one)
        elif isinstance(many, list):
            names += [item if isinstance(item, str) else "" for item in many]
    return names
