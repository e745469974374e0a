"""Operators on values of any type: the slow path behind the compiler's integer path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from andon.core.codec import DEC_SCALE, Dec, Value
from contracts_py.engine import gas
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.run import Run
from contracts_py.engine.values import (
    bounded,
    decimal,
    dict_key,
    equal,
    less,
    overflow,
    scaled,
    type_name,
)

Binary: TypeAlias = Callable[[Run, Value, Value], Value]
SHIFT_MAX: Final = 256


def _no(sign: str, left: Value, right: Value) -> Fault:
    return Fault("E_TYPE", f"{type_name(left)} {sign} {type_name(right)} is not defined")


def add(run: Run, left: Value, right: Value) -> Value:
    """Left + right: numbers, or two texts, bytes, lists or tuples."""
    if type(left) is int and type(right) is int:
        return bounded(left + right)
    if type(left) is str and type(right) is str:
        run.text(len(left) + len(right))
        return left + right
    if type(left) is list and type(right) is list:
        run.elements(len(left) + len(right))
        return left + right
    if type(left) is bytes and type(right) is bytes:
        run.text(len(left) + len(right))
        return left + right
    if type(left) is tuple and type(right) is tuple:
        run.elements(len(left) + len(right))
        return left + right
    one, other = scaled(left), scaled(right)
    if one is None or other is None:
        raise _no("+", left, right)
    run.charge(gas.DECIMAL)
    return decimal(one + other)


def subtract(run: Run, left: Value, right: Value) -> Value:
    """Left - right: numbers."""
    if type(left) is int and type(right) is int:
        return bounded(left - right)
    one, other = scaled(left), scaled(right)
    if one is None or other is None:
        raise _no("-", left, right)
    run.charge(gas.DECIMAL)
    return decimal(one - other)


def multiply(run: Run, left: Value, right: Value) -> Value:
    """Left * right: numbers (decimals round down), or a text, bytes, list or tuple by an int."""
    if type(left) is int and type(right) is int:
        return bounded(left * right)
    if type(left) is Dec and type(right) is Dec:
        run.gas -= gas.DECIMAL
        if run.gas < 0:
            raise out_of_gas()
        number = left.scaled * right.scaled // DEC_SCALE
        if -INTEGER_BOUND < number < INTEGER_BOUND:
            return Dec(number)
        raise overflow()
    if type(right) is int and type(left) in (str, bytes, list, tuple):
        return _repeat(run, left, right)
    if type(left) is int and type(right) in (str, bytes, list, tuple):
        return _repeat(run, right, left)
    run.charge(gas.DECIMAL)
    if type(left) is Dec and type(right) is int:
        return decimal(left.scaled * right)
    if type(left) is int and type(right) is Dec:
        return decimal(left * right.scaled)
    raise _no("*", left, right)


def _repeat(run: Run, value: Value, times: int) -> Value:
    count = max(times, 0)
    if type(value) is str or type(value) is bytes:
        run.text(len(value) * count)
        return value * count
    assert isinstance(value, list | tuple), "the caller checked the type"
    run.elements(len(value) * count)
    return value * count


def divide(run: Run, left: Value, right: Value) -> Value:
    """Left / right: decimals (an int is taken as one), rounded down."""
    run.charge(gas.DECIMAL)
    if type(left) is Dec and type(right) is int and right:
        return decimal(left.scaled // right)
    if type(left) is int and type(right) is int:
        raise Fault("E_TYPE", "int / int is not defined; use // or dec()")
    one, other = scaled(left), scaled(right)
    if one is None or other is None:
        raise _no("/", left, right)
    if other == 0:
        raise Fault("E_ZERO", "division by zero")
    return decimal(one * DEC_SCALE // other)


def floor_divide(run: Run, left: Value, right: Value) -> Value:
    """Left // right: ints, rounded down."""
    del run
    if type(left) is not int or type(right) is not int:
        raise _no("//", left, right)
    if right == 0:
        raise Fault("E_ZERO", "division by zero")
    return left // right


def modulo(run: Run, left: Value, right: Value) -> Value:
    """Left % right: ints, with the sign of the right."""
    del run
    if type(left) is not int or type(right) is not int:
        raise _no("%", left, right)
    if right == 0:
        raise Fault("E_ZERO", "division by zero")
    return left % right


def power(run: Run, left: Value, right: Value) -> Value:
    """Left ** right: ints, the exponent not negative. Checked before it is computed."""
    if type(left) is not int or type(right) is not int:
        raise _no("**", left, right)
    if right < 0:
        raise Fault("E_RANGE", "negative exponent")
    run.charge(gas.BINARY * 8)
    if abs(left) <= 1:
        # 0, 1 and -1 in closed form: the exponent may have 256 bits.
        return left if right % 2 else abs(left) if right else 1
    if (left.bit_length() - 1) * right > SHIFT_MAX:
        raise overflow()
    result: int = left**right
    return bounded(result)


