"""Deployment by policy, upgrades, pauses, descriptions, scheduled methods; on the real engine."""

from __future__ import annotations

import msgspec
import pytest

from andon.core.block import Receipt
from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, Params, contract_at_genesis
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.state_key import state_key
from andon.core.transaction import Call, make_call
from consensus.ledger import check_and_execute_block, genesis_state
from consensus.ledger.schedule import RUN_GAS_MAX, RUNS_PER_BLOCK_MAX
from contracts_py.library import source
from node.drivers.contract_engine import ContractEngine
from tests.unit.consensus.ledger.world import (
    CHAIN,
    Chain,
    signed,
    validator_entries,
    validator_keys,
)

ADMINS = [PrivateKey(bytes([n]) * 32) for n in (21, 22, 23)]
CLOCK = '''"""Ticks."""
ticks = Var(int, default=0)
Ticked = Event(count=int)


@scheduled(every=2)
def tick():
    ticks.set(ticks.get() + 1)
    assert ticks.get() != 2, "the second is refused"
    Ticked(count=ticks.get())


@export
def bump():
    ticks.set(ticks.get() + 10)


@view
def count() -> int:
    return ticks.get()
'''


def network(policy: dict[str, Value] | None = None, *contracts: tuple[str, str]) -> Chain:
    members: list[Value] = [
        {"account": key.public, "org": f"org{n}", "roles": ["admin"]}
        for n, key in enumerate(ADMINS)
    ]
    identity: dict[str, Value] = {
        "organisations": [f"org{n}" for n in range(4)],
        "members": members,
        "validators": validator_entries(validator_keys),
        "policy": dict((policy or {}).items()),
    }
    genesis = Genesis(
        chain_id=CHAIN,
        time_ms=1_000,
        params=Params(),
        contracts=(
            contract_at_genesis("identity", source("identity"), identity),
            *(contract_at_genesis(name, text.encode(), {}) for name, text in contracts),
        ),
    )
    return Chain(genesis=genesis, engine=ContractEngine())


def outcome(chain: Chain, contract: str, method: str, by: int = 0, **args: Value) -> Receipt:
    call = Call(contract, method, make_call(contract, method, args).args)
    return chain.extend(signed(call, key=ADMINS[by], gas_limit=5_000_000)).receipts[0]


def code(chain: Chain, contract: str, method: str, by: int = 0, **args: Value) -> str:
    failure = outcome(chain, contract, method, by, **args).failure
    return "" if failure is None else failure.code


def state(chain: Chain, variable: str, *key: Value) -> Value:
    raw = chain.state.get(state_key("contracts", variable, *key))  # type: ignore[arg-type] # keys of tests
    return None if raw is None else decode_value(raw)


def test_without_a_policy_one_organisation_deploys() -> None:
    chain = network()
    assert code(chain, "contracts", "deploy", name="clock", source=CLOCK, args={}) == ""
    meta = state(chain, "meta", "clock")
    assert isinstance(meta, dict)
    assert meta["digest"] == digest(Domain.SOURCE, CLOCK.encode())
    assert (meta["organisation"], meta["version"]) == ("org0", 1)


def test_a_definition_needs_the_approvals_that_the_policy_asks_for() -> None:
    chain = network({"deploy_percent": 50})
    wanted: dict[str, Value] = {"name": "clock", "source": CLOCK, "args": {}}
    hashed: Value = digest(Domain.SOURCE, CLOCK.encode())
    assert code(chain, "contracts", "deploy", **wanted) == "E_APPROVALS"
    approval: dict[str, Value] = {"name": "clock", "source_hash": hashed, "args": {}}
    assert code(chain, "contracts", "approve", 1, **approval) == ""
    assert code(chain, "contracts", "approve", 1, **approval) == "E_EXISTS"
    # Two of four are not more than half, and an approval of other arguments is none of this one.
    assert code(chain, "contracts", "deploy", **wanted) == "E_APPROVALS"
    assert code(chain, "contracts", "approve", 2, **{**approval, "args": {"n": 1}}) == ""
    assert code(chain, "contracts", "deploy", **wanted) == "E_APPROVALS"
    assert code(chain, "contracts", "approve", 2, **approval) == ""
    assert code(chain, "contracts", "deploy", **wanted) == ""
    # Approvals are spent: the same source needs new ones as an upgrade.
    again: dict[str, Value] = {"name": "clock", "source": CLOCK}
    assert code(chain, "contracts", "upgrade", **again) == "E_APPROVALS"


def test_organisations_vote_on_the_policy_of_deployment() -> None:
    chain = network()
    policy: Value = {"deploy_percent": 60, "deploy_roles": ["deployer"]}
    proposal: dict[str, Value] = {"kind": "set_policy", "arguments": policy}
    assert code(chain, "identity", "propose", **proposal) == ""
    for by in (1, 2):
        assert code(chain, "identity", "approve", by, proposal=1) == ""
    deployment: dict[str, Value] = {"name": "clock", "source": CLOCK, "args": {}}
    assert code(chain, "contracts", "deploy", **deployment) == "E_ROLE"


