"""What a block did: taken over if it is said and can be proved, else found out by execution."""

from __future__ import annotations

from collections.abc import Sequence

from andon.core.block import Block
from andon.core.transaction import Transaction, parse_transaction
from andon.core.wire import Effects
from consensus.ledger import Engine, Executed, Parent, adopt_block, check_and_execute_block
from node.phases import Lap


def adopt_or_execute(  # noqa: PLR0917 - the execution driver's one use
    parent: Parent,
    block: Block,
    engine: Engine,
    verified: Sequence[Transaction] | None,
    effects: Effects | None,
    lap: Lap,
) -> Executed:
    """Give what a block did; with `verified` None a certificate vouches for the signatures.

    Raises:
        InvalidInput: the rule that is broken.
    """
    executed = None if effects is None else adopt_block(parent, block, effects, mark=lap)
    if executed is not None:
        return executed
    if verified is None:
        verified = [parse_transaction(raw) for raw in block.transactions]
    return check_and_execute_block(parent, block, engine, verified, mark=lap)
