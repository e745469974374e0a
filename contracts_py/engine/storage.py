"""Bytes of state: keys by the layout of `andon.core.state_key`, values by `andon.core.codec`.

Small values take a short way that gives the same bytes; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgpack

from andon.core.codec import Value, decode_own, decode_value, encode_value
from andon.core.state_key import ABSENT, STATE_KEY_BYTES_MAX, state_key, state_prefix
from contracts_py.engine.faults import Fault

__all__ = [
    "ABSENT",
    "PLAIN",
    "STATE_KEY_BYTES_MAX",
    "pack",
    "pack_key",
    "pack_plain",
    "state_key",
    "state_prefix",
    "unpack",
    "unpack_arguments",
]

pack_plain: Final[Callable[[object], bytes]] = msgpack.Packer(
    use_bin_type=True, strict_types=True, autoreset=True
).pack
"""Encode a text, bytes, bool, None or an integer from -2**63 below 2**64: `pack` without a frame.

A flat dict of these is encoded as it stands: the caller has its keys in canonical order.
"""

PLAIN: Final = frozenset({str, bytes, bool, type(None), int})
_SMALL_MAP: Final = 0x80
"""First byte of a map without entries; one of up to fifteen begins with as many more."""

FLAT_BYTES_MAX: Final = 4096
"""Encoded arguments up to this size are tried as a flat map first."""

_SCALARS: Final = frozenset({str, bytes, bool, type(None)})


def pack(value: Value) -> bytes:
    """Encode a value whose size, depth and types are already checked."""
    kind = type(value)
    if kind in _SCALARS or (kind is int and -(2**63) <= value < 2**64):  # type: ignore[operator] # an int
        return pack_plain(value)
    return encode_value(value)


def unpack(data: bytes) -> Value:
    """Decode a value that `pack` once wrote."""
    first = data[0]
    if first < 0x80 and len(data) == 1:
        return first
    if 0xCC <= first <= 0xCF:
        return int.from_bytes(data[1:], "big")
    if 0xA0 <= first < 0xC0:
        return data[1:].decode()
    return decode_own(data)


def unpack_arguments(data: bytes, names: tuple[str, ...]) -> dict[str, Value] | None:
    """Decode a map of exactly these names, in this order, to single values; None says nothing.

    `names` are in the order of their encodings, so the map is canonical if it encodes to `data`.
    """
    if not 0 < len(data) <= FLAT_BYTES_MAX or data[0] != _SMALL_MAP + len(names):
        return None
    try:
        value = msgpack.unpackb(data)
        if tuple(value) != names or not PLAIN.issuperset(map(type, value.values())):
            return None
        return value if pack_plain(value) == data else None
    except (ValueError, TypeError, msgpack.UnpackException):
        return None  # The long way says what is wrong.


def pack_key(prefix: bytes, key: Value) -> bytes:
    """Give the state key of a map entry.

    Raises:
        Fault: E_KEY if it is longer than STATE_KEY_BYTES_MAX.
    """
    full = prefix + pack(key)
    if len(full) > STATE_KEY_BYTES_MAX:
        raise Fault("E_KEY", f"state key of more than {STATE_KEY_BYTES_MAX} bytes")
    return full


def unpack_key(prefix: bytes, full: bytes) -> Value:
    """Give the map key inside a state key."""
    return decode_value(full[len(prefix) :])
