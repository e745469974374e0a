"""Engine: entering, arguments, access, other contracts, failure, gas."""

from __future__ import annotations

import pytest

from andon.core.codec import Dec, Value, encode_value
from contracts_py.engine import DEFAULT_LIMITS, Context, Engine, Limits, Mode
from tests.unit.contracts_py.world import ALICE, BOB, GAS, World, one

COUNTER = """
count = Var(int, default=0)
Counted = Event(by=int, indexed=("by",))

@export
def add(by: int = 1) -> int:
    count.set(count.get() + by)
    Counted(by=by)
    assert by != 13, "unlucky"
    return count.get()

@view
def read() -> int:
    return count.get()

def hidden() -> int:
    return 1
"""

CALLER = """
import counter
seen = Var(int, default=0)

@export
def twice(by: int) -> int:
    counter.add(by=by)
    return counter.add(by=by)

@export
def attempt(by: int, most: int) -> tuple:
    seen.set(7)
    return try_call("counter", "add", {"by": by}, most)

@view
def sneaky() -> int:
    return counter.add(by=1)

@view
def peek() -> int:
    return counter.read()
"""


def both() -> World:
    return World().put("counter", COUNTER).put("caller", CALLER)


def test_call_changes_state_and_records_the_event() -> None:
    world = both()
    assert world.value("counter", "add", by=4) == 4
    assert world.state("counter", "count") == 4
    assert world.events() == [("Counted", {"by": 4})]


def test_default_stands_for_a_missing_argument() -> None:
    assert both().value("counter", "add") == 1


def test_failed_call_leaves_nothing_and_tells_place_and_message() -> None:
    world = both()
    outcome = world.run("counter", "add", by=13)
    failure = outcome.failure
    assert failure is not None
    assert (failure.code, failure.contract, failure.method) == ("E_ASSERT", "counter", "add")
    assert (failure.line, failure.message) == (9, "unlucky")
    assert world.host.state == {}
    assert world.host.events == []
    assert outcome.gas_used > 0


@pytest.mark.parametrize(
    ("method", "args", "code"),
    [
        ("add", {"by": True}, "E_ARGS"),
        ("add", {"by": "1"}, "E_ARGS"),
        ("add", {"other": 1}, "E_ARGS"),
        ("add", {"by": 1, "extra": 2}, "E_ARGS"),
        ("hidden", {}, "E_NO_FUNC"),
        ("nothing", {}, "E_NO_FUNC"),
        ("__init__", {}, "E_NO_FUNC"),
    ],
)
def test_wrong_entry_is_refused(method: str, args: dict[str, Value], code: str) -> None:
    assert both().code("counter", method, **args) == code


def test_unknown_contract_and_bytes_that_are_no_arguments_are_failures() -> None:
    world = both()
    assert world.code("nobody", "add") == "E_NO_CONTRACT"
    context = Context(chain_id="test", height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32)
    for args in (b"", b"\xc0", b"\x81\x01\x01", b"\x81\xa2by\xcc\x01"):
        outcome = world.engine.execute(
            world.host, context, "counter", "add", args, GAS, mode=Mode.CALL
        )
        assert outcome.failure is not None
        assert outcome.failure.code == "E_ARGS"


def test_view_mode_enters_views_only() -> None:
    world = both()
    assert world.run("counter", "read", mode=Mode.VIEW).ok
    failed = world.run("counter", "add", mode=Mode.VIEW).failure
    assert failed is not None
    assert failed.code == "E_NO_FUNC"


def test_views_cannot_write_emit_or_enter_writers() -> None:
    source = """
v = Var(int, default=0)
m = Map(key=str, value=int)
E = Event(x=int)
@view
def write() -> any:
    v.set(1)
@view
def put() -> any:
    m["a"] = 1
@view
def gone() -> any:
    m.remove("a")
@view
def tell() -> any:
    E(x=1)
"""
    world = one(source)
    for method in ("write", "put", "gone", "tell"):
        assert world.code("c", method) == "E_ACCESS"
    assert both().code("caller", "sneaky") == "E_ACCESS"
    assert both().value("caller", "peek") == 0


