"""Deployment, evidence, validator sets and genesis."""

from __future__ import annotations

import msgspec
import pytest

from andon.core.certificate import SignedVote, Vote, VoteKind, vote_signing_bytes
from andon.core.codec import Value, encode
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import contract_at_genesis
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from andon.core.state_key import state_key
from andon.core.transaction import Call, make_call
from consensus.ledger import Host, PredictionFailed, check_and_execute_block, genesis_state
from tests.unit.consensus.ledger.world import (
    CHAIN,
    Chain,
    TableEngine,
    deployer,
    make_genesis,
    operator,
    put,
    signed,
    validator_entries,
    validator_keys,
)

replace = msgspec.structs.replace


def deploy(name: str = "other", source: str = "table") -> Call:
    args: Value = {}
    return make_call("contracts", "deploy", {"name": name, "source": source, "args": args})


def failure_code(chain: Chain, *calls: Call, key: PrivateKey = deployer) -> str:
    failure = chain.extend(signed(*calls, key=key)).receipts[0].failure
    return "" if failure is None else failure.code


def test_a_deployed_contract_can_be_called_in_the_same_transaction() -> None:
    chain = Chain()
    call = make_call("other", "put", {"key": "a", "value": 1})
    assert failure_code(chain, deploy(), call) == ""
    assert chain.state.get(state_key("other", "table", "a")) is not None


def test_deployment_is_refused_for_the_reason_stated() -> None:
    chain = Chain()
    assert failure_code(chain, deploy(), key=operator) == "E_ROLE"
    assert failure_code(chain, deploy(name="identity")) == "E_EXISTS"
    assert failure_code(chain, deploy(name="evidence")) == "E_ARGS"
    assert failure_code(chain, deploy(name="Bad")) == "E_ARGS"
    assert failure_code(chain, make_call("contracts", "deploy", {"name": "x"})) == "E_ARGS"
    assert failure_code(chain, make_call("contracts", "nothing", {})) == "E_METHOD"
    executed = chain.extend(signed(deploy(source="no contract"), key=deployer))
    failure = executed.receipts[0].failure
    assert failure is not None
    assert (failure.code, failure.line) == ("E_REFUSED", 7)
    executed = chain.extend(signed(deploy(), key=deployer, gas_limit=10_000))
    assert executed.receipts[0].failure is not None
    assert executed.receipts[0].failure.code == "E_GAS"
    assert executed.receipts[0].gas_used == 10_000


def test_a_deployment_that_is_rolled_back_leaves_no_contract_behind() -> None:
    chain = Chain()
    call = make_call("other", "put", {"key": "a", "value": 1})
    failing = make_call("other", "fail", {})
    executed = chain.extend(
        signed(deploy(), call, failing, key=deployer), signed(call, key=deployer)
    )
    codes = [receipt.failure and receipt.failure.code for receipt in executed.receipts]
    assert codes == ["E_REVERT", "E_CONTRACT"]


def test_only_the_deploying_organisation_upgrades() -> None:
    chain = Chain()
    upgrade = make_call("contracts", "upgrade", {"name": "other", "source": "table 2"})
    assert failure_code(chain, upgrade) == "E_CONTRACT"
    assert failure_code(chain, deploy()) == ""
    assert chain.state.get(state_key("other", "migrated")) is None
    assert failure_code(chain, upgrade) == ""
    assert chain.state.get(state_key("other", "migrated")) is not None


def test_a_transaction_cannot_bring_the_contract_whose_results_are_recorded() -> None:
    chain = Chain()
    forged = make_call(
        "contracts", "deploy", {"name": "predictions", "source": "table", "args": {}}
    )
    assert failure_code(chain, forged) == "E_ARGS"


def vote(
    kind: VoteKind,
    block: bytes,
    *,
    index: int = 0,
    slot: int = 5,
    epoch: int = 0,
    chain_id: str = CHAIN,
) -> bytes:
    unsigned = Vote(kind=kind, epoch=epoch, slot=slot, block=block)
    signature = validator_keys[index].sign(vote_signing_bytes(chain_id, unsigned))
    return encode(SignedVote(vote=unsigned, validator=index, signature=signature))


def submit(first: bytes, second: bytes) -> Call:
    return make_call("evidence", "submit", {"first": first, "second": second})


A, B = b"a" * 32, b"b" * 32


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B)),
        (vote(VoteKind.FINAL, A), vote(VoteKind.FINAL, B)),
        (vote(VoteKind.FINAL, A), vote(VoteKind.SKIP, ZERO_DIGEST)),
        (vote(VoteKind.SKIP, ZERO_DIGEST), vote(VoteKind.FINAL, A)),
    ],
)
def test_contradicting_votes_remove_their_signer_and_close_the_epoch(
    first: bytes, second: bytes
) -> None:
    chain = Chain()
    chain.extend(signed(submit(first, second)))
    header = chain.parent.header
    assert header.closes_epoch
    kept = [entry.key for entry in chain.parent.validators.validators]
    assert kept == [key.public for key in validator_keys[1:]]
    chain.extend()
    assert chain.parent.header.epoch == 1
    assert chain.parent.header.slot == 1
    # The old epoch's set is still on record, and the verdict stands.
    assert failure_code(chain, submit(first, second)) == "E_EVIDENCE"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, A)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.FINAL, A)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.SKIP, ZERO_DIGEST)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B, index=1)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B, slot=6)),
        (vote(VoteKind.NOTAR, A, epoch=7), vote(VoteKind.NOTAR, B, epoch=7)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B)[:-1] + b"\x00"),
        (vote(VoteKind.NOTAR, A), b"junk"),
        # Signed for another network with the same key: neither half may come from there.
        (vote(VoteKind.NOTAR, A, chain_id="other"), vote(VoteKind.NOTAR, B)),
        (vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B, chain_id="other")),
    ],
)
def test_votes_that_prove_nothing_convict_nobody(first: bytes, second: bytes) -> None:
    chain = Chain()
    assert failure_code(chain, submit(first, second)) in ("E_EVIDENCE", "E_ARGS")
    assert not chain.parent.header.closes_epoch


