"""Methods are prepared once and entered often; no call tells which way it was taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.codec import Dec, Value, decode_value, encode_arguments, encode_value
from contracts_py.engine import Context, Engine, Limits, Mode, Outcome
from contracts_py.engine.entrance import FLAT_FROM
from contracts_py.engine.flat import FLAT_BYTES_MAX, FlatArguments
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.engine.storage import pack
from tests.unit.contracts_py.world import ALICE, BOB, GAS, World, one

SOURCE = b"""
total = Var(int, default=0)
Seen = Event(text=str, amount=int, raw=bytes, yes=bool)


@export
def take(text: str, amount: int, raw: bytes, yes: bool) -> int:
    assert amount != 13, text
    total.set(total.get() + 1)
    Seen(text=text, amount=amount, raw=raw, yes=yes)
    return total.get()


@export(role="admin")
def guarded(amount: int):
    total.set(amount)


@export
def nothing():
    pass
"""
CONTEXT = Context(chain_id="t", height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32)
FITTING: dict[str, Value] = {"text": "x", "amount": 1, "raw": b"x", "yes": True}
EMPTY = encode_arguments({})


def host_of(source: bytes = SOURCE) -> MemoryHost:
    return MemoryHost(sources={"c": source}, roles={BOB: ("admin",)})


def call(
    engine: Engine, host: MemoryHost, args: bytes, method: str = "take", limit: int = GAS
) -> Outcome:
    return engine.execute(host, CONTEXT, "c", method, args, limit, mode=Mode.CALL)


def warm_engine(method: str = "take", args: bytes | None = None) -> Engine:
    engine, host = Engine(), host_of()
    for _ in range(FLAT_FROM):
        call(engine, host, encode_arguments(FITTING) if args is None else args, method)
    assert engine._entrances["c", method].flat is not None
    return engine


WARM = {"take": warm_engine(), "nothing": warm_engine("nothing", EMPTY)}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**256) + 1, 2**256 - 1),
    st.integers(-70_000, 70_000),
    st.text(max_size=40),
    st.binary(max_size=40),
    st.builds(Dec, st.integers(-(2**70), 2**70)),
    st.lists(st.integers(0, 9), max_size=2),
)
ARGUMENTS = st.one_of(
    st.fixed_dictionaries(
        {"text": st.text(), "amount": st.integers(-20, 2**66), "raw": st.binary(),
         "yes": st.booleans()}
    ),
    st.fixed_dictionaries(dict.fromkeys(FITTING, VALUES)),
    st.dictionaries(st.sampled_from([*FITTING, "other"]), VALUES, max_size=5),
)  # fmt: skip


def same(args: bytes, method: str = "take", limit: int = GAS) -> Outcome:
    """Call warm and cold; require that everything that remains is the same."""
    cold_host, warm_host = host_of(), host_of()
    cold = call(Engine(), cold_host, args, method, limit)
    warm = call(WARM[method], warm_host, args, method, limit)
    assert cold == warm
    assert (cold_host.state, cold_host.events) == (warm_host.state, warm_host.events)
    return cold


@given(ARGUMENTS)
def test_a_call_with_prepared_arguments_is_the_call_without(named: dict[str, Value]) -> None:
    same(encode_arguments(named))


@given(st.binary(max_size=60), st.integers(0, 60))
def test_damaged_arguments_fail_the_same_either_way(noise: bytes, place: int) -> None:
    whole = encode_arguments(FITTING)
    same(noise)
    same(whole[:place] + noise[:2] + whole[place + 2 :])


def test_another_order_spelling_or_entry_of_the_same_arguments_is_refused() -> None:
    texts = {name: pack(name) + pack(value) for name, value in FITTING.items()}  # type: ignore[arg-type] # plain
    ordered = [texts[name] for name in sorted(FITTING, key=pack)]
    assert b"\x84" + b"".join(ordered) == encode_arguments(FITTING)
    for data in (
        b"\x84" + b"".join(reversed(ordered)),
        b"\xde\x00\x04" + b"".join(ordered),
        b"\x85" + b"".join([*ordered, ordered[-1]]),
        b"\x84" + b"".join(ordered) + b"\x00",
        b"\x84" + b"".join(ordered).replace(b"\x01", b"\xcc\x01"),
        b"\x84" + b"".join(ordered).replace(b"\x01", b"\xcb\x3f\xf0" + bytes(6)),
        b"\x84" + b"".join(ordered).replace(b"\xa1x", b"\xa1\xff"),
        encode_value(list(FITTING.values())),
    ):
        outcome = same(data)
        assert outcome.failure is not None
        assert outcome.failure.code == "E_ARGS"


@pytest.mark.parametrize("amount", [0, 127, 128, 2**32, 2**63, 2**64 - 1, 2**64, -1, -(2**63)])
def test_every_size_of_number_costs_the_same_either_way(amount: int) -> None:
    assert same(encode_arguments({**FITTING, "amount": amount})).ok


def test_gas_ends_at_the_same_place_either_way() -> None:
    args = encode_arguments({**FITTING, "text": "\u00e9" * 9})
    used = same(args).gas_used
    codes = set()
    for limit in [*range(0, used, 97), used - 1, used]:
        outcome = same(args, limit=limit)
        codes.add(None if outcome.failure is None else outcome.failure.code)
    assert codes == {None, "E_OOG"}


def test_long_arguments_and_none_at_all_are_the_same_either_way() -> None:
    assert same(encode_arguments({**FITTING, "raw": bytes(FLAT_BYTES_MAX - 40)})).ok
    assert same(encode_arguments({**FITTING, "raw": bytes(2 * FLAT_BYTES_MAX)})).ok is False
    assert same(encode_arguments({**FITTING, "raw": bytes(9_000)})).ok
    assert same(EMPTY, "nothing").ok
    assert same(encode_arguments({"x": 1}), "nothing").ok is False


def test_a_reader_gives_values_in_the_order_of_the_parameters() -> None:
    reader = FlatArguments(("zz", "a", "self", "mro"), (int, str, bytes, bool))
    found = reader.read(encode_arguments({"zz": 5, "a": "b", "self": b"c", "mro": True}))
    assert found is not None
    assert found[0] == [5, "b", b"c", True]
    assert reader.read(encode_arguments({"zz": 5, "a": "b", "self": b"c", "mro": 1})) is None


def test_access_is_checked_in_every_call() -> None:
    engine, host = Engine(), host_of()
    args = encode_arguments({"amount": 1})
    host.roles[ALICE] = ("admin",)
    for _ in range(FLAT_FROM + 1):
        assert call(engine, host, args, "guarded").ok
    del host.roles[ALICE]
    refused = call(engine, host, args, "guarded")
    assert refused.failure is not None
    assert refused.failure.code == "E_ACCESS"
    assert refused == call(Engine(), host, args, "guarded")


def world_of(change: Callable[[World], object]) -> str:
    """Call a method often, change something, call again; gives the failure's code."""
    world = one("v = Var(int, default=0)\n\n@export\ndef f(n: int) -> int:\n    return n + 1\n")
    for number in range(FLAT_FROM + 2):
        assert world.value("c", "f", n=number) == number + 1
    change(world)
    return world.code("c", "f", n=1)