def shift_left(run: Run, left: Value, right: Value) -> Value:
    """Left << right: ints, by 0 to 256."""
    del run
    number, count = _shift("<<", left, right)
    return bounded(number << count)


def shift_right(run: Run, left: Value, right: Value) -> Value:
    """Left >> right: ints, by 0 to 256."""
    del run
    number, count = _shift(">>", left, right)
    return number >> count


def _shift(sign: str, left: Value, right: Value) -> tuple[int, int]:
    if type(left) is not int or type(right) is not int:
        raise _no(sign, left, right)
    if not 0 <= right <= SHIFT_MAX:
        raise Fault("E_RANGE", f"shift outside 0 to {SHIFT_MAX}")
    return left, right


def bit_and(run: Run, left: Value, right: Value) -> Value:
    """Left & right: ints."""
    del run
    if type(left) is not int or type(right) is not int:
        raise _no("&", left, right)
    return left & right


def bit_or(run: Run, left: Value, right: Value) -> Value:
    """Left | right: ints."""
    del run
    if type(left) is not int or type(right) is not int:
        raise _no("|", left, right)
    return bounded(left | right)


def bit_xor(run: Run, left: Value, right: Value) -> Value:
    """Left ^ right: ints."""
    del run
    if type(left) is not int or type(right) is not int:
        raise _no("^", left, right)
    return bounded(left ^ right)


def negate(value: Value) -> Value:
    """Give -value of a number."""
    if type(value) is int:
        return -value
    if type(value) is Dec:
        return Dec(-value.scaled)
    raise Fault("E_TYPE", f"-{type_name(value)} is not defined")


def invert(value: Value) -> Value:
    """Give ~value of an int."""
    if type(value) is int:
        return bounded(~value)
    raise Fault("E_TYPE", f"~{type_name(value)} is not defined")


def not_equal(run: Run, left: Value, right: Value) -> Value:
    """Left != right."""
    return not equal(run, left, right)


def greater(run: Run, left: Value, right: Value) -> Value:
    """Left > right."""
    return less(run, right, left)


def less_equal(run: Run, left: Value, right: Value) -> Value:
    """Left <= right."""
    return not less(run, right, left)


def greater_equal(run: Run, left: Value, right: Value) -> Value:
    """Left >= right."""
    return not less(run, left, right)


def subscript(run: Run, value: Value, index: Value) -> Value:
    """value[index]. Raises Fault E_INDEX, E_KEY or E_TYPE."""
    if type(value) is dict:
        key = dict_key(index)
        if key not in value:
            raise Fault("E_KEY", f"no key {shown(key)}")
        return value[key]
    if type(index) is not int:
        raise Fault("E_TYPE", f"{type_name(value)}[{type_name(index)}] is not defined")
    if type(value) is list or type(value) is tuple or type(value) is bytes:
        if not -len(value) <= index < len(value):
            raise Fault("E_INDEX", f"index {short(index)} of a {type_name(value)} of {len(value)}")
        return value[index]
    if type(value) is str:
        if not -len(value) <= index < len(value):
            raise Fault("E_INDEX", f"index {short(index)} of a str of {len(value)}")
        run.charge(gas.NODE)
        return value[index]
    raise Fault("E_TYPE", f"{type_name(value)} has no elements")


def slice_of(run: Run, value: Value, start: Value, stop: Value) -> Value:
    """value[start:stop] of a text, bytes, list or tuple."""
    for bound in (start, stop):
        if bound is not None and type(bound) is not int:
            raise Fault("E_TYPE", "bounds of a slice are ints")
    if type(value) not in (str, bytes, list, tuple):
        raise Fault("E_TYPE", f"{type_name(value)} has no slices")
    part = slice(start, stop)
    count = len(range(*part.indices(len(value))))  # type: ignore[arg-type] # a sequence
    if type(value) is str or type(value) is bytes:
        run.text(count)
    else:
        run.elements(count)
    return value[part]  # type: ignore[index] # a sequence


def shown(key: str | int | bytes) -> str:
    """Give a key for a message: short, in ASCII, the same on every version."""
    if type(key) is bytes:
        return "0x" + key[:16].hex()
    if type(key) is str:
        return '"' + "".join([c if " " <= c <= "~" else "?" for c in key[:40]]) + '"'
    return str(key)


def short(number: int) -> str:
    """Give a number for a message; the host's own limit on digits never applies."""
    return str(number) if -INTEGER_BOUND < number < INTEGER_BOUND else "out of range"


BINARY: Final[dict[str, Binary]] = {
    "Add": add,
    "Sub": subtract,
    "Mult": multiply,
    "Div": divide,
    "FloorDiv": floor_divide,
    "Mod": modulo,
    "Pow": power,
    "LShift": shift_left,
    "RShift": shift_right,
    "BitAnd": bit_and,
    "BitOr": bit_or,
    "BitXor": bit_xor,
}
COMPARE: Final[dict[str, Binary]] = {
    "Eq": equal,
    "NotEq": not_equal,
    "Lt": less,
    "LtE": less_equal,
    "Gt": greater,
    "GtE": greater_equal,
}
