"""Closures of operators whose right side is a literal or a constant: `amount > 0`, `total + 1`.

What the right side costs is charged by the block as ever; only its evaluation is saved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from andon.core.codec import Value
from contracts_py.engine import operators
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.run import Expression, Locals, Run, Unset
from contracts_py.engine.values import equal, less, overflow

_LOW = -INTEGER_BOUND
_HIGH = INTEGER_BOUND
_CHARGED_LENGTH: Final = 16
"""Texts below this length are compared for nothing: see `equal`."""

_Shape: TypeAlias = Callable[[Expression, int], Expression]


def with_constant(sign: str, left: Expression, right: Value | Unset) -> Expression | None:
    """Give the closure of `left sign right`; None where the common one is as good."""
    if type(right) is int:
        if sign in ("Mod", "FloorDiv") and right == 0:
            return None
        shape = _SHAPES.get(sign)
        return None if shape is None else shape(left, right)
    if type(right) is str and sign in ("Eq", "NotEq"):
        return _equal_text(left, right) if sign == "Eq" else _not_equal_text(left, right)
    return None


def _equal_text(left: Expression, b: str) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        if type(a) is str and len(a) < _CHARGED_LENGTH:
            return a == b
        return equal(run, a, b)

    return evaluate


def _not_equal_text(left: Expression, b: str) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        if type(a) is str and len(a) < _CHARGED_LENGTH:
            return a != b
        return not equal(run, a, b)

    return evaluate


def _add(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        if type(a) is int:
            c = a + b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        return operators.add(run, a, b)

    return evaluate


def _subtract(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        if type(a) is int:
            c = a - b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        return operators.subtract(run, a, b)

    return evaluate


def _multiply(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        if type(a) is int:
            c = a * b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        return operators.multiply(run, a, b)

    return evaluate


def _modulo(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a % b if type(a) is int else operators.modulo(run, a, b)

    return evaluate


def _floor_divide(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a // b if type(a) is int else operators.floor_divide(run, a, b)

    return evaluate


def _equal(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a == b if type(a) is int else equal(run, a, b)

    return evaluate


def _not_equal(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a != b if type(a) is int else not equal(run, a, b)

    return evaluate


def _less(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a < b if type(a) is int else less(run, a, b)

    return evaluate


def _less_equal(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a <= b if type(a) is int else not less(run, b, a)

    return evaluate


def _greater(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a > b if type(a) is int else less(run, b, a)

    return evaluate


def _greater_equal(left: Expression, b: int) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a = left(run, local)
        return a >= b if type(a) is int else not less(run, a, b)

    return evaluate


_SHAPES: Final[dict[str, _Shape]] = {
    "Add": _add,
    "Sub": _subtract,
    "Mult": _multiply,
    "Mod": _modulo,
    "FloorDiv": _floor_divide,
    "Eq": _equal,
    "NotEq": _not_equal,
    "Lt": _less,
    "LtE": _less_equal,
    "Gt": _greater,
    "GtE": _greater_equal,
}
