"""Closures of arithmetic and comparison with the integer case written out: the hot path."""

from __future__ import annotations

from andon.core.codec import Value
from contracts_py.engine import gas, operators
from contracts_py.engine.faults import out_of_gas
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.operators import Binary
from contracts_py.engine.run import Expression, Locals, Run
from contracts_py.engine.values import equal, less, overflow

_SHIFT = gas.BYTES_PER_GAS_SHIFT
_LOW = -INTEGER_BOUND
_HIGH = INTEGER_BOUND


def arithmetic(sign: str, slow: Binary, left: Expression, right: Expression) -> Expression:
    """Give the closure of `left sign right`."""
    if sign == "Add":
        return _add(left, right)
    if sign == "Sub":
        return _subtract(left, right)
    if sign == "Mult":
        return _multiply(left, right)
    if sign == "Mod":
        return _modulo(left, right)
    if sign == "FloorDiv":
        return _floor_divide(left, right)
    return lambda run, local: slow(run, left(run, local), right(run, local))


def _add(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            c = a + b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        if type(a) is str and type(b) is str:
            run.text(len(a) + len(b))
            return a + b
        return operators.add(run, a, b)

    return evaluate


def _subtract(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            c = a - b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        return operators.subtract(run, a, b)

    return evaluate


def _multiply(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            c = a * b
            if _LOW < c < _HIGH:
                return c
            raise overflow()
        return operators.multiply(run, a, b)

    return evaluate


def _modulo(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int and b:
            return a % b
        return operators.modulo(run, a, b)

    return evaluate


def _floor_divide(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int and b:
            return a // b
        return operators.floor_divide(run, a, b)

    return evaluate


def comparison(sign: str, left: Expression, right: Expression) -> Expression:
    """Give the closure of `left sign right` for the six comparisons."""
    if sign == "Eq":
        return _equal(left, right)
    if sign == "NotEq":
        return _not_equal(left, right)
    if sign == "Lt":
        return _less(left, right)
    if sign == "LtE":
        return _less_equal(left, right)
    # The operands keep their order of evaluation.
    if sign == "Gt":
        return _greater(left, right)
    return _greater_equal(left, right)


def _equal(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        kind = type(a)
        if kind is type(b):
            if kind is int:
                return a == b
            if kind is bytes or kind is str:
                run.gas -= len(a) >> _SHIFT  # type: ignore[arg-type] # text
                if run.gas < 0:
                    raise out_of_gas()
                return a == b
        return equal(run, a, b)

    return evaluate


def _not_equal(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        kind = type(a)
        if kind is type(b):
            if kind is int:
                return a != b
            if kind is bytes or kind is str:
                run.gas -= len(a) >> _SHIFT  # type: ignore[arg-type] # text
                if run.gas < 0:
                    raise out_of_gas()
                return a != b
        return not equal(run, a, b)

    return evaluate


def _less(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            return a < b
        return less(run, a, b)

    return evaluate


def _less_equal(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            return a <= b
        return not less(run, b, a)

    return evaluate


def _greater(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            return a > b
        return less(run, b, a)

    return evaluate


def _greater_equal(left: Expression, right: Expression) -> Expression:
    def evaluate(run: Run, local: Locals) -> Value:
        a, b = left(run, local), right(run, local)
        if type(a) is int and type(b) is int:
            return a >= b
        return not less(run, a, b)

    return evaluate
