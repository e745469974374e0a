"""Which keys a final transaction changed: its block is executed again on the state before it.

Nothing of this is on the way of a vote. The blocks are the stored ones, with the outputs of models
that were made final; the receipt that comes out has to be the one on record, or nothing is said.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.transaction import parse_transaction
from consensus.ledger import Engine, Environment, Overlay, Write, writes_of_last
from consensus.ledger.block import ClaimedOutputs
from consensus.ledger.succession import read_params
from node.storage import ChainStore
from node.storage.undo import rewind

GAS_MAX = 50_000_000
"""A block that used more is not executed again for a reader; views have the same bound."""
ANSWERS_MAX = 128


class ChangeReader:
    """Answers one question at a time, on the caller's thread; remembers the last answers."""

    def __init__(self, store: ChainStore, engine: Engine) -> None:
        """Take an engine of its own: an engine serves one thread at a time."""
        self._store = store
        self._engine = engine
        self._lock = threading.Lock()
        self._answers: OrderedDict[tuple[int, int], tuple[Write, ...]] = OrderedDict()

    def changes(self, identity: bytes) -> tuple[Write, ...]:
        """Give the keys that a final transaction changed, ascending, with old and new values.

        Cost: the transactions of its block before it, and the blocks since.

        Raises:
            InvalidInput: NOT_FOUND for no final transaction, HEIGHT_UNKNOWN if the state before
                its block is no longer kept, TOO_LARGE for a block beyond `GAS_MAX`.
            Corrupt: STORAGE_DAMAGED if another receipt comes out than is on record.
        """
        with self._lock:
            return self._changes(identity)

    def _changes(self, identity: bytes) -> tuple[Write, ...]:
        with self._store.snapshot() as snapshot:
            place = snapshot.transaction_place(identity)
            if place is None:
                raise InvalidInput(Code.NOT_FOUND, "no final transaction has this hash")
            height, index = place
            block = snapshot.block(height)
            if block is None:
                raise InvalidInput(Code.HEIGHT_UNKNOWN, f"block {height} is pruned here")
            known = self._answers.get((height, index))
            if known is not None:
                return known
            if block.header.gas_used > GAS_MAX:
                raise InvalidInput(
                    Code.TOO_LARGE,
                    f"block {height} used {block.header.gas_used:,} gas; only blocks up to "
                    f"{GAS_MAX:,} are executed again for a reader",
                    hint="andon replay executes the whole chain again",
                )
            past = rewind(snapshot, height - 1)
            environment = Environment(
                chain_id=block.header.chain_id,
                epoch=block.header.epoch,
                height=height,
                time_ms=block.header.time_ms,
                params=read_params(Overlay(past)),
            )
            transactions = [parse_transaction(raw) for raw in block.transactions[: index + 1]]
            receipt, found = writes_of_last(
                past, environment, transactions, self._engine, ClaimedOutputs(block.predictions)
            )
            if receipt != snapshot.receipts(height)[index]:
                raise Corrupt(
                    Code.STORAGE_DAMAGED,
                    f"transaction {identity.hex()[:16]} gives another receipt than is on record",
                    hint="run andon replay on this node's folder",
                )
        while len(self._answers) >= ANSWERS_MAX:
            self._answers.popitem(last=False)
        self._answers[height, index] = found
        return found
