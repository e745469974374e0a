"""Generated programs: the engine against CPython, and the engine's gas against an own walker.

The value family of the language is a subset of Python, so `exec` of the same source must give the
same value or fail where the engine fails. `make oracle` is the long run of the same comparison.
ANDON_PROGRAMS sets how many programs are drawn here.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts_py.engine import Engine
from node.testing.oracle import Differs, Program, compare
from node.testing.oracle.compare import compare_integers

PROGRAMS = int(os.environ.get("ANDON_PROGRAMS", "2000"))
DRAWN = 100
NAMES = ("a", "b", "c")
ENGINE = Engine()  # made here: it sets the recursion limit, which hypothesis watches


def expressions() -> st.SearchStrategy[str]:
    """Integer expressions; comparisons are wrapped, because a bool is no int here."""
    atoms = st.one_of(st.sampled_from(NAMES), st.integers(0, 50).map(str))

    def grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        pair = st.tuples(inner, inner)
        return st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "&", "|", "^"]), inner).map(
                lambda t: f"({t[0]} {t[1]} {t[2]})"
            ),
            inner.map(lambda x: f"(-{x})"),
            st.tuples(
                inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner, inner, inner
            ).map(lambda t: f"({t[3]} if {t[0]} {t[1]} {t[2]} else {t[4]})"),
            pair.map(lambda t: f"({t[0]} and {t[1]})"),
            pair.map(lambda t: f"({t[0]} or {t[1]})"),
        )

    return st.recursive(atoms, grow, max_leaves=6)


@st.composite
def blocks(draw: st.DrawFn, depth: int = 2, *, is_loop: bool = False) -> list[str]:
    """One to three statements; `a` and `b` are parameters, `c` is set at the start."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["assign", "augment", "if", "for", "while", "jump", "return"]))
        name, value = draw(st.sampled_from(NAMES)), draw(expressions())
        inner = (
            [f"    {line}" for line in draw(blocks(depth - 1, is_loop=is_loop))]
            if (depth and kind == "if")
            else []
        )
        loop = (
            [f"    {line}" for line in draw(blocks(depth - 1, is_loop=True))]
            if (depth and kind in ("for", "while"))
            else []
        )
        if kind == "augment":
            lines.append(f"{name} {draw(st.sampled_from(['+=', '-=', '*=']))} {value}")
        elif kind == "if" and inner:
            lines += [f"if {value} > {draw(expressions())}:", *inner]
            if draw(st.booleans()):
                lines += ["else:", *inner]
        elif kind == "for" and loop:
            lines += [f"for {name} in range({draw(st.integers(0, 4))}):", *loop]
        elif kind == "while" and loop:
            lines += ["while c > 0 and c < 9:", "    c -= 1", *loop]
        elif kind == "jump" and is_loop:
            lines.append(draw(st.sampled_from(["break", "continue"])))
        elif kind == "return":
            lines.append(f"return {value}")
        else:
            lines.append(f"{name} = {value}")
    return lines


@st.composite
def programs(draw: st.DrawFn) -> Program:
    body = "".join(f"    {line}\n" for line in ["c = 5", *draw(blocks()), "return a + b + c"])
    source = "@export\ndef f(a: int, b: int) -> int:\n" + body
    return Program(source, draw(st.integers(0, 100)), draw(st.integers(0, 100)))


@settings(
    max_examples=DRAWN, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(programs())
def test_engine_agrees_with_cpython_and_with_the_walker(program: Program) -> None:
    assert compare_integers(ENGINE, program)


def test_thousands_of_programs_over_all_values_end_the_same_everywhere() -> None:
    ends = {compare(ENGINE, seed) for seed in range(PROGRAMS)}
    # The programs must succeed and fail in several ways, or this test shows little.
    assert {"value", "E_ZERO", "E_INDEX", "E_KEY", "E_ASSERT"} <= ends


def test_a_program_on_which_the_executors_disagree_is_reported_with_its_source() -> None:
    # Python takes True for an int; the language does not, and says so with E_TYPE.
    program = Program("@export\ndef f(a: int, b: int) -> int:\n    return a + (b > 1)\n", 1, 2)
    with pytest.raises(Differs, match="return a"):
        compare_integers(ENGINE, program)
