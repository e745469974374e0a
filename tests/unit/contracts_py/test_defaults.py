"""Defaults of parameters and state have the declared types, or the source is refused."""

from __future__ import annotations

import pytest

from contracts_py.engine import ContractRefused, Engine
from tests.unit.contracts_py.world import one


@pytest.mark.parametrize(
    ("spec", "default", "told", "fix"),
    [
        ("list", '("a",)', "the default is tuple, not list", "list | None"),
        ("dict", "None", "the default is None, not dict", "None"),
        ("int", "True", "the default is bool, not int", "a literal of type int"),
        ("int", '"1"', "the default is str, not int", "a literal of type int"),
        ("bool", "1", "the default is int, not bool", "a literal of type bool"),
        ("dec", "1", "the default is int, not dec", 'dec("1")'),
        ("str | None", "1", "the default is int, not str | None", "str | None"),
        ("tuple[int, str]", "(1, 2)", "the default is tuple, not tuple[int, str]", "tuple"),
        ("tuple[int]", "(1, 2)", "the default is tuple, not tuple[int]", "tuple[int]"),
    ],
)
def test_a_default_of_another_type_is_refused_where_it_stands(
    spec: str, default: str, told: str, fix: str
) -> None:
    source = f"@export\ndef f(given: {spec} = {default}):\n    return given\n"
    with pytest.raises(ContractRefused) as caught:
        Engine().check(source.encode())
    refusal = caught.value
    assert (refusal.rule, refusal.line) == ("type", 2)
    assert refusal.message.endswith(told)
    assert source.splitlines()[1][refusal.column - 1 :].startswith(default)
    assert fix in refusal.fix


@pytest.mark.parametrize(
    "declared", ["Var(list, default=(1,))", "Map(key=str, value=dec, default=0)"]
)
def test_a_default_of_state_has_its_type_too(declared: str) -> None:
    with pytest.raises(ContractRefused, match="the default is"):
        Engine().check(f"kept = {declared}\n".encode())


def test_defaults_of_the_declared_type_are_taken() -> None:
    world = one(
        'PAIR = (1, "a")\n'
        "@export\n"
        'def f(a: tuple[int, str] = PAIR, b: list | None = None, c: dec = dec("0.5"),'
        " d: any = (1,), e: tuple = (1, 2)) -> list:\n"
        "    return [a, b, d, e]\n"
    )
    assert world.value("c", "f") == [(1, "a"), None, (1,), (1, 2)]
