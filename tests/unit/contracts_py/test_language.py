"""The language: what values do, and how sources are refused."""

from __future__ import annotations

import pytest

from andon.core.codec import Dec, Key, Value
from contracts_py.engine import (
    ContractRefused,
    Engine,
    Outcome,
    Prediction,
    PredictionFailed,
    host_builtins,
)
from tests.unit.contracts_py.world import ALICE, GAS, constant_model, one

UNIT = 10**18


JUMPS = """n = 0
for i in range(10):
    if i == 3:
        continue
    if i == 6:
        break
    n += i
return n"""


def result(body: str, **args: Value) -> Value:
    """Run statements as the body of an export with parameter a = 1."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    world = one("@export\ndef f(a: any = 1) -> any:\n" + lines)
    return world.value("c", "f", **args)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("return [7 // 2, -7 // 2, 7 % -2, 2 ** 10, 6 & 3, 6 | 3, 6 ^ 3, ~5, 1 << 4, 9 >> 1]",
         [3, -4, -1, 1024, 2, 7, 5, -6, 16, 4]),
        ("return [1 < 2 <= 2 < 3, 3 > 2 > 2, not a, a and 5, 0 or 'x']",
         [True, False, False, 5, "x"]),
        ("return 'yes' if a > 0 else 'no'", "yes"),
        ("return [x * y for x in [1, 2, 3] if x != 2 for y in [10, 20]]", [10, 20, 30, 60]),
        ("return [k + v for k, v in {'a': 'b', 'c': 'd'}.items()]", ["ab", "cd"]),
        ("b, c = 1, (2, 3)\nreturn [b, c]", [1, (2, 3)]),
        ("b = [1, 2, 3]\nb[-1] += 5\nb.insert(0, 9)\nreturn [b, b.pop(), b[1:], b[:-1]]",
         [[9, 1, 2], 8, [1, 2], [9, 1]]),
        (JUMPS, 12),
        ("n = 0\nwhile n < 5:\n    n += 2\nreturn n", 6),
        ("return [sorted([3, 1, 2]), sorted(['b', 'a']), min(3, 1), max([1, 5]), sum([1, 2])]",
         [[1, 2, 3], ["a", "b"], 1, 5, 3]),
        ("return [len('abc'), 'a-b'.split('-'), '-'.join(['x', 'y']), ' x '.strip(), 'ab'.upper()]",
         [3, ["a", "b"], "x-y", "x", "AB"]),
        ("return ['abc'.replace('b', 'xx'), 'abc'.find('c'), 'aa'.count('a'), 'a1'[1].isdigit()]",
         ["axxc", 2, 2, True]),
        ("return [b'ab'.hex(), from_hex('6162'), 'hi'.encode().decode(), b'abc'[1]]",
         ["6162", b"ab", "hi", 98]),
        ("return [zip([1, 2], ['a', 'b']), enumerate(['x']), reversed([1, 2]), list(range(3))]",
         [[(1, "a"), (2, "b")], [(0, "x")], [2, 1], [0, 1, 2]]),
        ("return [any([0, 1]), all([1, 0]), abs(-3), bool(dec(0)), int('-12'), str(12)]",
         [True, False, 3, False, -12, "12"]),
        ("return [dec('1.5') + 1, dec('0.1') * 3, dec(1) / 4, floor(dec('-1.5')), ceil(dec(1))]",
         [Dec(25 * UNIT // 10), Dec(3 * UNIT // 10), Dec(UNIT // 4), -2, 1]),
        ("return [dec('1.50') == dec('1.5'), dec(2) > 1, str(dec('-0.25')), int(dec('-1.9'))]",
         [True, True, "-0.25", -1]),
        ("b = {'x': 1}\nb['y'] = 2\nb.update({'z': 3})\nreturn [b.get('q', 0), b.pop('x'), b]",
         [0, 1, {"y": 2, "z": 3}]),
        ("return ['a' in 'abc', 2 in [1, 2], 'k' in {'k': 1}, 3 not in (1, 2)]",
         [True, True, True, True]),
        ("b = None\nreturn [b is None, b is not None, b == None]", [True, False, True]),
        ("x: int = 4\nreturn f'{x} and {x * 2}'", "4 and 8"),
        ("return decode(encode({'a': [1, dec('0.5'), (2, None)]}))",
         {"a": [1, Dec(UNIT // 2), (2, None)]}),
        ("return [decide(10, 5, 2), decide(3, 5, 2), decide(2, 5, 2), decide(dec('7.1'), 5, 2)]",
         ["ABOVE", "UNDECIDED", "BELOW", "ABOVE"]),
    ],
)  # fmt: skip
def test_value(body: str, value: Value) -> None:
    assert result(body) == value


def test_functions_have_defaults_keywords_and_recursion() -> None:
    source = """
