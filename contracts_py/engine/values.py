"""Walkers over values: equality, order, size; each pays for what it looks at.

Every walker is bounded by depth and by gas, so that shared, deep or cyclic values end in a typed
fault and never in the host's recursion limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from andon.core.codec import DEC_SCALE, Dec, Key, Value
from contracts_py.engine import gas
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.limits import (
    INTEGER_BOUND,
    KEY_INTEGER_BOUND,
    KEY_LENGTH_MAX,
    VALUE_DEPTH_MAX,
)
from contracts_py.engine.run import Run

_CONTAINER_BYTES: Final = 6
"""Bytes that `measure` counts for a list or dict besides what is in it."""


def type_name(value: Value) -> str:
    """Give the language's name of a value's type."""
    if value is None:
        return "None"
    kind = type(value)
    return "dec" if kind is Dec else kind.__name__


def too_deep() -> Fault:
    """Give the fault of a value nested beyond the limit."""
    return Fault("E_DEPTH", f"value is nested deeper than {VALUE_DEPTH_MAX}")


def overflow() -> Fault:
    """Give the fault of a number out of range."""
    return Fault("E_OVERFLOW", "number exceeds 256 bits")


def truth(value: Value) -> bool:
    """Tell whether a value counts as true; a decimal zero does not."""
    if type(value) is Dec:
        return value.scaled != 0
    return bool(value)


def equal(run: Run, left: Value, right: Value, depth: int = 0) -> bool:
    """Compare by value: numbers by amount, everything else only within its type."""
    kind = type(left)
    if kind is not type(right):
        return _equal_numbers(left, right)
    # Exact types, one at a time: a union of types is built anew each time that it is asked for.
    if kind is list or kind is tuple:
        return _equal_sequences(run, left, right, depth)  # type: ignore[arg-type] # sequences
    if kind is dict:
        return _equal_dicts(run, left, right, depth)  # type: ignore[arg-type] # dicts
    if kind is str or kind is bytes:
        run.charge(len(left) >> gas.BYTES_PER_GAS_SHIFT)  # type: ignore[arg-type] # text
    return left == right


def _equal_numbers(left: Value, right: Value) -> bool:
    if type(left) is int and type(right) is Dec:
        return left * DEC_SCALE == right.scaled
    if type(left) is Dec and type(right) is int:
        return left.scaled == right * DEC_SCALE
    return False


def _equal_sequences(
    run: Run,
    left: list[Value] | tuple[Value, ...],
    right: list[Value] | tuple[Value, ...],
    depth: int,
) -> bool:
    if depth >= VALUE_DEPTH_MAX:
        raise too_deep()
    if len(left) != len(right):
        return False
    for one, other in zip(left, right, strict=True):
        run.gas -= gas.NODE_EQUAL
        if run.gas < 0:
            raise out_of_gas()
        if type(one) is int and type(other) is int:
            if one != other:
                return False
        elif not equal(run, one, other, depth + 1):
            return False
    return True


def _equal_dicts(run: Run, left: dict[Key, Value], right: dict[Key, Value], depth: int) -> bool:
    if depth >= VALUE_DEPTH_MAX:
        raise too_deep()
    if len(left) != len(right):
        return False
    for key, one in left.items():
        run.charge(2 * gas.NODE)
        if key not in right or not equal(run, one, right[key], depth + 1):
            return False
    return True


def less(run: Run, left: Value, right: Value, depth: int = 0) -> bool:
    """Order numbers by amount, text by code point, sequences element by element.

    Raises:
        Fault: E_TYPE for values that have no order.
    """
    if type(left) is int and type(right) is int:
        return left < right
    if type(left) is str and type(right) is str:
        run.charge(min(len(left), len(right)) >> gas.BYTES_PER_GAS_SHIFT)
        return left < right
    if type(left) is bytes and type(right) is bytes:
        run.charge(min(len(left), len(right)) >> gas.BYTES_PER_GAS_SHIFT)
        return left < right
    if (type(left) is list and type(right) is list) or (
        type(left) is tuple and type(right) is tuple
    ):
        return _less_sequences(run, left, right, depth)
    one, other = scaled(left), scaled(right)
    if one is None or other is None:
        raise Fault("E_TYPE", f"{type_name(left)} and {type_name(right)} have no order")
    return one < other


def _less_sequences(
    run: Run,
    left: list[Value] | tuple[Value, ...],
    right: list[Value] | tuple[Value, ...],
    depth: int,
) -> bool:
    if depth >= VALUE_DEPTH_MAX:
        raise too_deep()
    for one, other in zip(left, right, strict=False):
        run.charge(2 * gas.NODE)
        if not equal(run, one, other, depth + 1):
            return less(run, one, other, depth + 1)
    return len(left) < len(right)


def scaled(value: Value) -> int | None:
    """Give a number in units of 10**-18, None for anything else."""
    if type(value) is int:
        return value * DEC_SCALE
    return value.scaled if type(value) is Dec else None


def sort(run: Run, items: list[Value]) -> list[Value]:
    """Give a sorted copy: stable, by `less`. The host's sort never calls back into contracts."""
    count = len(items)
    run.elements(count)
    levels = max(1, count.bit_length())
    run.charge(gas.SORT)
    kinds = set(map(type, items)) or {int}
    first = kinds.pop()
    if not kinds and first in (int, str, bytes):
        size = 0 if first is int else sum(map(len, items))  # type: ignore[arg-type] # texts
        run.charge((gas.NODE * count * levels >> 2) + (size * levels >> gas.BYTES_PER_GAS_SHIFT))
        plain = list(items)
        plain.sort()  # one type with an order, checked above
        return plain
    run.charge(gas.NODE * count * levels)
    return _merge_sort(run, list(items))


