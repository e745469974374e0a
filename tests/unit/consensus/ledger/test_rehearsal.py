"""An upgrade is rehearsed on the state of a chain: what it would do, and nothing done."""

from __future__ import annotations

from andon.core.codec import Value, decode_value
from andon.core.state_key import state_key
from andon.core.transaction import make_call
from consensus.ledger import BlockExecution, Environment, Outcome
from tests.unit.consensus.ledger.test_lifecycle import ADMINS, CLOCK, code, network
from tests.unit.consensus.ledger.world import CHAIN, Chain

GAS = 50_000_000
COUNTER = """total = Var(int, default=0)
marks = Map(key=str, value=int)


@export
def add(name: str):
    total.set(total.get() + 1)
    marks[name] = total.get()
"""
MIGRATING = (
    COUNTER
    + """

@migrate
def rescale():
    for row in marks.page(None, 10):
        marks[row[0]] = row[1] * 100
    total.set(total.get() * 100)
"""
)


def counted() -> Chain:
    chain = network()
    assert code(chain, "contracts", "deploy", name="counter", source=COUNTER, args={}) == ""
    for name in ("a", "b"):
        assert code(chain, "counter", "add", name=name) == ""
    return chain


def rehearse(chain: Chain, by: int = 0, **args: Value) -> Outcome:
    header = chain.parent.header
    environment = Environment(
        chain_id=CHAIN, epoch=header.epoch, height=header.height + 1, time_ms=header.time_ms + 1,
        params=chain.parent.params,
    )  # fmt: skip
    execution = BlockExecution(chain.state, environment, chain.engine, chain.source)
    call = make_call("contracts", "upgrade", args)
    return execution.view(call, ADMINS[by].public, GAS)


def table(outcome: Outcome) -> dict[str, Value]:
    assert outcome.ok, outcome.failure
    found = decode_value(outcome.result)
    assert isinstance(found, dict)
    return {str(name): value for name, value in found.items()}


def test_a_rehearsal_tells_gas_and_keys_and_changes_nothing() -> None:
    chain = counted()
    before = chain.state.get(state_key("counter", "total")), chain.parent.hash
    found = table(rehearse(chain, name="counter", source=MIGRATING))
    keys: Value = [["counter", "marks", "a"], ["counter", "marks", "b"], ["counter", "total", None]]
    assert (found["version"], found["read"], found["written"]) == (2, keys, keys)
    assert (found["reads"], found["writes"]) == (3, 3)
    assert (chain.state.get(state_key("counter", "total")), chain.parent.hash) == before
    assert code(chain, "counter", "add", name="c") == ""


def test_the_upgrade_costs_what_its_rehearsal_said() -> None:
    chain = counted()
    found = table(rehearse(chain, name="counter", source=MIGRATING))
    call = make_call("contracts", "upgrade", {"name": "counter", "source": MIGRATING})
    # A receipt has the price of its transaction, too: the same for every transaction of its size.
    environment = Environment(
        chain_id=CHAIN, epoch=0, height=9, time_ms=9, params=chain.parent.params
    )
    execution = BlockExecution(chain.state, environment, chain.engine, chain.source)
    assert execution.view(call, ADMINS[0].public, GAS).gas_used == found["gas_used"]
    assert code(chain, "contracts", "upgrade", name="counter", source=MIGRATING) == ""
    assert chain.state.get(state_key("counter", "total")) == b"\xcc\xc8"


def test_a_refused_upgrade_says_why() -> None:
    chain = counted()
    failing = MIGRATING.replace(
        "total.set(total.get() * 100)", 'assert False, "not with this state"'
    )
    assert rehearse(chain, name="counter", source=failing).failure is not None
    for by, source, wanted in (
        (0, failing, ("E_ASSERT", "not with this state")),
        (0, COUNTER + "import os.path\n", ("E_REFUSED", "import")),
        (1, MIGRATING, ("E_ROLE", "belongs to another organisation")),
    ):
        failure = rehearse(chain, by, name="counter", source=source).failure
        assert failure is not None
        assert failure.code == wanted[0]
        assert wanted[1] in failure.message or wanted[0] == "E_REFUSED"


def test_organisations_see_an_upgrade_before_they_approve_it() -> None:
    chain = network({"deploy_percent": 50}, ("clock", CLOCK))
    changed = CLOCK.replace("+ 10", "+ 20")
    assert table(rehearse(chain, name="clock", source=changed))["version"] == 2
    assert code(chain, "contracts", "upgrade", name="clock", source=changed) == "E_APPROVALS"
