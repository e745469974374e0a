"""Methods of values: a fixed table by type and name; there is no attribute look-up anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from andon.core.codec import Value
from contracts_py.engine import gas
from contracts_py.engine.builtins import elements_of, integer
from contracts_py.engine.faults import Fault
from contracts_py.engine.operators import shown
from contracts_py.engine.run import Run
from contracts_py.engine.values import dict_key, equal, find_cost, sort, type_name

ValueMethod: TypeAlias = Callable[[Run, Value, list[Value]], Value]

_UPPER: Final = {code: code - 32 for code in range(97, 123)}
_LOWER: Final = {code: code + 32 for code in range(65, 91)}
_SPACES: Final = " \t\n"


def _str(value: Value) -> str:
    if type(value) is not str:
        raise Fault("E_TYPE", f"needs a str, not {type_name(value)}")
    return value


def _list(value: Value) -> list[Value]:
    assert type(value) is list, "the table dispatches by type"
    return value


def _upper(run: Run, value: Value, args: list[Value]) -> Value:
    """ASCII letters only: case of others changes with the Unicode version."""
    del args
    text = _str(value)
    run.text(len(text))
    run.charge(2 * len(text))
    return text.translate(_UPPER)


def _lower(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    text = _str(value)
    run.text(len(text))
    run.charge(2 * len(text))
    return text.translate(_LOWER)


def _strip(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    text = _str(value)
    run.text(len(text))
    return text.strip(_SPACES)


def _split(run: Run, value: Value, args: list[Value]) -> Value:
    text, separator = _str(value), _str(args[0])
    if not separator:
        raise Fault("E_RANGE", "empty separator")
    run.charge(find_cost(len(text), len(separator)))
    count = text.count(separator) + 1
    run.allocate(count * (gas.TEXT_BYTES + gas.ELEMENT_BYTES) + len(text))
    return list(text.split(separator))


def _join(run: Run, value: Value, args: list[Value]) -> Value:
    separator = _str(value)
    parts = [_str(item) for item in elements_of(run, args[0])]
    run.text(sum([len(part) for part in parts]) + len(separator) * max(0, len(parts) - 1))
    return separator.join(parts)


def _replace(run: Run, value: Value, args: list[Value]) -> Value:
    text, old, new = _str(value), _str(args[0]), _str(args[1])
    if not old:
        raise Fault("E_RANGE", "nothing to replace")
    run.charge(find_cost(len(text), len(old)))
    run.text(len(text) + text.count(old) * max(0, len(new) - len(old)))
    return text.replace(old, new)


def _starts(run: Run, value: Value, args: list[Value]) -> Value:
    run.charge(len(_str(args[0])) >> gas.BYTES_PER_GAS_SHIFT)
    return _str(value).startswith(_str(args[0]))


def _ends(run: Run, value: Value, args: list[Value]) -> Value:
    run.charge(len(_str(args[0])) >> gas.BYTES_PER_GAS_SHIFT)
    return _str(value).endswith(_str(args[0]))


def _find(run: Run, value: Value, args: list[Value]) -> Value:
    text, part = _str(value), _str(args[0])
    run.charge(find_cost(len(text), len(part)))
    return text.find(part)


def _text_count(run: Run, value: Value, args: list[Value]) -> Value:
    text, part = _str(value), _str(args[0])
    run.charge(find_cost(len(text), len(part)))
    return text.count(part)


def _is_digit(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    text = _str(value)
    run.charge(len(text) >> gas.BYTES_PER_GAS_SHIFT)
    return text.isascii() and text.isdigit()


def _is_alpha(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    text = _str(value)
    run.charge(len(text) >> gas.BYTES_PER_GAS_SHIFT)
    return text.isascii() and text.isalpha()


def _text_encode(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    text = _str(value)
    run.text(4 * len(text))
    return text.encode()


def _hex(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    assert type(value) is bytes, "the table dispatches by type"
    run.text(2 * len(value))
    return value.hex()


def _bytes_decode(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    assert type(value) is bytes, "the table dispatches by type"
    run.text(len(value))
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Fault("E_RANGE", "bytes are not UTF-8 text") from None


def _append(run: Run, value: Value, args: list[Value]) -> Value:
    run.allocate(gas.ELEMENT_BYTES)
    _list(value).append(args[0])
    return None


def _extend(run: Run, value: Value, args: list[Value]) -> Value:
    _list(value).extend(elements_of(run, args[0]))
    return None


def _pop(run: Run, value: Value, args: list[Value]) -> Value:
    items = _list(value)
    index = integer(args[0], "index") if args else -1
    if not -len(items) <= index < len(items):
        raise Fault("E_INDEX", f"pop from a list of {len(items)}")
    if args:
        run.charge(len(items) >> 2)
    return items.pop(index)


def _insert(run: Run, value: Value, args: list[Value]) -> Value:
    items, index = _list(value), integer(args[0], "index")
    if not -len(items) <= index <= len(items):
        raise Fault("E_INDEX", f"insert into a list of {len(items)}")
    run.allocate(gas.ELEMENT_BYTES)
    run.charge(len(items) >> 2)
    items.insert(index, args[1])
    return None


def _index(run: Run, value: Value, args: list[Value]) -> Value:
    assert isinstance(value, list | tuple), "the table dispatches by type"
    for place, item in enumerate(value):
        run.charge(gas.NODE)
        if equal(run, item, args[0]):
            return place
    raise Fault("E_INDEX", "no such element")


def _count(run: Run, value: Value, args: list[Value]) -> Value:
    assert isinstance(value, list | tuple), "the table dispatches by type"
    total = 0
    for item in value:
        run.charge(gas.NODE)
        total += 1 if equal(run, item, args[0]) else 0
    return total


def _reverse(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    run.charge(len(_list(value)))
    _list(value).reverse()
    return None


def _sort(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    items = _list(value)
    items[:] = sort(run, items)
    return None


def _get(run: Run, value: Value, args: list[Value]) -> Value:
    del run
    assert type(value) is dict, "the table dispatches by type"
    return value.get(dict_key(args[0]), args[1] if len(args) == 2 else None)


def _keys(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    return elements_of(run, value)


def _values(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    assert type(value) is dict, "the table dispatches by type"
    run.elements(len(value))
    return list(value.values())


def _items(run: Run, value: Value, args: list[Value]) -> Value:
    del args
    assert type(value) is dict, "the table dispatches by type"
    run.elements(4 * len(value))
    run.charge(gas.NODE * len(value))
    return list(value.items())


def _dict_pop(run: Run, value: Value, args: list[Value]) -> Value:
    del run
    assert type(value) is dict, "the table dispatches by type"
    key = dict_key(args[0])
    if key not in value and len(args) == 1:
        raise Fault("E_KEY", f"no key {shown(key)}")
    return value.pop(key, args[1] if len(args) == 2 else None)


def _update(run: Run, value: Value, args: list[Value]) -> Value:
    assert type(value) is dict, "the table dispatches by type"
    other = args[0]
    if type(other) is not dict:
        raise Fault("E_TYPE", f"update needs a dict, not {type_name(other)}")
    run.allocate(gas.ENTRY_BYTES * len(other))
    run.charge(gas.NODE * len(other))
    value.update(other)
    return None


def _copy(run: Run, value: Value, args: list[Value]) -> Value:
    """A shallow copy."""
    del args
    if type(value) is dict:
        run.allocate(gas.ENTRY_BYTES * len(value))
        run.charge(gas.NODE * len(value))
        return dict(value)
    return elements_of(run, value)


METHODS: Final[dict[tuple[type, str], tuple[ValueMethod, int, int]]] = {
    (str, "upper"): (_upper, 0, 0),
    (str, "lower"): (_lower, 0, 0),
    (str, "strip"): (_strip, 0, 0),
    (str, "split"): (_split, 1, 1),
    (str, "join"): (_join, 1, 1),
    (str, "replace"): (_replace, 2, 2),
    (str, "startswith"): (_starts, 1, 1),
    (str, "endswith"): (_ends, 1, 1),
    (str, "find"): (_find, 1, 1),
    (str, "count"): (_text_count, 1, 1),
    (str, "isdigit"): (_is_digit, 0, 0),
    (str, "isalpha"): (_is_alpha, 0, 0),
    (str, "encode"): (_text_encode, 0, 0),
    (bytes, "hex"): (_hex, 0, 0),
    (bytes, "decode"): (_bytes_decode, 0, 0),
    (list, "append"): (_append, 1, 1),
    (list, "extend"): (_extend, 1, 1),
    (list, "pop"): (_pop, 0, 1),
    (list, "insert"): (_insert, 2, 2),
    (list, "index"): (_index, 1, 1),
    (list, "count"): (_count, 1, 1),
    (list, "reverse"): (_reverse, 0, 0),
    (list, "sort"): (_sort, 0, 0),
    (list, "copy"): (_copy, 0, 0),
    (tuple, "index"): (_index, 1, 1),
    (tuple, "count"): (_count, 1, 1),
    (dict, "get"): (_get, 1, 2),
    (dict, "keys"): (_keys, 0, 0),
    (dict, "values"): (_values, 0, 0),
    (dict, "items"): (_items, 0, 0),
    (dict, "pop"): (_dict_pop, 1, 2),
    (dict, "update"): (_update, 1, 1),
    (dict, "copy"): (_copy, 0, 0),
}
METHOD_ARITIES: Final[dict[str, list[tuple[int, int]]]] = {
    name: [(least, most) for (_, other), (_, least, most) in METHODS.items() if other == name]
    for _, name in METHODS
}


def call_method(run: Run, value: Value, name: str, args: list[Value]) -> Value:
    """value.name(*args). Raises Fault E_TYPE if the type has no such method."""
    found = METHODS.get((type(value), name))
    if found is None:
        raise Fault("E_TYPE", f"{type_name(value)} has no method {name}")
    method, least, most = found
    if not least <= len(args) <= most:
        raise Fault("E_TYPE", f"{name} takes {least} to {most} arguments")
    return method(run, value, args)
