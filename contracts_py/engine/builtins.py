"""Functions of the language on numbers and collections; each charges before it works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from andon.core.codec import DEC_SCALE, Dec, Value
from contracts_py.engine import gas
from contracts_py.engine.faults import Fault
from contracts_py.engine.operators import add, short
from contracts_py.engine.run import Run
from contracts_py.engine.values import (
    decimal,
    less,
    scaled,
    sort,
    truth,
    type_name,
)

Builtin: TypeAlias = Callable[[Run, list[Value]], Value]


def elements_of(run: Run, value: Value) -> list[Value]:
    """Give the elements of a value as a fresh list; those of a dict are its keys."""
    if type(value) is list or type(value) is tuple or type(value) is str:
        run.elements(len(value))
        return list(value)
    if type(value) is bytes:
        run.elements(len(value))
        return list(value)
    if type(value) is dict:
        run.elements(len(value))
        return list(value)
    raise Fault("E_TYPE", f"{type_name(value)} has no elements")


def integer(value: Value, what: str) -> int:
    """Require an int. Raises Fault E_TYPE."""
    if type(value) is not int:
        raise Fault("E_TYPE", f"{what} is an int, not {type_name(value)}")
    return value


def range_of(args: list[Value]) -> range:
    """Give the range of one to three ints."""
    numbers = [integer(value, "bound of a range") for value in args]
    if len(numbers) == 3 and numbers[2] == 0:
        raise Fault("E_RANGE", "step of a range is 0")
    return range(*numbers)


_SIZED: Final = frozenset({str, bytes, list, tuple, dict})


def _length(run: Run, args: list[Value]) -> Value:
    del run
    value = args[0]
    if type(value) in _SIZED:
        return len(value)  # type: ignore[arg-type] # it has a length
    raise Fault("E_TYPE", f"{type_name(value)} has no length")


def _truth(run: Run, args: list[Value]) -> Value:
    del run
    return truth(args[0])


def _list(run: Run, args: list[Value]) -> Value:
    return elements_of(run, args[0]) if args else []


def _tuple(run: Run, args: list[Value]) -> Value:
    return tuple(elements_of(run, args[0]))


def _range(run: Run, args: list[Value]) -> Value:
    numbers = range_of(args)
    span = _range_length(numbers)
    if span * gas.ELEMENT_BYTES > run.limits.memory_bytes_max:
        raise Fault("E_SIZE", "a range of so many numbers is only for loops")
    run.elements(span)
    run.charge(gas.NODE * span >> 2)
    return list(numbers)


def _range_length(numbers: range) -> int:
    # len() of a range beyond the host's word raises; this never does.
    if numbers.step > 0:
        return max(0, (numbers.stop - numbers.start + numbers.step - 1) // numbers.step)
    return max(0, (numbers.start - numbers.stop - numbers.step - 1) // -numbers.step)


def _several(run: Run, args: list[Value]) -> list[Value]:
    if len(args) > 1:
        return args
    items = elements_of(run, args[0])
    if not items:
        raise Fault("E_RANGE", "no smallest or largest of nothing")
    return items


def _min(run: Run, args: list[Value]) -> Value:
    items = _several(run, args)
    run.charge(gas.NODE * len(items))
    best = items[0]
    for item in items:
        if less(run, item, best):
            best = item
    return best


def _max(run: Run, args: list[Value]) -> Value:
    items = _several(run, args)
    run.charge(gas.NODE * len(items))
    best = items[0]
    for item in items:
        if less(run, best, item):
            best = item
    return best


def _sum(run: Run, args: list[Value]) -> Value:
    total: Value = 0
    items = elements_of(run, args[0])
    run.charge(gas.NODE * len(items))
    for item in items:
        if type(item) is not int and type(item) is not Dec:
            raise Fault("E_TYPE", f"sum of {type_name(item)} is not defined")
        total = add(run, total, item)
    return total


def _sorted(run: Run, args: list[Value]) -> Value:
    return sort(run, elements_of(run, args[0]))


def _reversed(run: Run, args: list[Value]) -> Value:
    items = elements_of(run, args[0])
    items.reverse()
    return items


def _enumerate(run: Run, args: list[Value]) -> Value:
    items = elements_of(run, args[0])
    run.elements(3 * len(items))
    run.charge(gas.NODE * len(items))
    return list(enumerate(items))


def _zip(run: Run, args: list[Value]) -> Value:
    """Zip of lists of equal length."""
    columns = [elements_of(run, value) for value in args]
    if any(len(column) != len(columns[0]) for column in columns):
        raise Fault("E_RANGE", "zip needs equal lengths")
    run.elements(len(columns[0]) * (1 + len(columns)))
    run.charge(gas.NODE * len(columns[0]))
    return list(zip(*columns, strict=True))


def _any(run: Run, args: list[Value]) -> Value:
    items = elements_of(run, args[0])
    run.charge(gas.NODE * len(items))
    return any(truth(item) for item in items)


def _all(run: Run, args: list[Value]) -> Value:
    items = elements_of(run, args[0])
    run.charge(gas.NODE * len(items))
    return all(truth(item) for item in items)


def _absolute(run: Run, args: list[Value]) -> Value:
    del run
    value = args[0]
    if type(value) is int:
        return abs(value)
    if type(value) is Dec:
        return Dec(abs(value.scaled))
    raise Fault("E_TYPE", f"abs({type_name(value)}) is not defined")


def _number(value: Value) -> int:
    number = scaled(value)
    if number is None:
        raise Fault("E_TYPE", f"{type_name(value)} is not a number")
    return number


PLACES_MAX: Final = 18


def _floor(run: Run, args: list[Value]) -> Value:
    """The largest int not above a number."""
    del run
    return _number(args[0]) // DEC_SCALE


def _ceil(run: Run, args: list[Value]) -> Value:
    """The smallest int not below a number."""
    del run
    return -(-_number(args[0]) // DEC_SCALE)


def _round(run: Run, args: list[Value]) -> Value:
    """round(number, places=0): a dec, halves to the even neighbour."""
    del run
    places = integer(args[1], "places") if len(args) == 2 else 0
    if not 0 <= places <= PLACES_MAX:
        raise Fault("E_RANGE", "places are 0 to 18")
    unit = 10 ** (PLACES_MAX - places)
    whole, rest = divmod(_number(args[0]), unit)
    if 2 * rest > unit or (2 * rest == unit and whole % 2):
        whole += 1
    return decimal(whole * unit)


def _dict(run: Run, args: list[Value]) -> Value:
    """dict() or a shallow copy of a dict."""
    if not args:
        run.allocate(gas.LIST_BYTES)
        return {}
    value = args[0]
    if type(value) is not dict:
        raise Fault("E_TYPE", f"dict({type_name(value)}) is not defined")
    run.allocate(gas.LIST_BYTES + gas.ENTRY_BYTES * len(value))
    run.charge(gas.NODE * len(value))
    return dict(value)


def _revert(run: Run, args: list[Value]) -> Value:
    del run
    message = args[0] if args else ""
    raise Fault("E_REVERT", message if type(message) is str else "reverted")


def _type_of(run: Run, args: list[Value]) -> Value:
    del run
    return type_name(args[0])


def _decide(run: Run, args: list[Value]) -> Value:
    """decide(value, threshold, margin): ABOVE, BELOW or, within the margin, UNDECIDED."""
    del run
    value, threshold, margin = [_number(arg) for arg in args]
    if margin < 0:
        raise Fault("E_RANGE", f"margin {short(margin)} is negative")
    if value > threshold + margin:
        return "ABOVE"
    return "BELOW" if value < threshold - margin else "UNDECIDED"


BUILTINS: Final[dict[str, tuple[Builtin, int, int]]] = {
    "len": (_length, 1, 1),
    "bool": (_truth, 1, 1),
    "list": (_list, 0, 1),
    "tuple": (_tuple, 1, 1),
    "range": (_range, 1, 3),
    "min": (_min, 1, 16),
    "max": (_max, 1, 16),
    "sum": (_sum, 1, 1),
    "sorted": (_sorted, 1, 1),
    "reversed": (_reversed, 1, 1),
    "enumerate": (_enumerate, 1, 1),
    "zip": (_zip, 2, 8),
    "any": (_any, 1, 1),
    "all": (_all, 1, 1),
    "abs": (_absolute, 1, 1),
    "floor": (_floor, 1, 1),
    "ceil": (_ceil, 1, 1),
    "round": (_round, 1, 2),
    "dict": (_dict, 0, 1),
    "revert": (_revert, 0, 1),
    "fail": (_revert, 0, 1),
    "type_of": (_type_of, 1, 1),
    "decide": (_decide, 3, 3),
}
