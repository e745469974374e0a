"""What state variables do: every read copies out of bytes, every write copies into bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from andon.core.codec import Key, Value, encode_value
from contracts_py.engine import gas
from contracts_py.engine.contract import EventSchema, Variable, fits
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.run import Run, Unset
from contracts_py.engine.storage import (
    STATE_KEY_BYTES_MAX,
    pack,
    pack_key,
    pack_plain,
    unpack,
    unpack_key,
)
from contracts_py.engine.values import flat_size, measure, type_name

KEY_LENGTH_SHORT: Final = 96
"""Texts up to this length fit into a state key, whatever their characters and the prefix."""

PAGE_PART: Final = 16
"""Entries asked of the host at once."""


def _rate(first: int) -> int:
    """Gas of a stored byte: single values are copied in one piece, containers built one by one."""
    is_single = first < 0x80 or 0xC0 <= first < 0xC7 or 0xCC <= first < 0xD4 or first >= 0xE0
    is_text = 0xA0 <= first < 0xC0 or 0xD9 <= first < 0xDC
    return gas.STATE_BYTE if is_single or is_text else gas.STATE_NODE_BYTE


_RATES: Final = tuple(_rate(first) for first in range(256))
_READ: Final = gas.STATE_READ
_WRITE: Final = gas.STATE_WRITE
_STATE_BYTE: Final = gas.STATE_BYTE
_EVENT_BYTE: Final = 1 + gas.STATE_BYTE
"""One byte of an event: measured as by `measure`, then kept."""

_TEXT: Final = gas.TEXT_BYTES
_SHIFT: Final = gas.BYTES_PER_GAS_SHIFT


def key_of(run: Run, variable: Variable, key: Value) -> bytes:
    """Check a map key and give its state key. Raises Fault E_TYPE or E_KEY."""
    spec = variable.key
    assert spec is not None, "the compiler gives a key to maps only"
    if type(key) is not spec.plain and not fits(run, spec, key):
        raise Fault("E_TYPE", f"key of {variable.name} is {spec}, not {type_name(key)}")
    if type(key) is str or type(key) is bytes:
        size = len(key)
        if size > STATE_KEY_BYTES_MAX:
            raise Fault("E_KEY", f"state key of more than {STATE_KEY_BYTES_MAX} bytes")
        run.gas -= size
        if run.gas < 0:
            raise out_of_gas()
        if size <= KEY_LENGTH_SHORT:
            return run.prefixes[variable.index] + pack_plain(key)
    elif type(key) is not int:
        measure(run, key, STATE_KEY_BYTES_MAX)
    return pack_key(run.prefixes[variable.index], key)


def load(run: Run, key: bytes) -> Value | Unset:
    """Read a state key; UNSET if nothing stands there."""
    data = run.host.read(key)
    if data is None:
        run.gas -= _READ
        if run.gas < 0:
            raise out_of_gas()
        return Unset.UNSET
    first = data[0]
    size = len(data)
    memory = 4 * size + _TEXT
    # Paid at once, for the read and for what it gave: a call reads at most once in vain.
    run.gas -= _READ + _RATES[first] * size + (memory >> _SHIFT)
    if run.gas < 0:
        raise out_of_gas()
    totals = run.totals
    totals.memory_bytes += memory
    if totals.memory_bytes > run.limits.memory_bytes_max:
        run.remember(0)  # raises
    if first < 0x80:
        return first
    return int.from_bytes(data[1:], "big") if 0xCC <= first <= 0xCF else unpack(data)


def store(run: Run, variable: Variable, key: bytes, value: Value) -> None:
    """Write a state key. Raises Fault E_ACCESS in a view, E_TYPE, E_SIZE, E_DEPTH."""
    if run.is_view:
        raise Fault("E_ACCESS", f"a view cannot change {variable.name}")
    spec = variable.value
    if type(value) is not spec.plain and not fits(run, spec, value):
        raise Fault("E_TYPE", f"{variable.name} holds {variable.value}, not {type_name(value)}")
    if type(value) is not int:
        measure(run, value, run.limits.value_bytes_max)
    data = pack(value)
    pay_write(run, len(key) + len(data))
    run.host.write(key, data)


def pay_write(run: Run, size: int) -> None:
    """Pay for a write of this many bytes, key included. Raises Fault E_OOG or E_SIZE."""
    run.gas -= _WRITE + _STATE_BYTE * size
    if run.gas < 0:
        raise out_of_gas()
    totals = run.totals
    totals.written_bytes += size
    if totals.written_bytes > run.limits.writes_bytes_max:
        raise _written(run)


def write_number(run: Run, key: bytes, number: int) -> None:
    """Pay for and write a number from 0 below 2**64, where none of `store`'s checks can fail."""
    data = pack_plain(number)
    # As `pay_write` does, for the most common of all writes.
    size = len(key) + len(data)
    run.gas -= _WRITE + _STATE_BYTE * size
    if run.gas < 0:
        raise out_of_gas()
    totals = run.totals
    totals.written_bytes += size
    if totals.written_bytes > run.limits.writes_bytes_max:
        raise _written(run)
    run.host.write(key, data)


