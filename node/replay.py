"""Execute a stored chain again from genesis and compare every root: what `andon replay` does.

Trusts nothing that is stored but the genesis document: each block needs its certificate, its
execution must give the roots of its header, and the state at the end must be the stored one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from andon.core.errors import Code, Corrupt, InvalidInput
from andon.core.genesis import Genesis
from consensus.ledger import (
    Engine,
    MemoryState,
    Parent,
    check_and_execute_block,
    genesis_state,
    parent_of,
    tree_root,
)
from node.drivers.certified import check_final_block
from node.storage import Snapshot

REPORT_EVERY = 1000


def silent(height: int) -> None:
    """Report nothing."""
    del height


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was executed."""

    height: int
    transactions: int
    predictions: int
    state_root: bytes


def replay(
    genesis: Genesis,
    engine: Engine,
    snapshot: Snapshot,
    *,
    last: int | None = None,
    report: Callable[[int], None] = silent,
) -> Replayed:
    """Execute blocks 1 to `last` (all by default) on a state in memory.

    Outputs of models are taken from the blocks, as the quorum certified them.

    Raises:
        InvalidInput: HEIGHT_UNKNOWN where the chain is pruned; else the rule that is broken.
        Corrupt: STORAGE_DAMAGED if the stored state is another one.
    """
    if snapshot.first_height() > 1:
        raise InvalidInput(
            Code.HEIGHT_UNKNOWN,
            f"blocks below {snapshot.first_height()} are not stored here",
            hint="replay needs an archive node: one with keep_blocks = 0 that synced by blocks",
        )
    state = MemoryState()
    first = genesis_state(genesis, engine)
    parent = _after(state, parent_of(first.header, first.executed))
    state.apply(first.executed.overlay)
    top = snapshot.height() if last is None else min(last, snapshot.height())
    transactions = predictions = 0
    for height in range(1, top + 1):
        final = snapshot.final_block(height)
        if final is None:
            raise Corrupt(Code.STORAGE_DAMAGED, f"block {height} or its certificate is missing")
        check_final_block(genesis.chain_id, parent.validators, final)
        executed = check_and_execute_block(parent, final.block, engine)
        state.apply(executed.overlay)
        parent = _after(state, parent_of(final.block.header, executed))
        transactions += len(executed.receipts)
        predictions += len(executed.predictions)
        if height % REPORT_EVERY == 0:
            report(height)
    if top == snapshot.height() and tree_root(snapshot) != parent.header.state_root:
        raise Corrupt(Code.STORAGE_DAMAGED, "the stored state is not the one that execution gives")
    return Replayed(top, transactions, predictions, parent.header.state_root)


def _after(state: MemoryState, parent: Parent) -> Parent:
    """The same block as a parent whose writes stand in `state`."""
    return Parent(
        header=parent.header,
        hash=parent.hash,
        state=state,
        validators=parent.validators,
        params=parent.params,
    )