def schedule(height: int, keys: list) -> Call:
    value: Value = {"height": height, "validators": validator_entries(keys)}
    return make_call("identity", "set", {"name": "next", "value": value})


def test_a_scheduled_set_takes_over_at_its_height() -> None:
    chain = Chain()
    chain.extend(signed(schedule(2, validator_keys[:3])))
    assert not chain.parent.header.closes_epoch
    chain.extend()
    assert chain.parent.header.closes_epoch
    assert len(chain.parent.validators.validators) == 3
    block, _, _ = chain.build(signed(put("a", 1)))
    assert (block.header.epoch, block.header.slot, block.header.height) == (1, 1, 3)
    check_and_execute_block(chain.parent, block, chain.engine)
    chain.extend()
    assert not chain.parent.header.closes_epoch


def test_a_scheduled_key_of_a_convicted_validator_stays_out() -> None:
    chain = Chain()
    chain.extend(signed(submit(vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B))))
    chain.extend(signed(schedule(3, validator_keys)))
    chain.extend()
    kept = [entry.key for entry in chain.parent.validators.validators]
    assert kept == [key.public for key in validator_keys[1:]]


def test_of_two_schedules_in_one_block_the_later_one_stands() -> None:
    chain = Chain()
    chain.extend(
        signed(schedule(2, validator_keys[:3])),
        signed(schedule(2, validator_keys[1:])),
    )
    chain.extend()
    kept = [entry.key for entry in chain.parent.validators.validators]
    assert kept == [key.public for key in validator_keys[1:]]
    assert chain.parent.header.closes_epoch
    chain.extend()
    assert (chain.parent.header.epoch, chain.parent.header.closes_epoch) == (1, False)


def test_a_schedule_of_an_impossible_set_is_dropped() -> None:
    chain = Chain()
    chain.extend(signed(schedule(1, [validator_keys[0], validator_keys[0]])))
    assert not chain.parent.header.closes_epoch
    assert len(chain.parent.validators.validators) == 4


def set_validators(value: Value) -> Call:
    return make_call("identity", "set", {"name": "validators", "value": value})


def test_a_set_that_a_contract_writes_at_once_closes_the_epoch() -> None:
    chain = Chain()
    chain.extend(signed(set_validators(validator_entries(validator_keys[1:]))))
    assert chain.parent.header.closes_epoch
    assert chain.state.get(state_key("evidence", "sets", 1)) is not None
    chain.extend()
    assert not chain.parent.header.closes_epoch
    assert len(chain.parent.validators.validators) == 3


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "all of them",
        [{"key": b"x" * 600, "weight": 1}],
        [{"key": bytes(32), "weight": 1}],
        [{"key": validator_keys[0].public, "weight": True}],
        [{"key": validator_keys[0].public, "weight": 2**70}],
        [{"key": validator_keys[0].public}],
    ],
)
def test_nonsense_in_the_place_of_the_set_does_not_stop_the_chain(value: Value) -> None:
    chain = Chain()
    chain.extend(signed(set_validators(value)))
    assert not chain.parent.header.closes_epoch
    assert len(chain.parent.validators.validators) == 4
    chain.extend(signed(schedule(3, validator_keys[:1])))
    bad: Value = {"height": 2, "validators": value}
    chain.extend(signed(make_call("identity", "set", {"name": "next", "value": bad})))
    assert len(chain.parent.validators.validators) == 4


def test_the_last_validator_is_convicted_but_stays() -> None:
    chain = Chain()
    chain.extend(signed(set_validators(validator_entries(validator_keys[:1]))))
    chain.extend(signed(submit(vote(VoteKind.NOTAR, A), vote(VoteKind.NOTAR, B))))
    assert chain.parent.validators.index_of(validator_keys[0].public) == 0
    assert not chain.parent.header.closes_epoch


def test_a_failure_message_that_is_no_text_is_made_one() -> None:
    class Surrogate(TableEngine):
        def do_fail(self, host: Host, contract: str, args: dict) -> Value:
            raise PredictionFailed("E_REVERT", "\ud800" + "x" * 1000)

    chain = Chain()
    chain.engine = Surrogate()
    failure = chain.extend(signed(make_call("table", "fail", {}))).receipts[0].failure
    assert failure is not None
    assert failure.message == "?" + "x" * 511


def test_genesis_is_the_same_for_everybody_and_names_its_document() -> None:
    first, second = (genesis_state(make_genesis(), TableEngine()) for _ in range(2))
    assert first.block == second.block
    later = replace(make_genesis(), time_ms=1_001)
    assert genesis_state(later, TableEngine()).header.parent != first.header.parent


def test_a_genesis_without_validators_or_with_a_bad_contract_is_refused() -> None:
    genesis = make_genesis()
    bare = contract_at_genesis("identity", b"table", {})
    for contracts in (
        (bare,),
        (*genesis.contracts, contract_at_genesis("other", b"junk", {})),
        (*genesis.contracts, contract_at_genesis("evidence", b"table", {})),
    ):
        with pytest.raises(InvalidInput) as caught:
            genesis_state(replace(genesis, contracts=contracts), TableEngine())
        assert caught.value.code is Code.BAD_GENESIS