STEP = 2
def power(base: int, exponent: int = STEP) -> int:
    if exponent == 0:
        return 1
    return base * power(base, exponent=exponent - 1)
@export
def f() -> list:
    return [power(3), power(exponent=3, base=2)]
"""
    assert one(source).value("c", "f") == [9, 8]


def test_map_reads_copies_writes_pages_and_defaults() -> None:
    source = """
m = Map(key=str, value=dict)
n = Map(key=(str, int), value=int, default=7)
@export
def fill():
    m["a"] = {"v": 1}
    m["b"] = {"v": 2}
    m["c"] = {"v": 3}
    item = m["a"]
    item["v"] = 99
    n["x", 1] += 1
@view
def look() -> list:
    return [m["a"], m.get("z"), m.get("z", 5), "b" in m, "z" in m, n["x", 1], n["y", 2]]
@view
def pages() -> list:
    first = m.page(None, 2)
    return [first, m.page(first[1][0], 2)]
@export
def drop():
    m.remove("b")
"""
    world = one(source)
    world.value("c", "fill")
    assert world.value("c", "look") == [{"v": 1}, None, 5, True, False, 8, 7]
    assert world.value("c", "pages") == [
        [["a", {"v": 1}], ["b", {"v": 2}]],
        [["c", {"v": 3}]],
    ]
    world.value("c", "drop")
    assert world.state("c", "m", "b") is None


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("m[1] = 1", "E_TYPE"),
        ('m["a"] = "x"', "E_TYPE"),
        ('m["a"] = True', "E_TYPE"),
        ('return m["nothing"]', "E_KEY"),
        ("return v.get()", "E_KEY"),
        ('m["' + "k" * 480 + '"] = 1', "E_KEY"),
        ('E(x="y")', "E_TYPE"),
    ],
)
def test_schema_of_state_and_events_is_checked(call: str, code: str) -> None:
    source = f"""
m = Map(key=str, value=int)
v = Var(int)
E = Event(x=int)
@export
def f() -> any:
    {call}
"""
    assert one(source).code("c", "f") == code


def test_predictions_are_decimals_scaled_by_the_model() -> None:
    source = """
@export
def one(w: any) -> any:
    return predict("m", w)
@export
def many(w: bytes, n: int) -> any:
    return predict_many("m", w, n)