def test_calls_between_contracts_share_the_transaction() -> None:
    world = both()
    assert world.value("caller", "twice", by=2) == 4
    assert world.code("caller", "twice", by=13) == "E_ASSERT"


def test_try_call_undoes_the_callee_alone_and_gives_its_code() -> None:
    world = both()
    assert world.value("caller", "attempt", by=13, most=100_000) == (False, "E_ASSERT")
    assert world.state("counter", "count") is None
    assert world.state("caller", "seen") == 7
    assert world.events() == []
    assert world.value("caller", "attempt", by=1, most=100_000) == (True, 1)


def test_gas_slice_bounds_the_callee_and_not_the_caller() -> None:
    world = both()
    assert world.value("caller", "attempt", by=1, most=700) == (False, "E_OOG")


def test_reentry_is_refused_unless_the_method_allows_it() -> None:
    source = """
@export
def outer(target: str, method: str) -> any:
    return call(target, method, {})
@export
def closed() -> int:
    return 1
@export(reentrant=True)
def opened() -> int:
    return 2
"""
    relay = """
@export
def back(method: str) -> any:
    return call("c", method, {})
@export
def closed() -> any:
    return call("c", "closed", {})
@export
def opened() -> any:
    return call("c", "opened", {})
"""
    world = one(source).put("relay", relay)
    assert world.code("c", "outer", target="relay", method="closed") == "E_REENTRANT"
    assert world.value("c", "outer", target="relay", method="opened") == 2
    assert world.code("c", "outer", target="c", method="closed") == "E_REENTRANT"


def test_arguments_and_results_are_copied_between_contracts() -> None:
    lib = """
kept = Var(list)
@export
def touch(items: list) -> list:
    items.append(9)
    kept.set(items)
    return items
"""
    user = """
import lib
@export
def use() -> list:
    items = [1]
    got = lib.touch(items=items)
    got.append(5)
    return [items, got, lib.touch(items=[2])]
"""
    world = World().put("lib", lib).put("user", user)
    assert world.value("user", "use") == [[1], [1, 9, 5], [2, 9]]
    assert world.state("lib", "kept") == [2, 9]


def test_caller_and_sender_are_told_apart() -> None:
    who = """
@view
def ask() -> list:
    return [ctx.caller, ctx.sender, ctx.this, ctx.height, ctx.org]
"""
    relay = """
import who
@view
def ask() -> any:
    return who.ask()
"""
    world = World().put("who", who).put("relay", relay)
    world.host.organisations[ALICE] = "acme"
    assert world.value("who", "ask") == [ALICE, ALICE, "who", 5, "acme"]
    assert world.value("relay", "ask") == ["relay", ALICE, "who", 5, "acme"]


def test_roles_and_organisation_bind_the_sending_account() -> None:
    source = """
@export(role=("operator", "admin"))
def work() -> int:
    return 1
@export(org="acme")
def ours() -> int:
    return 2
"""
    relay = """
import c
@export
def work() -> int:
    return c.work()
"""
    world = one(source).put("relay", relay)
    assert world.code("c", "work") == "E_ACCESS"
    world.host.roles[ALICE] = ("admin",)
    assert world.value("c", "work") == 1
    assert world.code("relay", "work") == "E_ACCESS"
    assert world.code("c", "ours") == "E_ACCESS"
    world.host.organisations[BOB] = "acme"
    assert world.value("c", "ours", sender=BOB) == 2


def test_init_and_migrate_run_only_in_their_modes() -> None:
    source = """
v = Var(int, default=0)
@init
def begin(at: int):
    v.set(at)
@migrate
def onwards():
    v.set(v.get() * 10)
@scheduled(every=5)
def tick():
    v.set(v.get() + 1)
@export
def get() -> int:
    return v.get()
"""
    world = World().put("c", source, at=3)
    assert world.code("c", "begin", at=4) == "E_NO_FUNC"
    assert world.code("c", "onwards") == "E_NO_FUNC"
    assert world.run("c", "", mode=Mode.MIGRATE).ok
    assert world.run("c", "tick", mode=Mode.SCHEDULED).ok
    assert world.value("c", "get") == 31