def _merge_sort(run: Run, items: list[Value]) -> list[Value]:
    if len(items) == 1:
        less(run, items[0], items[0])  # a value without order is refused even alone
    width = 1
    while width < len(items):
        merged: list[Value] = []
        for start in range(0, len(items), 2 * width):
            left = items[start : start + width]
            right = items[start + width : start + 2 * width]
            one = other = 0
            while one < len(left) and other < len(right):
                if less(run, right[other], left[one]):
                    merged.append(right[other])
                    other += 1
                else:
                    merged.append(left[one])
                    one += 1
            merged.extend(left[one:])
            merged.extend(right[other:])
        items = merged
        width *= 2
    return items


def contains(run: Run, item: Value, container: Value) -> bool:
    """Tell whether `item in container`."""
    if type(container) is dict:
        run.charge(gas.NODE)
        return dict_key(item) in container
    if type(container) is list or type(container) is tuple:
        for entry in container:
            run.gas -= gas.NODE_EQUAL
            if run.gas < 0:
                raise out_of_gas()
            if equal(run, entry, item):
                return True
        return False
    if type(container) is str and type(item) is str:
        run.charge(find_cost(len(container), len(item)))
        return item in container
    if type(container) is bytes and type(item) is bytes:
        run.charge(find_cost(len(container), len(item)))
        return item in container
    raise Fault("E_TYPE", f"{type_name(item)} cannot be in {type_name(container)}")


def find_cost(text_length: int, pattern_length: int) -> int:
    """Give the gas of a search, worst case of the host's algorithm included."""
    return text_length + pattern_length + 20


def dict_key(value: Value) -> str | int | bytes:
    """Check a key of a dict: text, bytes or a moderate integer.

    Only these: other types are equal to each other in surprising ways (1 and True), or their
    hashes can be made to collide.

    Raises:
        Fault: E_KEY.
    """
    if type(value) is str or type(value) is bytes:
        if len(value) <= KEY_LENGTH_MAX:
            return value
        raise Fault("E_KEY", f"key longer than {KEY_LENGTH_MAX}")
    if type(value) is int:
        if -KEY_INTEGER_BOUND < value < KEY_INTEGER_BOUND:
            return value
        raise Fault("E_KEY", "integer key beyond 2**53; use its text")
    raise Fault("E_KEY", f"{type_name(value)} cannot be the key of a dict")


