"""Building blocks, and every rule by which one is refused."""

from __future__ import annotations

import gc
import weakref

import msgspec
import pytest

from andon.core.block import Block, PredictionOutput, justification_digest
from andon.core.codec import decode, decode_value, encode
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Params
from andon.core.merkle import merkle_root
from andon.core.state_key import state_key
from andon.core.state_proof import check_state_value
from andon.core.transaction import SignedTransaction, parse_transaction
from consensus.ledger import (
    MemoryState,
    Overlay,
    PredictionUnavailable,
    check_and_execute_block,
    state_proof,
    update_tree,
)
from tests.unit.consensus.ledger.world import (
    CHAIN,
    NO_SKIPS,
    Chain,
    ModelSource,
    predict,
    put,
    signed,
    stranger,
)

replace = msgspec.structs.replace


def reheader(block: Block, **changes: object) -> Block:
    return replace(block, header=replace(block.header, **changes))


def refusal(chain: Chain, block: Block) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_and_execute_block(chain.parent, block, chain.engine)
    return caught.value


def test_a_built_block_is_valid_and_executes_to_the_same_roots() -> None:
    chain = Chain()
    block, built, left_out = chain.build(signed(put("a", 1)), signed(predict(b"abcd", b"abce")))
    checked = check_and_execute_block(chain.parent, block, chain.engine)
    assert left_out == {}
    assert checked.state_root == built.state_root == block.header.state_root
    assert checked.receipts == built.receipts
    assert checked.prediction_inputs == built.prediction_inputs
    assert len(block.predictions) == 2


def test_the_state_root_proves_what_a_call_wrote() -> None:
    chain = Chain()
    executed = chain.extend(signed(put("a", 41)), signed(put("a", 42)))
    key = state_key("table", "table", "a")
    value = executed.overlay.get(key)
    assert value is not None
    assert decode_value(value) == 42
    check_state_value(executed.state_root, key, value, state_proof(chain.state, key))
    absent = state_key("table", "table", "b")
    check_state_value(executed.state_root, absent, None, state_proof(chain.state, absent))


def test_the_incremental_root_is_the_root_of_the_whole_state() -> None:
    chain = Chain()
    for number in range(5):
        executed = chain.extend(*(signed(put(f"k{number}{i}", i)) for i in range(7)))
    whole = dict(chain.state.iterate(b"", None, 10_000))
    root, _ = update_tree(Overlay(MemoryState()), dict(whole))
    assert root == executed.state_root


def test_a_failed_transaction_keeps_its_receipt_and_changes_nothing_else() -> None:
    chain = Chain()
    before = chain.parent.header.state_root
    call = predict(b"abcd", fail=True)
    executed = chain.extend(signed(put("a", 1), call))
    (receipt,) = executed.receipts
    assert not receipt.ok
    assert receipt.failure is not None
    assert receipt.failure.code == "E_REVERT"
    assert receipt.events == ()
    assert receipt.results == ()
    assert executed.gas_used == receipt.gas_used > 0
    assert executed.predictions == ()
    assert executed.state_root == before
    # The output influenced the execution, so validators recompute it all the same.
    assert len(executed.prediction_outputs) == 1


def test_predictions_are_recorded_with_contract_model_input_and_output() -> None:
    chain = Chain()
    transaction = signed(predict(b"abcd", b"abcd", b"abce"))
    executed = chain.extend(transaction)
    assert [record.output for record in executed.predictions] == [(294,), (294,), (295,)]
    assert len({record.id for record in executed.predictions}) == 3
    assert executed.predictions[0].contract == "table"
    assert executed.predictions[0].height == 1
    # One recomputation a distinct input.
    assert [window for _, window in executed.prediction_inputs] == [b"abcd", b"abce"]


@pytest.mark.parametrize(
    ("model", "window", "code"),
    [
        ("none", b"abcd", "E_MODEL"),
        ("sum", b"abc", "E_MODEL_INPUT"),
        ("sum", b"abc\x80", "E_MODEL_INPUT"),
        ("00" * 32, b"abcd", "E_MODEL"),
    ],
)
def test_a_prediction_that_no_model_gives_fails_its_transaction(
    model: str, window: bytes, code: str
) -> None:
    chain = Chain()
    executed = chain.extend(signed(predict(window, model=model)))
    failure = executed.receipts[0].failure
    assert failure is not None
    assert failure.code == code
    assert executed.prediction_outputs == ()


def test_a_transaction_whose_output_is_not_at_hand_is_left_out_without_a_trace() -> None:
    chain = Chain()

    class Partly(ModelSource):
        def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
            if window == b"late":
                raise PredictionUnavailable(model_id, window)
            return super().output(model_id, window, digest)

    chain.source = Partly()
    late = signed(predict(b"abcd", b"late"))
    block, executed, left_out = chain.build(late, signed(put("a", 1)))
    assert list(left_out) == [late.id]
    assert len(block.transactions) == 1
    assert executed.prediction_outputs == ()
    check_and_execute_block(chain.parent, block, chain.engine)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": 9}, "identity"),
        ({"chain_id": "other"}, "identity"),
        ({"height": 3}, "place"),
        ({"parent": b"x" * 32}, "place"),
        ({"epoch": 1}, "place"),
        ({"slot": 0}, "place"),
        ({"time_ms": 1_000}, "time"),
        ({"proposer": b"x" * 32}, "leader"),
        ({"slot": 2}, "leader"),
        ({"validators_hash": b"x" * 32}, "validators"),
        ({"justification_digest": b"x" * 32}, "justification"),
        ({"transactions_root": b"x" * 32}, "transactions_root"),
        ({"receipts_root": b"x" * 32}, "receipts_root"),
        ({"predictions_root": b"x" * 32}, "predictions_root"),
        ({"state_root": b"x" * 32}, "state_root"),
        ({"next_validators_hash": b"x" * 32}, "next_validators_hash"),
        ({"gas_used": 1}, "gas_used"),
    ],
)
def test_a_header_with_one_wrong_field_is_refused_by_its_rule(
    changes: dict[str, object], rule: str
) -> None:
    chain = Chain()
    block, _, _ = chain.build(signed(put("a", 1)), signed(predict(b"abcd")))
    error = refusal(chain, reheader(block, **changes))
    assert error.code is (Code.WRONG_VERSION if "version" in changes else Code.BAD_BLOCK)
    assert error.fields["rule"] == rule