def test_contract_without_init_takes_no_arguments() -> None:
    world = World()
    world.host.sources["c"] = COUNTER.encode()
    assert world.run("c", "", mode=Mode.INIT).ok
    failed = world.run("c", "", mode=Mode.INIT, x=1).failure
    assert failed is not None
    assert failed.code == "E_ARGS"


def test_gas_used_is_exactly_what_a_limit_needs() -> None:
    world = both()
    assert world.run("counter", "add", by=2).ok
    used = world.run("counter", "add", by=2).gas_used
    assert world.run("counter", "add", by=2, limit=used).ok
    short = world.run("counter", "add", by=2, limit=used - 1)
    assert short.failure is not None
    assert (short.failure.code, short.gas_used) == ("E_OOG", used - 1)


def test_gas_is_the_same_cold_and_warm() -> None:
    world = both()
    world.value("counter", "add", by=2)
    warm = world.run("counter", "add", by=2).gas_used
    world.engine = Engine()
    assert world.run("counter", "add", by=2).gas_used == warm


def test_result_of_the_wrong_type_is_a_failure() -> None:
    world = one("@export\ndef f() -> int:\n    return 'x'\n")
    assert world.code("c", "f") == "E_TYPE"


def test_fault_of_the_host_passes_through() -> None:
    class Broken(Exception):
        pass

    world = one('@export\ndef f() -> any:\n    return predict("m", b"x")\n')

    def model(window: bytes) -> None:
        raise Broken

    world.host.models["m"] = model  # type: ignore[assignment] # breaks on purpose
    with pytest.raises(Broken):
        world.run("c", "f")


@pytest.mark.parametrize(
    ("limits", "kept"),
    [(Limits(compiled_max=5), 5), (Limits(compiled_bytes_max=60), 10), (DEFAULT_LIMITS, 300)],
)
def test_what_stays_compiled_is_bounded_by_count_and_bytes(limits: Limits, kept: int) -> None:
    engine = Engine(limits)
    sources = [f"x={number}\n".encode() for number in range(100, 400)]
    assert {len(source) for source in sources} == {6}
    for source in sources:
        engine.check(source)
    assert len(engine._compiled) == kept


def test_abi_describes_methods_variables_and_events() -> None:
    abi = Engine().check(COUNTER.encode()).abi()
    methods = abi["methods"]
    assert isinstance(methods, list)
    assert [m["name"] for m in methods if isinstance(m, dict)] == ["add", "read"]
    assert abi["variables"] == [{"name": "count", "key": None, "value": "int"}]
    assert abi["events"] == [
        {"name": "Counted", "fields": [{"name": "by", "type": "int", "indexed": True}]}
    ]
    assert encode_value(abi)


def test_static_bound_is_never_below_the_gas_used() -> None:
    source = """
v = Var(int, default=0)
def step(n: int) -> int:
    return n * 3 if n % 2 else n // 2
@export
def bounded(n: int) -> int:
    total = 0
    for i in range(20):
        if i > 3 and n > 0:
            total += step(n)
        else:
            total -= 1
    v.set(total)
    return total
@export
def unbounded(n: int) -> int:
    total = 0
    while total < n:
        total += 1
    return total
"""
    world = one(source)
    methods = world.engine.check(source.encode()).methods
    bound = methods["bounded"].gas_bound
    assert bound is not None
    overhead = 2_000
    for n in (0, 1, 7):
        assert world.run("c", "bounded", n=n).gas_used <= bound + overhead
    assert methods["unbounded"].gas_bound is None


def test_decimals_cross_the_boundary() -> None:
    world = one("@export\ndef half(x: dec) -> dec:\n    return x / 2\n")
    assert world.value("c", "half", x=Dec(10**18)) == Dec(5 * 10**17)