def test_a_contract_that_is_paused_upgraded_or_gone_is_not_entered_as_before() -> None:
    assert world_of(lambda world: world.host.paused.add("c")) == "E_PAUSED"
    assert world_of(lambda world: world.host.sources.pop("c")) == "E_NO_CONTRACT"
    assert world_of(lambda world: world.put("c", "@export\ndef g():\n    pass\n")) == "E_NO_FUNC"
    text = "@export\ndef f(n: str) -> str:\n    return n\n"
    assert world_of(lambda world: world.put("c", text)) == "E_ARGS"
    bad = {"c": b"import os.path\n"}
    assert world_of(lambda world: world.host.sources.update(bad)) == "E_REFUSED"


def test_an_equal_source_of_another_host_is_entered_as_prepared() -> None:
    engine = warm_engine()
    known = engine._entrances["c", "take"]
    source = bytes(bytearray(SOURCE))
    assert call(engine, host_of(source), encode_arguments(FITTING)).ok
    assert engine._entrances["c", "take"] is known
    assert known.source is source


def test_a_contract_that_is_no_longer_kept_compiled_is_not_kept_prepared_either() -> None:
    engine = Engine(Limits(compiled_max=1))
    host = host_of()
    call(engine, host, EMPTY, "nothing")
    host.sources["d"] = b"@export\ndef f():\n    pass\n"
    assert engine.execute(host, CONTEXT, "d", "f", EMPTY, GAS, mode=Mode.CALL).ok
    assert list(engine._entrances) == [("d", "f")]
    assert decode_value(call(engine, host, encode_arguments(FITTING)).result) == 1


def test_prepared_methods_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contracts_py.engine.engine.ENTRANCES_KEPT_MAX", 2)
    engine, host = Engine(), host_of()
    for name in ("c", "d", "e"):
        host.sources[name] = SOURCE
        assert engine.execute(host, CONTEXT, name, "nothing", EMPTY, GAS, mode=Mode.CALL).ok
    assert len(engine._entrances) == 1
