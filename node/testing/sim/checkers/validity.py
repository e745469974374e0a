"""Validity: a chain follows the rules, holds only what was submitted, and nothing twice."""

from __future__ import annotations

from andon.core.block import block_hash, justification_digest
from andon.core.certificate import VoteKind
from andon.core.merkle import merkle_root
from andon.core.wire import FinalBlock
from node.testing.sim.chain import PREDICT, predict


def check_history(history: list[FinalBlock], submitted: list[bytes]) -> None:
    """Check one node's final blocks from height 1 on."""
    seen: dict[bytes, None] = {}
    for index, final in enumerate(history):
        header = final.block.header
        assert header.height == index + 1, "validity: heights have a gap"
        assert header.transactions_root == merkle_root(final.block.transactions)
        assert header.justification_digest == justification_digest(final.block.justification)
        _check_skips(final)
        if index > 0:
            before = history[index - 1].block.header
            assert header.parent == block_hash(before), "validity: a parent is missing"
            assert header.time_ms > before.time_ms, "validity: time stands still"
            epoch = before.epoch + (1 if before.closes_epoch else 0)
            assert header.epoch == epoch, "validity: the epoch does not follow"
            assert header.epoch > before.epoch or header.slot > before.slot
        for transaction in final.block.transactions:
            assert transaction in submitted, "validity: a transaction of nobody"
            assert transaction not in seen, "validity: a transaction twice"
            seen[transaction] = None
        wanted = [item for item in final.block.transactions if item.startswith(PREDICT)]
        outputs = tuple(predict(item, lies=False) for item in wanted)
        assert final.block.predictions == outputs, "validity: a wrong prediction is final"


def _check_skips(final: FinalBlock) -> None:
    header, justification = final.block.header, final.block.justification
    parent = justification.parent_certificate
    position = 0
    if parent is not None:
        assert parent.vote.block == header.parent, "validity: another parent is certified"
        assert parent.vote.kind in (VoteKind.NOTAR, VoteKind.FINAL)
        if parent.vote.epoch == header.epoch:
            position = parent.vote.slot
    slots = [skip.vote.slot for skip in justification.skips]
    assert slots == list(range(position + 1, header.slot)), "validity: a slot was jumped"
    assert all(skip.vote.kind is VoteKind.SKIP for skip in justification.skips)
