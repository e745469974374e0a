"""Bytes of state: keys by the layout of `andon.core.state_key`, values by `andon.core.codec`.

Small values take a short way that gives the same bytes; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from andon.core.codec import Value, decode_own, decode_value, encode_value
from andon.core.state_key import ABSENT, STATE_KEY_BYTES_MAX, state_key, state_prefix
from contracts_py.engine.faults import Fault

__all__ = [
    "ABSENT",
    "STATE_KEY_BYTES_MAX",
    "pack",
    "pack_key",
    "pack_plain",
    "state_key",
    "state_prefix",
    "unpack",
]

pack_plain: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode
"""Encode a text, bytes, bool, None or an integer from -2**63 below 2**64: `pack` without a frame.

A flat dict or record of these is encoded as it stands: the caller has its keys in canonical order.
"""

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