def measure(run: Run, value: Value, size_max: int) -> int:
    """Check that a value may cross a boundary, and pay for its encoding; gives about its bytes.

    Raises:
        Fault: E_DEPTH, E_SIZE or E_OOG.
    """
    kind = type(value)
    if kind is bool or value is None:
        count, size = 1, 1
    elif type(value) is str and len(value) < size_max >> 3:
        count, size = 1, 3 + (len(value) if value.isascii() else 4 * len(value))
    elif kind is list or kind is tuple:
        totals = [1, 6]
        _measure(value, totals, size_max, 1)  # type: ignore[arg-type] # a list or tuple
        count, size = totals
    else:
        totals = [0, 0]
        _measure([value], totals, size_max, 0)
        count, size = totals
    run.gas -= gas.NODE_ENCODE * count + size
    if run.gas < 0:
        raise out_of_gas()
    return size


def flat_size(plains: Sequence[type | None], values: Sequence[Value]) -> int:
    """Give the bytes that `measure` counts for a list of single values of these types.

    -1 says nothing: a value is of another type, or of one that needs a closer look.
    """
    size = _CONTAINER_BYTES
    for plain, value in zip(plains, values):  # noqa: B905 - the caller counted them
        if type(value) is not plain:
            return -1
        if plain is int:
            size += value.bit_length() + 16 >> 3  # type: ignore[union-attr] # an int
        elif plain is bytes:
            size += 3 + len(value)  # type: ignore[arg-type] # bytes
        elif plain is str:
            size += 3 + (len(value) if value.isascii() else 4 * len(value))  # type: ignore[union-attr,arg-type] # a text
        elif plain is bool:
            size += 1
        else:
            return -1
    return size


def _measure(
    items: list[Value] | tuple[Value, ...], totals: list[int], size_max: int, depth: int
) -> None:
    """Add the number of values and their bytes to `totals`; one call a container."""
    size = 0
    inner: list[list[Value] | tuple[Value, ...]] = []
    for item in items:
        kind = type(item)
        if kind is int:
            size += 1 + (item.bit_length() + 8 >> 3)  # type: ignore[union-attr] # an int
        elif kind is bytes:
            size += 3 + len(item)  # type: ignore[arg-type] # bytes
        elif type(item) is str:
            size += 3 + (len(item) if item.isascii() else 4 * len(item))
        elif type(item) is list or type(item) is tuple:
            size += 6
            inner.append(item)
        elif type(item) is dict:
            size += 6
            inner.append([*item, *item.values()])
        else:
            size += 36 if kind is Dec else 1
    totals[0] += len(items)
    totals[1] += size
    if totals[1] > size_max:
        raise Fault("E_SIZE", f"value of more than {size_max} bytes")
    if inner and depth >= VALUE_DEPTH_MAX:
        raise too_deep()
    for part in inner:
        _measure(part, totals, size_max, depth + 1)


def check_keys(value: Value) -> None:
    """Check that a decoded value holds only dict keys of the language. Raises Fault E_KEY."""
    if type(value) is dict:
        for key, item in value.items():
            dict_key(key)
            check_keys(item)
    elif type(value) is list or type(value) is tuple:
        for item in value:
            check_keys(item)


def bounded(number: int) -> int:
    """Check an integer's range. Raises Fault E_OVERFLOW."""
    if -INTEGER_BOUND < number < INTEGER_BOUND:
        return number
    raise overflow()


def decimal(number: int) -> Dec:
    """Make a decimal of its scaled amount. Raises Fault E_OVERFLOW."""
    if -INTEGER_BOUND < number < INTEGER_BOUND:
        return Dec(number)
    raise overflow()