"""
    world = one(source)
    seen: list[bytes] = []

    def model(window: bytes):  # type: ignore[no-untyped-def] # noqa: ANN202 - a Prediction
        seen.append(window)
        return constant_model(window[0]) if window[0] else constant_model(1, -25)

    world.host.models["m"] = model
    assert world.value("c", "one", w=b"\x15") == Dec(21 * UNIT // 10)
    assert world.value("c", "one", w=[0, -128, 127]) == [Dec(UNIT // 10), Dec(-25 * UNIT // 10)]
    assert seen[-1] == b"\x00\x80\x7f"
    assert world.value("c", "many", w=b"\x01\x02\x03", n=3) == [
        Dec(UNIT // 10), Dec(2 * UNIT // 10), Dec(3 * UNIT // 10),
    ]  # fmt: skip


@pytest.mark.parametrize("windows", [b"", b"ab" * 8, b"ab" * 3 + b"\x80b", b"ab" * 5])
def test_many_predictions_at_once_cost_and_give_what_they_do_one_by_one(
    windows: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
@export
def many(w: bytes, n: int) -> any:
    return predict_many("m", w, n)
@export
def listed(w: list) -> any:
    return predict_many("m", w)
"""

    def model(window: bytes) -> Prediction:
        if window[0] == 0x80:
            raise PredictionFailed("E_MODEL_INPUT", "never -128")
        return constant_model(window[0], -window[-1])

    def outcomes(limits: list[int]) -> list[Outcome]:
        world = one(source)
        world.host.models["m"] = model
        pieces: list[Value] = [windows[at : at + 2] for at in range(0, len(windows), 2)]
        found = []
        for limit in limits:
            found.append(world.run("c", "many", limit=limit, w=windows, n=len(windows) // 2))
            found.append(world.run("c", "listed", limit=limit, w=pieces))
            found.append(world.run("c", "listed", limit=limit, w=[*pieces, b"abc"]))
        return found

    used = max(outcome.gas_used for outcome in outcomes([GAS]))
    limits = [*range(1, used + 900, 233), GAS]
    at_once = outcomes(limits)
    # An empty text is in every input, so nothing counts as sound: one by one.
    monkeypatch.setattr(host_builtins, "_LEAST", b"")
    assert at_once == outcomes(limits)


def test_a_request_is_a_call_of_the_standard_contract_with_a_callback_of_this_one() -> None:
    source = """
@export
def ask() -> int:
    return request("m", [1, -1], "ask")
@export
def vain() -> int:
    return request("m", b"x", "helper")
@view
def look() -> int:
    return request("m", b"x", "ask")
def helper():
    pass
"""
    world = one(source)
    assert world.code("c", "ask") == "E_NO_CONTRACT"
    standard = """
asked = Var(list)
@export
def ask(model: str, window: bytes, callback: str) -> int:
    asked.set([model, window, callback, ctx.caller])
    return 7
"""
    world.put("predictions", standard)
    assert world.value("c", "ask") == 7
    assert world.state("predictions", "asked") == ["m", b"\x01\xff", "ask", "c"]
    assert world.code("c", "vain") == "E_NO_FUNC"
    assert world.code("c", "look") == "E_ACCESS"


def test_gas_left_counts_down_to_what_the_receipt_says() -> None:
    source = "@export\ndef f() -> list:\n    first = gas_left()\n    return [first, gas_left()]\n"
    world = one(source)
    found = world.value("c", "f")
    assert isinstance(found, list)
    first, second = found
    assert isinstance(first, int)
    assert isinstance(second, int)
    assert GAS > first >= second >= GAS - world.run("c", "f").gas_used


def test_price_of_the_model_is_charged() -> None:
    source = '@export\ndef f() -> any:\n    return predict("m", b"x")\n'
    world = one(source)
    world.host.models["m"] = lambda window: constant_model(len(window))
    used = world.run("c", "f").gas_used
    assert used > 1_000
    assert not world.run("c", "f", limit=used - 1).ok


@pytest.mark.parametrize(
    ("source", "rule", "line"),
    [
        ("x = 1.5\n", "number", 1),
        ("def f():\n    return y\n", "name", 2),
        ("def f():\n    try:\n        pass\n    except:\n        pass\n", "keyword", 2),
        ("def f():\n    return [1].sort(key=1)\n", "call", 2),
        ("class A:\n    pass\n", "keyword", 1),
        ("x = [1]\n", "literal", 1),
        ("m = Map(key=str)\n", "declaration", 1),
        ("@export\ndef f(a):\n    pass\n", "parameter", 2),
        ("def f(a: float):\n    pass\n", "type", 1),
        ("x = 1\nx = 2\n", "name", 2),
        ("import os, sys\nfrom os import path\n", "keyword", 2),
        ("def f(:)\n    pass\n", "syntax", 0),
    ],
)
def test_refusal_names_rule_and_line(source: str, rule: str, line: int) -> None:
    with pytest.raises(ContractRefused) as caught:
        Engine().check(source.encode())
    assert (caught.value.fields["rule"], caught.value.fields["line"]) == (rule, line)


def test_refusal_tells_the_fix() -> None:
    with pytest.raises(ContractRefused) as caught:
        Engine().check(b"m = Map(key=str, value=dict)\ndef f():\n    m['a']['b'] = 1\n")
    assert caught.value.fix == "item = map[key]; change item; map[key] = item"
    assert caught.value.column == 5


def test_hash_has_the_tag_of_contracts() -> None:
    import hashlib

    assert result("return hash256(b'x')") == hashlib.sha256(b"andon/contract\0x").digest()
    assert result("return sha256(b'x')") == hashlib.sha256(b"x").digest()


def test_signature_of_a_message_is_checked() -> None:
    from andon.core.keys import PrivateKey

    key = PrivateKey(b"k" * 32)
    signature = key.sign(b"andon/contract-message\0hello")
    args: list[Value] = [key.public, b"hello", signature]
    assert result("return signature_is_valid(a[0], a[1], a[2])", a=args) is True
    args[1] = b"hellO"
    assert result("return signature_is_valid(a[0], a[1], a[2])", a=args) is False


def test_arguments_with_keys_outside_the_language_are_failures() -> None:
    key: Key = True
    world = one("@export\ndef f(a: dict) -> any:\n    return a\n")
    assert world.code("c", "f", a={key: 1}) == "E_KEY"
    assert world.code("c", "f", sender=ALICE, a={(1, 2): 1}) == "E_KEY"


def test_page_goes_over_the_parts_that_the_host_is_asked_for() -> None:
    source = """
m = Map(key=int, value=int)
@export
def fill(n: int):
    for i in range(n):
        m[i] = i * i
@view
def page(after: any, n: int) -> list:
    return m.page(after, n)
"""
    world = one(source)
    world.value("c", "fill", n=50)
    assert world.value("c", "page", after=None, n=40) == [[i, i * i] for i in range(40)]
    assert world.value("c", "page", after=15, n=1000) == [[i, i * i] for i in range(16, 50)]
    assert world.value("c", "page", after=49, n=16) == []


@pytest.mark.parametrize("name", ["call", "len", "ctx", "Map", "int", "predict"])
def test_names_of_the_language_cannot_be_taken(name: str) -> None:
    for source in (f"def {name}():\n    pass\n", f"def f():\n    {name} = 1\n", f"{name} = 1\n"):
        with pytest.raises(ContractRefused) as caught:
            Engine().check(source.encode())
        assert caught.value.rule == "name"
