"""Closures of state access with the common case written out: short text keys, small numbers.

`state.py` states the rules; whatever is not written out here goes through it. Both charge the same
at the same places, so that no result, gas or failure tells which way was taken.
"""

from __future__ import annotations

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
    pay_write,
    store,
)
from contracts_py.engine.storage import pack_plain

NUMBER_MAX: Final = 2**63
"""Numbers from 0 below this have the plain encoding."""


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
        place, data = run.prefixes[index] + pack_plain(wanted), pack_plain(new)
        run.gas -= len(wanted)  # type: ignore[arg-type] # text
        pay_write(run, len(place) + len(data))
        run.host.write(place, data)
        return NEXT

    return execute


def augmented(variable: Variable, key: Expression, slow: Binary, value: Expression) -> Statement:
    """Give the closure of `map[key] op= value`: reads, then evaluates the value, then writes."""
    plain, index, is_number = _text_key(variable), variable.index, variable.value.plain is int

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
        new = slow(run, before, value(run, local))
        # The key is paid for again, as one that is looked up again.
        run.gas -= length
        if is_number and type(new) is int and 0 <= new < NUMBER_MAX and not run.is_view:
            data = pack_plain(new)
            pay_write(run, len(place) + len(data))
            run.host.write(place, data)
            return NEXT
        run.charge(0)
        store(run, variable, place, new)
        return NEXT

    return execute
