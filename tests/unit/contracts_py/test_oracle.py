"""Generated programs: the engine against CPython, and the engine's gas against an own walker.

The value family of the language is a subset of Python, so `exec` of the same source must give the
same value or fail where the engine fails. Gas is recomputed by a plain tree walker written from
the rules in gas.py: a block pays for its straight run when entered, parts that are conditional
pay when reached. ANDON_PROGRAMS sets how many programs are drawn.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from andon.core.codec import Value, decode_value
from contracts_py.engine import Engine, gas
from tests.unit.contracts_py.world import World

PROGRAMS = int(os.environ.get("ANDON_PROGRAMS", "150"))
NAMES = ("a", "b", "c")
KINDS = ("assign", "augment", "if", "for", "while", "jump", "return")
SIGNS = ("+", "-", "*", "//", "%", "&", "|", "^")
COMPARED = ("<", "<=", ">", ">=", "==", "!=")
BOUND = 2**256
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
def programs(draw: st.DrawFn) -> str:
    body = "".join(f"    {line}\n" for line in ["c = 5", *draw(blocks()), "return a + b + c"])
    return "@export\ndef f(a: int, b: int) -> int:\n" + body


def folds(node: ast.expr) -> bool:
    """Signs before a number are part of the number."""
    if isinstance(node, ast.UnaryOp):
        return folds(node.operand)
    return isinstance(node, ast.Constant)


class Stopped(Exception):
    """The oracle has counted enough."""


@dataclass
class Walker:
    """Interprets the value family straight from the tree and counts gas on the way."""

    local: dict[str, int] = field(default_factory=dict)
    spent: int = 0

    def pay(self, amount: int) -> None:
        self.spent += amount
        if self.spent > 200_000:
            raise Stopped

    def static(self, node: ast.expr) -> int:
        """What a block pays beforehand for an expression."""
        match node:
            case ast.Constant():
                return gas.CONSTANT
            case ast.Name():
                return gas.LOCAL
            case ast.UnaryOp() if folds(node):
                return gas.CONSTANT
            case ast.UnaryOp():
                return gas.UNARY + self.static(node.operand)
            case ast.BinOp():
                return gas.BINARY + self.static(node.left) + self.static(node.right)
            case ast.Compare():
                return gas.COMPARE + self.static(node.left) + self.static(node.comparators[0])
            case ast.BoolOp():
                return gas.BOOLEAN * (len(node.values) - 1) + self.static(node.values[0])
            case ast.IfExp():
                return gas.CHOICE + self.static(node.test)
        raise AssertionError(ast.dump(node))

    def value(self, node: ast.expr) -> int | bool:
        match node:
            case ast.Constant(value=int() as number):
                return number
            case ast.Name():
                return self.local[node.id]
            case ast.UnaryOp():
                return self.checked(-self.value(node.operand))
            case ast.BinOp():
                left, right = self.value(node.left), self.value(node.right)
                return self.checked(OPERATORS[type(node.op)](left, right))
            case ast.Compare():
                left, right = self.value(node.left), self.value(node.comparators[0])
                return COMPARISONS[type(node.ops[0])](left, right)
            case ast.BoolOp():
                found = self.value(node.values[0])
                for part in node.values[1:]:
                    if bool(found) is isinstance(node.op, ast.Or):
                        return found
                    self.pay(self.static(part))
                    found = self.value(part)
                return found
            case ast.IfExp():
                chosen = node.body if self.value(node.test) else node.orelse
                self.pay(self.static(chosen))
                return self.value(chosen)
        raise AssertionError(ast.dump(node))

    @staticmethod
    def checked(number: int) -> int:
        if not -BOUND < number < BOUND:
            raise OverflowError
        return number

    def cost(self, node: ast.stmt) -> int:
        match node:
            case ast.Assign():
                return gas.STATEMENT + gas.STORE + self.static(node.value)
            case ast.AugAssign():
                both = gas.BINARY + gas.LOCAL + self.static(node.value)
                return gas.STATEMENT + gas.STORE + both
            case ast.Return(value=ast.expr() as value):
                return gas.STATEMENT + self.static(value)
            case ast.If():
                return gas.STATEMENT + self.static(node.test)
            case ast.For(iter=ast.Call() as call):
                return gas.STATEMENT + gas.BUILTIN + sum(self.static(arg) for arg in call.args)
        return gas.STATEMENT

    def block(self, nodes: list[ast.stmt]) -> str:
        self.pay(sum(self.cost(node) for node in nodes))
        for node in nodes:
            signal = self.statement(node)
            if signal:
                return signal
        return ""

    def statement(self, node: ast.stmt) -> str:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]):
                self.local[name] = self.value(node.value)
            case ast.AugAssign(target=ast.Name(id=name)):
                new = OPERATORS[type(node.op)](self.local[name], self.value(node.value))
                self.local[name] = self.checked(new)
            case ast.Return(value=ast.expr() as value):
                self.local["return"] = self.value(value)
                return "return"
            case ast.If():
                return self.block(node.body if self.value(node.test) else node.orelse)
            case ast.While() | ast.For():
                return self.loop(node)
            case ast.Break():
                return "break"
            case ast.Continue():
                return "continue"
        return ""

    def loop(self, node: ast.While | ast.For) -> str:
        turns = iter(range(self.value(node.iter.args[0]))) if isinstance(node, ast.For) else None  # type: ignore[attr-defined] # range(n)
        while True:
            if isinstance(node, ast.While):
                self.pay(gas.ITERATION + self.static(node.test))
                if not self.value(node.test):
                    return ""
            else:
                assert turns is not None
                turn = next(turns, None)
                if turn is None:
                    return ""
                self.pay(gas.ITERATION)
                self.local[node.target.id] = turn  # type: ignore[attr-defined] # a name
            signal = self.block(node.body)
            if signal == "break":
                return ""
            if signal == "return":
                return signal


OPERATORS = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.FloorDiv: lambda x, y: x // y,
    ast.Mod: lambda x, y: x % y,
    ast.BitAnd: lambda x, y: x & y,
    ast.BitOr: lambda x, y: x | y,
    ast.BitXor: lambda x, y: x ^ y,
}
COMPARISONS = {
    ast.Lt: lambda x, y: x < y,
    ast.LtE: lambda x, y: x <= y,
    ast.Gt: lambda x, y: x > y,
    ast.GtE: lambda x, y: x >= y,
    ast.Eq: lambda x, y: x == y,
    ast.NotEq: lambda x, y: x != y,
}


def by_cpython(source: str, a: int, b: int) -> Value | str:
    """The value by exec, or the code that its exception stands for."""
    names: dict[str, object] = {"export": lambda function: function}
    exec(source, names)  # our own generated source
    try:
        found = names["f"](a, b)  # type: ignore[operator] # the generated function
    except ZeroDivisionError:
        return "E_ZERO"
    assert isinstance(found, int)
    return found


def by_walker(source: str, a: int, b: int) -> tuple[Value | str, int]:
    """The value or code, and the gas of the body."""
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    walker = Walker({"a": a, "b": b})
    try:
        walker.block(function.body)
    except ZeroDivisionError:
        return "E_ZERO", walker.spent
    except OverflowError:
        return "E_OVERFLOW", walker.spent
    return walker.local["return"], walker.spent


@settings(
    max_examples=PROGRAMS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(programs(), st.integers(0, 100), st.integers(0, 100))
def test_engine_agrees_with_cpython_and_with_the_walker(source: str, a: int, b: int) -> None:
    world = World(engine=ENGINE)
    world.host.sources["c"] = source.encode()
    try:
        walked, spent = by_walker(source, a, b)
    except Stopped:
        # It may never end: then the engine's gas must.
        short = world.run("c", "f", a=a, b=b, limit=200_000).failure
        assert short is not None
        assert short.code == "E_OOG"
        return
    outcome = world.run("c", "f", a=a, b=b)
    code = "" if outcome.failure is None else outcome.failure.code
    found: Value | str = code or decode_value(outcome.result)
    assert found == walked
    if code != "E_OVERFLOW":
        assert found == by_cpython(source, a, b)
    assert outcome.gas_used - argument_gas(a, b, source, world) == spent


def argument_gas(a: int, b: int, source: str, world: World) -> int:
    """What entering costs: the same arguments into a method that does nothing."""
    empty = "@export\ndef f(a: int, b: int) -> any:\n    pass\n"
    padded = empty + "#" * max(0, len(source) - len(empty))
    world.host.sources["c"] = padded.encode()
    used = world.run("c", "f", a=a, b=b).gas_used
    return used - gas.STATEMENT - NOTHING_RESULT


NOTHING_RESULT = gas.NODE_ENCODE + 1
"""The method that does nothing pays for encoding None; an int result pays nothing."""
