"""What a block did, taken over: what execution gives passes, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from andon.core.block import Block, PredictionOutput
from andon.core.errors import InvalidInput
from andon.core.transaction import make_call
from andon.core.wire import Effects, Writes
from consensus.ledger import Executed, Parent, adopt_block
from node.storage import StoredBlock
from node.testing.lab import CertifiedChain

REPLACE = msgspec.structs.replace


class Made:
    """A chain of which every block is at hand with its parent and its effects."""

    def __init__(self) -> None:
        self.chain = CertifiedChain()

    def extend(self, *calls: tuple[str, dict[str, object]]) -> tuple[Parent, StoredBlock, Effects]:
        transactions = [
            self.chain.transaction(make_call("notes", method, arguments))  # type: ignore[arg-type]
            for method, arguments in calls
        ]
        return self.take(lambda: self.chain.extend(*transactions))

    def take(self, make: Callable[[], StoredBlock]) -> tuple[Parent, StoredBlock, Effects]:
        above, before = self.chain.parent, dict(self.chain._state._values)
        tree = dict(self.chain._state._nodes)
        stored = make()
        changed = sorted(
            (key, value)
            for key, value in stored.executed.overlay.writes.items()
            if before.get(key) != value
        )
        writes = Writes(tuple(key for key, _ in changed), tuple(value for _, value in changed))
        executed = stored.executed
        effects = Effects(executed.receipt_bytes, executed.prediction_bytes, writes)
        return _standing(above, before, tree), stored, effects


class _Frozen:
    def __init__(self, values: dict[bytes, bytes], nodes: dict[bytes, bytes]) -> None:
        self.get = values.get
        self.tree_node = nodes.get

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        raise AssertionError((prefix, after, count_max))

    def has_transaction(self, transaction_id: bytes) -> bool:
        del transaction_id
        return False


def _standing(parent: Parent, values: dict[bytes, bytes], nodes: dict[bytes, bytes]) -> Parent:
    return Parent(
        header=parent.header,
        hash=parent.hash,
        state=_Frozen(values, nodes),
        validators=parent.validators,
        params=parent.params,
    )


def rule_of(parent: Parent, block: Block, effects: Effects) -> object:
    with pytest.raises(InvalidInput) as caught:
        adopt_block(parent, block, effects)
    return caught.value.fields["rule"]


def same(left: Executed | None, right: Executed) -> bool:
    return left is not None and all(
        getattr(left, name) == getattr(right, name)
        for name in (
            *("receipts", "receipt_bytes", "predictions", "prediction_bytes"),
            *("prediction_outputs", "state_root", "receipts_root", "predictions_root"),
            *("gas_used", "next_validators", "next_params"),
        )
    )


def test_what_is_adopted_is_what_execution_gives() -> None:
    made = Made()
    for calls in (
        [("write", {"key": "a", "text": "x"}), ("assess", {"key": "s", "window": b"abcd"})],
        [("erase", {"key": "a"}), ("refuse", {"key": "b"}), ("write", {"key": "c", "text": "y"})],
        [],
    ):
        parent, stored, effects = made.extend(*calls)
        adopted = adopt_block(parent, stored.block, effects)
        assert adopted is not None
        assert same(adopted, stored.executed)
        ids = {receipt.transaction_id for receipt in stored.executed.receipts}
        assert adopted.overlay.transaction_ids == ids
        for path, node in stored.executed.overlay.tree_writes.items():
            assert adopted.overlay.tree_node(path) == node


def test_a_block_that_closes_its_epoch_gives_the_set_of_the_next() -> None:
    made = Made()
    chain = made.chain
    made.take(lambda: chain.extend(chain.schedule(chain.keys[1:], 4)))
    for _ in range(3):
        parent, stored, effects = made.take(chain.extend)
    assert stored.block.header.closes_epoch
    adopted = adopt_block(parent, stored.block, effects)
    assert adopted is not None
    assert adopted.next_validators == chain.parent.validators != parent.validators


def _change_first(values: tuple[bytes | None, ...]) -> tuple[bytes | None, ...]:
    return (b"\x01", *values[1:])


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("receipts_root", lambda e: REPLACE(e, receipts=e.receipts[1:])),
        ("receipts_root", lambda e: REPLACE(e, receipts=(e.receipts[0] + b"x", *e.receipts[1:]))),
        ("predictions_root", lambda e: REPLACE(e, predictions=())),
        ("state_root", lambda e: with_writes(e, e.writes.keys, _change_first(e.writes.values))),
        ("state_root", lambda e: with_writes(e, e.writes.keys[1:], e.writes.values[1:])),
        (
            "state_root",
            lambda e: with_writes(e, (*e.writes.keys, b"zz"), (*e.writes.values, b"\x01")),
        ),
        ("writes", lambda e: with_writes(e, e.writes.keys[::-1], e.writes.values[::-1])),
        ("writes", lambda e: with_writes(e, e.writes.keys[:1] * 2, e.writes.values[:1] * 2)),
        ("writes", lambda e: with_writes(e, e.writes.keys, e.writes.values[1:])),
        ("writes", lambda e: with_writes(e, (*e.writes.keys, b"zz"), (*e.writes.values, None))),
        ("writes", lambda e: with_writes(e, (b"", *e.writes.keys), (b"\x01", *e.writes.values))),
        (
            "writes",
            lambda e: with_writes(e, (*e.writes.keys, b"z" * 481), (*e.writes.values, b"\x01")),
        ),
    ],
)
def test_effects_that_are_not_those_of_the_block_are_refused(
    rule: str, change: Callable[[Effects], Effects]
) -> None:
    parent, stored, effects = Made().extend(
        ("write", {"key": "a", "text": "x"}), ("assess", {"key": "s", "window": b"abcd"})
    )
    assert rule_of(parent, stored.block, change(effects)) == rule


def with_writes(
    effects: Effects, keys: tuple[bytes, ...], values: tuple[bytes | None, ...]
) -> Effects:
    return REPLACE(effects, writes=Writes(keys, values))


def test_a_transaction_with_another_signature_is_refused() -> None:
    parent, stored, effects = Made().extend(("write", {"key": "a", "text": "x"}))
    raw = stored.block.transactions[0]
    forged = REPLACE(stored.block, transactions=(raw[:-1] + bytes([raw[-1] ^ 1]),))
    assert rule_of(parent, forged, effects) == "transactions_root"


def test_a_body_whose_outputs_no_record_shows_has_to_be_executed() -> None:
    parent, stored, effects = Made().extend(("assess", {"key": "s", "window": b"abcd"}))
    more = (*stored.block.predictions, PredictionOutput(bytes(32), bytes(32), (1,)))
    (shown,) = stored.block.predictions
    false = (REPLACE(shown, output=(7,)),)
    for outputs in (more, false, ()):
        altered = REPLACE(stored.block, predictions=outputs)
        assert adopt_block(parent, altered, effects) is None
