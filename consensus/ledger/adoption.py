"""Taking over what a certified block did, instead of executing it.

More than two thirds of the weight signed the header, so honest validators executed the block and
found its roots right (docs/protocol.md, S2). What a peer says that it did is held against these
roots, leaf by leaf and key by key: what passes is what execution would give. The caller holds a
Final certificate over the block; without one nothing here is a proof.
"""

from __future__ import annotations

from itertools import pairwise

from andon.core.block import Block, PredictionRecord, Receipt
from andon.core.certificate import ValidatorSet, validators_hash
from andon.core.codec import decode_certified
from andon.core.genesis import Params
from andon.core.hashing import Digest
from andon.core.merkle import merkle_root
from andon.core.state_key import STATE_KEY_BYTES_MAX
from andon.core.wire import Effects, Writes
from consensus.ledger.block import Mark, Parent, bad_block, check_block, unmarked
from consensus.ledger.directory import VALIDATORS_KEY, parse_validators
from consensus.ledger.execution import Executed
from consensus.ledger.host import EXACT
from consensus.ledger.overlay import Overlay
from consensus.ledger.succession import PARAMS_KEY, read_params
from consensus.ledger.tree import update_tree


def adopt_block(
    parent: Parent, block: Block, effects: Effects, *, mark: Mark = unmarked
) -> Executed | None:
    """Check what a certified block is said to have done; None if only execution can tell (S4).

    `mark` hears the end of "state_root". No signature is checked and nothing executed (S2).

    Raises:
        InvalidInput: BAD_BLOCK with the field `rule`; who gave block or effects is a liar.
    """
    check_block(parent, block)
    header = block.header
    receipts_root = _root("receipts_root", effects.receipts, header.receipts_root)
    predictions_root = _root("predictions_root", effects.predictions, header.predictions_root)
    records = decode_certified(PredictionRecord, effects.predictions)
    if not _are_outputs_shown(block, records):
        return None
    overlay = _written(parent, effects.writes)
    state_root, nodes = update_tree(overlay, overlay.writes)
    if state_root != header.state_root:
        raise bad_block("state_root", "the writes do not lead to the state in the header")
    overlay.tree_writes.update(nodes)
    mark("state_root")
    receipts = decode_certified(Receipt, effects.receipts)
    overlay.transaction_ids.update(
        receipt.transaction_id for receipt in receipts[: len(block.transactions)]
    )
    return Executed(
        receipts=receipts,
        receipt_bytes=effects.receipts,
        predictions=records,
        prediction_bytes=effects.predictions,
        prediction_outputs=block.predictions,
        prediction_inputs=(),
        overlay=overlay,
        state_root=state_root,
        receipts_root=receipts_root,
        predictions_root=predictions_root,
        gas_used=header.gas_used,
        next_validators=_next_validators(parent, block, overlay),
        next_params=_next_params(parent, overlay),
    )


def _root(name: str, leaves: tuple[bytes, ...], expected: bytes) -> Digest:
    found = merkle_root(leaves)
    if found != expected:
        raise bad_block(name, "the leaves are not those in the header")
    return found


def _written(parent: Parent, writes: Writes) -> Overlay:
    """Lay the writes over the parent's state.

    Between two states there is one smallest set of writes. Nothing else is taken: what leaves the
    root as it is could be added without end, and would be passed on.
    """
    if len(writes.keys) != len(writes.values):
        raise bad_block("writes", "there are not as many values as keys")
    if any(left >= right for left, right in pairwise(writes.keys)):
        raise bad_block("writes", "the keys are not ascending")
    laid = dict(zip(writes.keys, writes.values, strict=True))
    read = parent.state.get
    for key, value in laid.items():
        if not 0 < len(key) <= STATE_KEY_BYTES_MAX or read(key) == value:
            raise bad_block("writes", "a write changes nothing")
    overlay = Overlay(parent.state)
    overlay.put_final(laid)
    return overlay


def _are_outputs_shown(block: Block, records: tuple[PredictionRecord, ...]) -> bool:
    """Tell whether the body's outputs are those of the records, in order of first use.

    An output that only a call used which then failed has no record.
    """
    shown = dict.fromkeys(
        (record.model_id, record.input_digest, record.output)
        for record in records
        if record.kind == EXACT
    )
    return list(shown) == [
        (item.model_id, item.input_digest, item.output) for item in block.predictions
    ]


def _next_validators(parent: Parent, block: Block, overlay: Overlay) -> ValidatorSet:
    if not block.header.closes_epoch:
        return parent.validators
    # The state root was right, so this is what the quorum's own state holds.
    found = parse_validators(overlay.get(VALIDATORS_KEY))
    if found is None or validators_hash(found) != block.header.next_validators_hash:
        raise bad_block("next_validators_hash", "the state names other validators")
    return found


def _next_params(parent: Parent, overlay: Overlay) -> Params:
    return read_params(overlay) if PARAMS_KEY in overlay.writes else parent.params
