"""Building a block in bounded time: what does not fit into the time waits for the next block.

A block whose execution takes longer than the skip timeout leaves its validators no time to vote:
the slot is skipped, the work was for nothing, and the next leader runs into the same. Gas bounds
a block for a machine of the speed that gas was measured on; this bounds it for the one we have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from andon.core.block import Block
from andon.core.errors import InvalidInput
from andon.core.transaction import Transaction
from consensus.ledger import (
    Engine,
    Executed,
    Parent,
    PredictionSource,
    PredictionUnavailable,
    Turn,
    build_block,
)
from node.phases import Lap

BUILDS_PER_TIMEOUT = 8
"""A leader executes for an eighth of the skip timeout; validators then need as long again, with
less of a machine if they share one, and votes come after that."""


LATE_SHARE_MIN = 2
"""A block is made again once late outputs are there if it lacked every second transaction; fewer
wait for the next block, which comes sooner than all of this one is executed twice."""


def late_of(
    candidates: Sequence[Transaction],
    left_out: Mapping[bytes, InvalidInput | PredictionUnavailable],
) -> list[Transaction]:
    """Give the candidates that were left out because their outputs are not computed yet."""
    return [item for item in candidates if isinstance(left_out.get(item.id), PredictionUnavailable)]


def build_in_time(
    parent: Parent,
    turn: Turn,
    candidates: Sequence[Transaction],
    engine: Engine,
    source: PredictionSource,
    *,
    lap: Lap,
    clock_s: Callable[[], float] = time.perf_counter,
) -> tuple[Block, Executed, dict[bytes, InvalidInput | PredictionUnavailable]]:
    """Do as `build_block` until the time is up, at least one transaction."""
    until_s = clock_s() + parent.params.skip_timeout_ms / (1000 * BUILDS_PER_TIMEOUT)
    return build_block(
        parent,
        turn,
        candidates,
        engine,
        source,
        mark=lap,
        is_full=lambda: clock_s() >= until_s,
    )
