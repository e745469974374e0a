"""Closures of state access with the common case written out: short text keys, small numbers.

`state.py` states the rules; whatever is not written out here goes through it. Both charge the same
at the same places, so that no result, gas or failure tells which way was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import add, sub
from typing import Final

from andon.core.codec import Value
from contracts_py.engine.contract import Variable
from contracts_py.engine.operators import Binary
from contracts_py.engine.run import NEXT, UNSET, Expression, Locals, Run, Statement
from contracts_py.engine.state import (
    KEY_LENGTH_SHORT,
    item_or_default,
    load,
    map_item,
    map_set,
    store,
    write_number,
)
from contracts_py.engine.storage import pack_plain

NUMBER_MAX: Final = 2**63
"""Numbers from 0 below this have the plain encoding."""

_ON_NUMBERS: Final[dict[str, Callable[[int, int], int]]] = {"Add": add, "Sub": sub}


def _text_key(variable: Variable) -> type | None:
    """Give str or bytes if only that is a key of the map."""
    plain = None if variable.key is None else variable.key.plain
    return plain if plain in (str, bytes) else None


def item(variable: Variable, key: Expression) -> Expression:
    """Give the closure of `map[key]`."""
    plain, index = _text_key(variable), variable.index

    def evaluate(run: Run, local: Locals) -> Value:
        wanted = key(run, local)
        if type(wanted) is plain and len(wanted) <= KEY_LENGTH_SHORT:  # type: ignore[arg-type] # text
            run.gas -= len(wanted)  # type: ignore[arg-type] # text
            found = load(run, run.prefixes[index] + pack_plain(wanted))
            return item_or_default(variable, found) if found is UNSET else found
        return map_item(run, variable, wanted)

    return evaluate


def set_item(variable: Variable, key: Expression, value: Expression) -> Statement:
    """Give the closure of `map[key] = value`; the value is evaluated first."""
    plain, index, is_number = _text_key(variable), variable.index, variable.value.plain is int

    def execute(run: Run, local: Locals) -> int:
        new = value(run, local)
        wanted = key(run, local)
        if (
            type(wanted) is not plain
            or len(wanted) > KEY_LENGTH_SHORT  # type: ignore[arg-type] # text
            or not is_number
            or type(new) is not int
            or not 0 <= new < NUMBER_MAX
            or run.is_view
        ):
            map_set(run, variable, wanted, new)
            return NEXT
        run.gas -= len(wanted)  # type: ignore[arg-type] # text
        write_number(run, run.prefixes[index] + pack_plain(wanted), new)
        return NEXT

    return execute


def augmented(
    variable: Variable, key: Expression, sign: str, slow: Binary, value: Expression
) -> Statement:
    """Give the closure of `map[key] op= value`: reads, then evaluates the value, then writes."""
    plain, index, is_number = _text_key(variable), variable.index, variable.value.plain is int
    fast = _ON_NUMBERS.get(sign) if is_number else None

    def execute(run: Run, local: Locals) -> int:
        wanted = key(run, local)
        if type(wanted) is not plain or len(wanted) > KEY_LENGTH_SHORT:  # type: ignore[arg-type] # text
            before = map_item(run, variable, wanted)
            map_set(run, variable, wanted, slow(run, before, value(run, local)))
            return NEXT
        length = len(wanted)  # type: ignore[arg-type] # text
        run.gas -= length
        place = run.prefixes[index] + pack_plain(wanted)
        found = load(run, place)
        before = item_or_default(variable, found) if found is UNSET else found
        amount = value(run, local)
        if fast is not None and type(before) is int and type(amount) is int:
            new = fast(before, amount)
            if 0 <= new < NUMBER_MAX and not run.is_view:
                # The key is paid for again, as one that is looked up again.
                run.gas -= length
                write_number(run, place, new)
                return NEXT
        result = slow(run, before, amount)
        run.charge(length)
        store(run, variable, place, result)
        return NEXT

    return execute
