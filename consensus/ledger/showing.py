"""What one transaction of a block wrote: found by executing the block again up to it."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from andon.core.block import Receipt
from andon.core.transaction import Transaction
from consensus.ledger.execution import BlockExecution, Environment
from consensus.ledger.ports import Engine, PredictionSource, StateReader

Write = tuple[bytes, bytes | None, bytes | None]
"""A state key, its value before and its value after; None where there is none."""


def writes_of_last(
    parent: StateReader,
    environment: Environment,
    transactions: Sequence[Transaction],
    engine: Engine,
    source: PredictionSource,
) -> tuple[Receipt, tuple[Write, ...]]:
    """Execute transactions; give the last one's receipt and the keys it changed, ascending.

    Signatures are the caller's to check.

    Raises:
        InvalidInput: the first rule of inclusion that a transaction breaks.
        PredictionUnavailable: the source lacks an output.
    """
    execution = BlockExecution(parent, environment, engine, source)
    for transaction in transactions[:-1]:
        execution.apply(transaction)
    writes = execution.overlay.writes
    earlier = dict(writes)
    receipt = execution.apply(transactions[-1])
    found: list[Write] = []
    for key, after in sorted(writes.items(), key=operator.itemgetter(0)):
        before = earlier[key] if key in earlier else parent.get(key)
        if before != after:
            found.append((key, before, after))
    return receipt, tuple(found)