def test_claimed_outputs_must_be_exactly_those_used() -> None:
    chain = Chain()
    block, _, _ = chain.build(signed(predict(b"abcd", b"abce")))
    first, second = block.predictions
    extra = PredictionOutput(first.model_id, b"x" * 32, (1,))
    for claimed in ((first,), (second, first), (first, second, extra), ()):
        error = refusal(chain, replace(block, predictions=claimed))
        assert error.code is Code.BAD_BLOCK
        assert error.fields["rule"] == "outputs"
    wide = replace(first, output=(1, 2))
    assert refusal(chain, replace(block, predictions=(wide, second))).code is (
        Code.PREDICTION_MISMATCH
    )


def test_another_justification_under_the_same_header_is_refused() -> None:
    chain = Chain()
    block, executed, _ = chain.build()
    other = replace(NO_SKIPS, skips=())
    assert justification_digest(other) == block.header.justification_digest
    assert executed.receipts == ()
    changed = reheader(block, justification_digest=bytes(32))
    assert refusal(chain, changed).fields["rule"] == "justification"


def test_a_transaction_with_a_forged_signature_makes_its_block_invalid() -> None:
    chain = Chain()
    good = signed(put("a", 1))
    forged = encode(replace(decode(SignedTransaction, good.raw), signature=bytes(64)))
    block, _, _ = chain.build(parse_transaction(forged))
    assert refusal(chain, block).code is Code.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("transaction", "code"),
    [
        (signed(put("a", 1), chain_id="other"), Code.WRONG_CHAIN),
        (signed(put("a", 1), expires_height=0), Code.EXPIRED),
        (signed(put("a", 1), expires_height=4098), Code.EXPIRES_TOO_LATE),
        (signed(put("a", 1), gas_limit=100), Code.GAS_LIMIT),
        (signed(put("a", 1), gas_limit=200_000_000), Code.GAS_LIMIT),
        (signed(put("a", 1), key=stranger), Code.NOT_A_MEMBER),
    ],
)
def test_a_transaction_that_breaks_a_rule_of_inclusion_is_left_out_and_refused(
    transaction: object, code: Code
) -> None:
    chain = Chain()
    block, _, left_out = chain.build(transaction)
    assert [reason.code for reason in left_out.values()] == [code]
    assert block.transactions == ()
    raws = (transaction.raw,)
    bad = reheader(replace(block, transactions=raws), transactions_root=merkle_root(raws))
    assert refusal(chain, bad).code is code


def test_the_last_height_of_the_expiry_window_is_accepted() -> None:
    chain = Chain()
    chain.extend(signed(put("a", 1), expires_height=1), signed(put("a", 1), expires_height=4097))
    assert chain.parent.header.height == 1


def test_what_a_build_left_out_keeps_nothing_of_the_build_alive() -> None:
    """Frames behind a reason would hold the list it is in, and so a whole block, until a look."""
    chain = Chain()
    transaction = signed(put("a", 1))
    gc.disable()
    try:
        _, _, left_out = chain.build(transaction, transaction)
        reason = weakref.ref(left_out[transaction.id])
        del left_out
        assert reason() is None
    finally:
        gc.enable()


def test_a_transaction_is_included_once_in_a_chain() -> None:
    chain = Chain()
    transaction = signed(put("a", 1))
    _, _, left_out = chain.build(transaction, transaction)
    assert [reason.code for reason in left_out.values()] == [Code.DUPLICATE]
    chain.extend(transaction)
    _, _, left_out = chain.build(transaction)
    assert [reason.code for reason in left_out.values()] == [Code.DUPLICATE]


def test_blocks_keep_to_gas_bytes_and_count() -> None:
    params = Params(block_gas_max=2_500_000, transaction_gas_max=1_000_000)
    block, _, left_out = Chain(params).build(*(signed(put("a", i)) for i in range(400)))
    # Each needs room for its limit, and uses about 6,400.
    assert 200 < len(block.transactions) < 300
    assert {reason.code for reason in left_out.values()} == {Code.GAS_LIMIT}

    params = Params(block_transactions_max=3)
    chain = Chain(params)
    block, _, _ = chain.build(*(signed(put("a", i)) for i in range(5)))
    assert len(block.transactions) == 3

    params = Params(block_bytes_max=1_000)
    block, _, left_out = Chain(params).build(*(signed(put("a", i)) for i in range(6)))
    assert len(block.transactions) == 5
    assert [reason.code for reason in left_out.values()] == [Code.TOO_LARGE]
    # Outputs weigh as well.
    block, executed, left_out = Chain(params).build(
        signed(predict(*(b"abc%d" % i for i in range(10))))
    )
    assert block.transactions == ()
    assert executed.prediction_outputs == ()
    assert [reason.code for reason in left_out.values()] == [Code.TOO_LARGE]


def test_chain_id_names_the_network() -> None:
    assert Chain().parent.header.chain_id == CHAIN
