"""Arguments that are single values of one declared type each: the most common call.

A typed record of the method's parameters lets C code decode them, check names, types and canonical
form, all at once. What does not fit takes the long way, which gives the same values, gas and faults
and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Final

import msgspec

from contracts_py.engine import gas
from contracts_py.engine.run import Locals
from contracts_py.engine.storage import pack_plain

FLAT_BYTES_MAX: Final = 64 * 1024
"""Encoded arguments up to this size are tried as a record first."""

FLAT_FORMS_MAX: Final = 1024
"""Records that are kept for the next contract with the same parameters; each takes 4 KB."""

FLAT_BYTES: Final[dict[type | None, int]] = {int: 1, bytes: 3, str: 3, bool: 1}
"""Bytes that `measure` counts for a value besides its content, by the types that may be flat."""

CONTAINER_BYTES: Final = 6
"""Bytes that `measure` counts for the list around them."""


_astuple: Final = msgspec.structs.astuple


class FlatArguments:
    """Reads the arguments of methods with these parameters."""

    __slots__ = ("_base", "_bytes", "_decode", "_integers", "_pick", "_texts")

    def __init__(self, names: tuple[str, ...], types: tuple[type, ...]) -> None:
        """`names` and `types` are in the order of the parameters; all types are in FLAT_BYTES."""
        # An encoded map has its entries in the order of their encoded keys.
        order = sorted(range(len(names)), key=lambda place: pack_plain(names[place]))
        # Fields have names of their own: a parameter may be called as something that records have.
        fields = {f"f{place}": names[place] for place in order}
        record = msgspec.defstruct(
            "Arguments",
            [(f"f{place}", types[place]) for place in order],
            rename=fields,
            gc=False,
        )
        self._decode = msgspec.msgpack.Decoder(record).decode
        places = range(len(names))
        self._pick = None
        if order != list(places):
            self._pick = itemgetter(*[order.index(place) for place in places])
        self._integers = tuple([place for place in places if types[place] is int])
        self._bytes = tuple([place for place in places if types[place] is bytes])
        self._texts = tuple([place for place in places if types[place] is str])
        content = CONTAINER_BYTES + sum([FLAT_BYTES[each] for each in types])
        self._base = gas.NODE_ENCODE * (len(names) + 1) + content

    def read(self, data: bytes) -> tuple[Locals, int] | None:
        """Give the values in the order of the parameters, and the gas of decoding them.

        None says nothing: neither what they are nor what is wrong with them.
        """
        if len(data) > FLAT_BYTES_MAX:
            return None
        try:
            record = self._decode(data)
        except (msgspec.MsgspecError, ValueError):
            return None
        # One spelling of one value: entries in order, none besides, shortest forms.
        if pack_plain(record) != data:
            return None
        values = _astuple(record)
        if self._pick is not None:
            values = self._pick(values)
        cost = self._base
        for place in self._integers:
            cost += values[place].bit_length() + 8 >> 3
        for place in self._bytes:
            cost += len(values[place])
        for place in self._texts:
            text = values[place]
            cost += len(text) if text.isascii() else 4 * len(text)
        return list(values), cost


@lru_cache(FLAT_FORMS_MAX)
def _form(names: tuple[str, ...], types: tuple[type, ...]) -> FlatArguments:
    return FlatArguments(names, types)


def flat_arguments(names: tuple[str, ...], plains: Sequence[type | None]) -> FlatArguments | None:
    """Give the reader for these parameters, None if one of them may be more than a single value.

    `plains` are the types that alone fit, as in `TypeSpec.plain`. Cost: making one takes as long
    as some ten calls.
    """
    types = tuple([plain for plain in plains if plain is not None and plain in FLAT_BYTES])
    return _form(names, types) if len(types) == len(names) else None
