"""The world of contract authors: deploy, call, go back, let time pass, profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from andon.core.codec import Dec
from contracts_py.engine import ContractRefused, Profile
from models.commands import open_package
from node.testing.contracts import CallFailed, Contracts

ROOT = Path(__file__).resolve().parents[4]
COUNTER = '''"""Counts."""
counts = Map(key=str, value=int, default=0)
Counted = Event(name=str, count=int)


@init
def setup(start: int = 0):
    assert start >= 0, "not below nothing"
    counts["all"] = start


@export(role="operator")
def count(name: str, times: int) -> int:
    for i in range(times):
        counts[name] += 1
    Counted(name=name, count=counts[name])
    return counts[name]


@scheduled(every=3)
def sweep():
    counts["sweeps"] += 1


@view
def of(name: str) -> int:
    return counts[name]
'''


def make() -> tuple[Contracts, bytes]:
    world = Contracts()
    world.deploy("counter", COUNTER, start=5)
    return world, world.member("operator", "operator")


def test_a_call_tells_value_events_gas_and_what_it_touched() -> None:
    world, operator = make()
    called = world.attempt("counter.count", sender=operator, name="a", times=2)
    assert (called.ok, called.value) == (True, 2)
    assert called.events == (("counter", "Counted", {"name": "a", "count": 2}),)
    assert [key[-2:] for key in called.writes] == [b"\xa1a"]
    assert called.writes == called.reads
    assert world.state("counter", "counts", "a") == 2
    assert called.gas_used > 2_000


def test_a_failed_call_raises_with_code_and_line() -> None:
    world, _ = make()
    with pytest.raises(CallFailed) as failed:
        world.call("counter.count", name="a", times=1)
    assert failed.value.code == "E_ACCESS"
    assert world.attempt("counter.count", name="a", times=1).code == "E_ACCESS"


def test_what_is_refused_or_fails_is_not_deployed() -> None:
    world = Contracts()
    with pytest.raises(ContractRefused):
        world.deploy("bad", "x = 0.5\n")
    with pytest.raises(CallFailed, match="not below nothing"):
        world.deploy("counter", COUNTER, start=-1)
    assert world.attempt("counter.of", name="a").code == "E_NO_CONTRACT"


def test_a_snapshot_can_be_restored_more_than_once() -> None:
    world, operator = make()
    before = world.snapshot()
    for _ in range(2):
        assert world.call("counter.count", sender=operator, name="a", times=3) == 3
        world.travel(4)
        world.restore(before)
        assert (world.height, world.call("counter.of", name="a")) == (1, 0)


def test_a_dry_run_changes_nothing() -> None:
    world, operator = make()
    called = world.dry_run("counter.count", sender=operator, name="a", times=3)
    assert called.value == 3
    assert world.call("counter.of", name="a") == 0


def test_scheduled_methods_run_as_time_passes() -> None:
    world, _ = make()
    runs = world.travel(7)
    assert [run.ok for run in runs] == [True, True]
    assert world.call("counter.of", name="sweeps") == 2


def test_an_upgrade_keeps_state_and_replaces_the_schedule() -> None:
    world, _ = make()
    world.upgrade("counter", COUNTER.replace("@scheduled(every=3)\n", ""))
    assert world.travel(7) == []
    assert world.call("counter.of", name="all") == 5


def test_a_model_is_a_function_or_a_real_package() -> None:
    world = Contracts()
    asking = (
        '"""Asks."""\n\n\n@export\ndef ask(model: str, window: bytes) -> dec:\n'
        "    return predict(model, window)\n"
    )
    world.deploy("asks", asking)
    world.model("fake", len, scale=(1, 2))
    assert world.call("asks.ask", model="fake", window=b"abc") == Dec(15 * 10**17)
    path = ROOT / "models" / "packages" / "rul-demo"
    world.real_model("real", path)
    assert world.attempt("asks.ask", model="real", window=b"abc").code == "E_MODEL_INPUT"
    package = open_package(path)
    golden, manifest = package.golden, package.manifest
    value = world.call("asks.ask", model="real", window=golden.windows[0])
    assert value == Dec(golden.outputs[0][0] * manifest.scale_num * 10**18 // manifest.scale_den)


def test_lines_and_entry_add_up_to_the_gas_of_the_receipt() -> None:
    profile = Profile()
    world = Contracts(profile=profile)
    world.deploy("counter", COUNTER, start=5)
    caller = (
        '"""Calls."""\nimport counter\n\n\n@export\ndef twice() -> int:\n'
        '    a = counter.of(name="all")\n    b = try_call("counter", "count", {}, 9000)\n'
        "    return a\n"
    )
    world.deploy("caller", caller)
    operator = world.member("operator", "operator")
    profile.lines.clear()
    called = world.attempt("counter.count", sender=operator, name="a", times=4)
    lines = {line: (found.gas, found.count) for (_, line), found in profile.lines.items()}
    assert sorted(lines) == [14, 15, 16, 17]
    assert lines[15][1] == 4
    entry = called.gas_used - profile.total()
    profile.lines.clear()
    longer = world.attempt("counter.count", sender=operator, name="a", times=40)
    assert longer.gas_used - profile.total() == entry
    profile.lines.clear()
    outside = world.attempt("caller.twice")
    assert outside.value == 5
    assert {contract for contract, _ in profile.lines} == {"caller", "counter"}
    assert 0 < outside.gas_used - profile.total() < 2_500


def test_a_profile_changes_neither_gas_nor_results() -> None:
    plain, operator = make()
    profiled = Contracts(profile=Profile())
    profiled.deploy("counter", COUNTER, start=5)
    profiled.member("operator", "operator")
    for times in (0, 7):
        left = plain.attempt("counter.count", sender=operator, name="a", times=times)
        assert left == profiled.attempt("counter.count", sender=operator, name="a", times=times)


def test_contracts_of_the_library_are_at_hand() -> None:
    world = Contracts()
    world.use("token", title="points")
    assert world.call("token.total") == 0