def test_a_contract_of_the_genesis_is_upgraded_by_a_majority_only() -> None:
    chain = network(None, ("clock", CLOCK))
    new = CLOCK.replace("+ 10", "+ 20")
    change: dict[str, Value] = {"name": "clock", "source": new}
    assert code(chain, "contracts", "upgrade", **change) == "E_APPROVALS"
    hashed: Value = digest(Domain.SOURCE, new.encode())
    for by in (1, 2):
        approval: dict[str, Value] = {"name": "clock", "source_hash": hashed, "args": {}}
        assert code(chain, "contracts", "approve", by, **approval) == ""
    assert code(chain, "contracts", "upgrade", **change) == ""
    raw = chain.state.get(state_key("contracts", "source", "clock"))
    assert raw is not None
    assert decode_value(raw) == new.encode()


def test_a_paused_contract_answers_views_only_until_it_is_resumed() -> None:
    chain = network()
    user = CLOCK.replace('"""Ticks."""', '"""Ticks."""\nimport clock').replace(
        "ticks.set(ticks.get() + 10)", "clock.bump()"
    )
    for name, text in (("clock", CLOCK.replace("@scheduled(every=2)\n", "")), ("user", user)):
        assert code(chain, "contracts", "deploy", name=name, source=text, args={}) == ""
    assert code(chain, "contracts", "pause", 1, name="clock") == "E_ROLE"
    assert code(chain, "contracts", "pause", name="clock") == ""
    assert code(chain, "contracts", "pause", name="clock") == "E_EXISTS"
    assert code(chain, "clock", "bump") == "E_PAUSED"
    assert code(chain, "user", "bump") == "E_PAUSED"
    assert outcome(chain, "clock", "count").ok
    assert code(chain, "contracts", "resume", name="clock") == ""
    assert code(chain, "user", "bump") == ""


def test_the_description_of_a_contract_stands_in_the_state() -> None:
    chain = network(None, ("clock", CLOCK))
    abi = state(chain, "abi", "clock")
    assert isinstance(abi, dict)
    methods = abi["methods"]
    assert isinstance(methods, list)
    assert [entry["name"] for entry in methods if isinstance(entry, dict)] == [
        "tick", "bump", "count",
    ]  # fmt: skip
    assert abi["code_hash"] == digest(Domain.SOURCE, CLOCK.encode())


def test_scheduled_methods_run_behind_the_transactions_and_fail_without_harm() -> None:
    chain = network(None, ("clock", CLOCK))
    runs = [chain.extend().receipts for _ in range(6)]
    assert [len(receipts) for receipts in runs] == [0, 1, 0, 1, 0, 1]
    first, second = runs[1][0], runs[3][0]
    assert first.ok
    assert [event.name for event in first.events] == ["Ticked"]
    # The refused run changed nothing, so the next one fails like it.
    assert second.failure is not None
    assert second.failure.message == "the second is refused"
    assert second.events == ()
    raw = chain.state.get(state_key("clock", "ticks"))
    assert raw is not None
    assert decode_value(raw) == 1
    assert len({receipt.transaction_id for receipts in runs for receipt in receipts}) == 3


def test_every_validator_computes_the_same_block_with_scheduled_runs() -> None:
    chain = network(None, ("clock", CLOCK))
    chain.extend()
    bump = signed(make_call("clock", "bump", {}), key=ADMINS[0])
    block, executed, _ = chain.build(bump)
    assert len(executed.receipts) == 2
    assert executed.gas_used == sum(receipt.gas_used for receipt in executed.receipts)
    again = check_and_execute_block(chain.parent, block, ContractEngine())
    assert again.receipts == executed.receipts


def test_runs_are_bounded_in_number_and_gas_and_what_is_left_runs_next() -> None:
    endless = CLOCK.replace("    ticks.set(ticks.get() + 1)\n", "    while True:\n        pass\n")
    names = [f"clock{n}" for n in range(RUNS_PER_BLOCK_MAX + 2)]
    chain = network(None, *((name, endless) for name in names))
    chain.extend()
    first, second = chain.extend().receipts, chain.extend().receipts
    assert [len(first), len(second)] == [RUNS_PER_BLOCK_MAX, 2]
    for receipt in (*first, *second):
        assert receipt.failure is not None
        assert receipt.failure.code == "E_OOG"
        assert receipt.gas_used == RUN_GAS_MAX
    assert [receipt.failure.contract for receipt in first if receipt.failure] == names[:8]


def test_an_upgrade_replaces_the_schedule() -> None:
    chain = network()
    assert code(chain, "contracts", "deploy", name="clock", source=CLOCK, args={}) == ""
    assert state(chain, "scheduled", ("clock", "tick")) is not None
    plain = CLOCK.replace("@scheduled(every=2)\n", "")
    assert code(chain, "contracts", "upgrade", name="clock", source=plain) == ""
    assert state(chain, "scheduled", ("clock", "tick")) is None


def test_a_scheduled_method_cannot_ask_an_exact_model() -> None:
    asking = CLOCK.replace("    ticks.set(ticks.get() + 1)\n", '    predict("sum", b"1234")\n')
    chain = network(None, ("clock", asking))
    chain.extend()
    failure = chain.extend().receipts[0].failure
    assert failure is not None
    assert failure.code == "E_MODEL"
    assert chain.source.asked == []


def test_a_chain_with_another_gas_schedule_is_refused() -> None:
    engine = ContractEngine()
    params = msgspec.structs.replace(Params(), gas_schedule=engine.gas_schedule + 1)
    identity = contract_at_genesis("identity", source("identity"), {})
    genesis = Genesis(chain_id=CHAIN, time_ms=1, params=params, contracts=(identity,))
    with pytest.raises(InvalidInput) as refused:
        genesis_state(genesis, engine)
    assert refused.value.code is Code.BAD_GENESIS
