"""The same blocks everywhere: under any hash seed, stacked or flushed, warm or cold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.block import Block
from andon.core.transaction import Call, Transaction
from consensus.ledger import Executed, Parent, build_block, check_and_execute_block, parent_of
from tests.unit.consensus.ledger.world import NO_SKIPS, Chain, Turn, predict, put, signed

calls = st.one_of(
    st.builds(put, st.sampled_from("abcdef"), st.one_of(st.none(), st.integers(0, 3))),
    st.builds(
        predict,
        st.sampled_from([b"abcd", b"abce", b"abcf"]),
        fail=st.booleans(),
        model=st.sampled_from(["sum", "none"]),
    ),
)
plans = st.lists(st.lists(st.lists(calls, min_size=1, max_size=3), max_size=4), max_size=5)


def transactions_of(plan: list[list[list[Call]]]) -> list[list[Transaction]]:
    return [[signed(*each) for each in block] for block in plan]


@settings(max_examples=60, deadline=None)
@given(plans)
def test_stacking_and_flushing_give_the_same_headers(plan: list[list[list[Call]]]) -> None:
    blocks = transactions_of(plan)
    flushed, stacked = Chain(), Chain()
    above = stacked.parent
    for transactions in blocks:
        flushed.extend(*transactions)
        turn = Turn(
            slot=above.header.slot + 1,
            justification=NO_SKIPS,
            time_ms=above.header.time_ms + 10,
        )
        built = [item.raw for item in transactions]
        block, executed = make(stacked, above, turn, transactions)
        assert list(block.transactions) == built
        # Whoever checks it comes to the same state without the source of the leader.
        checked = check_and_execute_block(above, block, stacked.engine)
        assert checked.overlay.writes == executed.overlay.writes
        assert checked.overlay.tree_writes == executed.overlay.tree_writes
        above = parent_of(block.header, checked)
        assert above.hash == flushed.parent.hash


def make(
    chain: Chain, above: Parent, turn: Turn, transactions: list[Transaction]
) -> tuple[Block, Executed]:
    block, executed, left_out = build_block(above, turn, transactions, chain.engine, chain.source)
    assert left_out == {}
    return block, executed


SCRIPT = """
from tests.unit.consensus.ledger.world import Chain, predict, put, signed
chain = Chain()
for number in range(4):
    chain.extend(*(signed(put(f"k{i}", number), predict(b"abc%d" % i)) for i in range(9)))
print(chain.parent.hash.hex())
"""


def test_the_hash_seed_of_the_process_does_not_show() -> None:
    found = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path.cwd())}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout.strip())
    assert len(found) == 1
    assert len(found.pop()) == 64
