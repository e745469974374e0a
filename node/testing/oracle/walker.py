"""An interpreter of the integer family of contracts, straight from the tree, that counts gas.

Written from the rules of `contracts_py.engine.gas`, not from the engine: a block pays for its
straight run when it is entered, parts that are conditional pay when they are reached.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from andon.core.codec import Value
from contracts_py.engine import gas

BOUND: Final = 2**256
GAS_MAX: Final = 200_000
"""The walker stops here: a program may never end."""


OPERATORS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: lambda x, y: x + y,
    ast.Sub: lambda x, y: x - y,
    ast.Mult: lambda x, y: x * y,
    ast.FloorDiv: lambda x, y: x // y,
    ast.Mod: lambda x, y: x % y,
    ast.BitAnd: lambda x, y: x & y,
    ast.BitOr: lambda x, y: x | y,
    ast.BitXor: lambda x, y: x ^ y,
}
COMPARISONS: Final[dict[type[ast.cmpop], Callable[[int, int], bool]]] = {
    ast.Lt: lambda x, y: x < y,
    ast.LtE: lambda x, y: x <= y,
    ast.Gt: lambda x, y: x > y,
    ast.GtE: lambda x, y: x >= y,
    ast.Eq: lambda x, y: x == y,
    ast.NotEq: lambda x, y: x != y,
}


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
        """Count gas."""
        self.spent += amount
        if self.spent > GAS_MAX:
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
            case _:
                raise AssertionError(ast.dump(node))

    def value(self, node: ast.expr) -> int | bool:
        """Evaluate an expression; conditional parts pay here."""
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
            case _:
                raise AssertionError(ast.dump(node))

    @staticmethod
    def checked(number: int) -> int:
        """Refuse what no integer of the language can be."""
        if not -BOUND < number < BOUND:
            raise OverflowError
        return number

    def cost(self, node: ast.stmt) -> int:
        """What a block pays beforehand for a statement."""
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
            case _:
                return gas.STATEMENT

    def block(self, nodes: list[ast.stmt]) -> str:
        """Pay for the straight run, then run it; gives how it was left."""
        self.pay(sum(self.cost(node) for node in nodes))
        for node in nodes:
            signal = self.statement(node)
            if signal:
                return signal
        return ""

    def statement(self, node: ast.stmt) -> str:
        """Run one statement."""
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
            case _:
                pass
        return ""

    def loop(self, node: ast.While | ast.For) -> str:
        """Run a loop; every turn pays."""
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