def _written(run: Run) -> Fault:
    return Fault("E_SIZE", f"more than {run.limits.writes_bytes_max} bytes written in one call")


def map_item(run: Run, variable: Variable, key: Value) -> Value:
    """map[key]. Raises Fault E_KEY if there is none and no default."""
    return item_or_default(variable, load(run, key_of(run, variable, key)))


def item_or_default(variable: Variable, found: Value | Unset) -> Value:
    """What was read of a map, or its default. Raises Fault E_KEY if it has none."""
    if found is not Unset.UNSET:
        return found
    if variable.default is Unset.UNSET:
        raise Fault("E_KEY", f"{variable.name} has no such key")
    return variable.default


def map_get(run: Run, variable: Variable, key: Value, otherwise: Value) -> Value:
    """map.get(key, otherwise)."""
    found = load(run, key_of(run, variable, key))
    if found is not Unset.UNSET:
        return found
    if otherwise is None and variable.default is not Unset.UNSET:
        return variable.default
    return otherwise


def map_has(run: Run, variable: Variable, key: Value) -> bool:
    """Key in map."""
    place = key_of(run, variable, key)
    run.charge(gas.STATE_READ)
    return run.host.read(place) is not None


def map_set(run: Run, variable: Variable, key: Value, value: Value) -> None:
    """map[key] = value."""
    store(run, variable, key_of(run, variable, key), value)


def map_remove(run: Run, variable: Variable, key: Value) -> None:
    """map.remove(key); a key that is not there stays so."""
    if run.is_view:
        raise Fault("E_ACCESS", f"a view cannot change {variable.name}")
    place = key_of(run, variable, key)
    pay_write(run, len(place))
    run.host.write(place, None)


def map_page(run: Run, variable: Variable, after: Value, count: Value) -> Value:
    """map.page(after, count): lists [key, value] above `after` in the order of encoded keys."""
    if type(count) is not int or not 1 <= count <= run.limits.entries_max:
        raise Fault("E_RANGE", f"a page has 1 to {run.limits.entries_max} entries")
    start = None if after is None else key_of(run, variable, after)
    prefix = run.prefixes[variable.index]
    run.charge(gas.STATE_ITERATE + gas.STATE_ENTRY * count)
    entries: list[Value] = []
    while len(entries) < count:
        # In parts, so that the host never reads far more than the gas pays for.
        wanted = min(PAGE_PART, count - len(entries))
        found = run.host.iterate(prefix, start, wanted)
        for full, data in found:
            size = len(full) + len(data)
            run.charge(gas.STATE_NODE_BYTE * size)
            run.allocate(4 * size + 2 * gas.LIST_BYTES)
            entries.append([unpack_key(prefix, full), unpack(data)])
            start = full
        if len(found) < wanted:
            break
    return entries


def var_get(run: Run, variable: Variable) -> Value:
    """var.get(). Raises Fault E_KEY if it was never set and has no default."""
    found = load(run, run.prefixes[variable.index])
    if found is not Unset.UNSET:
        return found
    if variable.default is Unset.UNSET:
        raise Fault("E_KEY", f"{variable.name} was never set")
    return variable.default


def var_set(run: Run, variable: Variable, value: Value) -> None:
    """var.set(value)."""
    store(run, variable, run.prefixes[variable.index], value)


def emit(run: Run, event: EventSchema, values: Sequence[Value]) -> None:
    """Record an event; `values` stand in the order of the schema."""
    if run.is_view:
        raise Fault("E_ACCESS", "a view emits no events")
    limits, totals = run.limits, run.totals
    size = flat_size(event.plains, values)
    is_flat = 0 <= size <= limits.value_bytes_max
    if is_flat:
        run.gas -= event.cost + _EVENT_BYTE * size
    else:
        size = _measured(run, event, values)
    if run.gas < 0:
        raise out_of_gas()
    totals.events += 1
    totals.events_bytes += size
    if totals.events > limits.events_max or totals.events_bytes > limits.events_bytes_max:
        raise Fault("E_SIZE", "too many or too large events in one call")
    ordered = values if event.pick is None else event.pick(values)
    fields: dict[Key, Value] = dict(zip(event.names, ordered))  # noqa: B905 - the compiler counted
    try:
        encoded = pack_plain(fields) if is_flat else encode_value(fields)
    except OverflowError:
        encoded = encode_value(fields)  # An integer needs the extension.
    run.host.emit(run.name, event.name, encoded)


def _measured(run: Run, event: EventSchema, values: Sequence[Value]) -> int:
    """Check the types of fields, give their size and pay for the event; the caller looks at gas."""
    for item, value in zip(event.fields, values, strict=True):
        if type(value) is not item.spec.plain and not fits(run, item.spec, value):
            raise Fault(
                "E_TYPE", f"{event.name}.{item.name} is {item.spec}, not {type_name(value)}"
            )
    size = measure(run, list(values), run.limits.value_bytes_max)
    run.gas -= gas.EVENT + gas.STATE_BYTE * size
    return size
