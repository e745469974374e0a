"""The one canonical byte form of Andon: typed records and open values, both MessagePack.

Records are msgspec structs declared with `Record`: fixed-length arrays of unsigned integers
below 2**64, bytes, str, bool, nil and further records. Open values (contract arguments, state,
events) are `Value`: None, bool, int below 2**256 in magnitude, str, bytes, list, tuple, dict and
`Dec`. What is decoded must re-encode to the same bytes; nothing else is accepted, so one thing
has one spelling and may be hashed as received.

Source: reliability reference 5.7 (MessagePack accepts nine spellings of 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from types import GenericAlias
from typing import TypeVar, Union, cast

import msgpack
import msgspec

from andon.core.errors import Code, InvalidInput, Misuse

RECORD_BYTES_MAX = 32 * 1024 * 1024
VALUE_BYTES_MAX = 4 * 1024 * 1024
VALUE_DEPTH_MAX = 16
INTEGER_BITS_MAX = 256
DEC_SCALE = 10**18

_EXT_INTEGER = 1
_EXT_DEC = 2
_EXT_TUPLE = 3


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every typed record: immutable, encoded as a fixed-length array."""


class Dec(msgspec.Struct, frozen=True, order=True):
    """A fixed-point decimal: `scaled / 10**18`. Open values carry it; records never do."""

    scaled: int


Value = Union[
    None, bool, int, str, bytes, Dec, list["Value"], tuple["Value", ...], dict["Key", "Value"]
]
Key = Union[None, bool, int, str, bytes, Dec, tuple["Key", ...]]
R = TypeVar("R", bound=Record)


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Record], msgspec.msgpack.Decoder[Record]] = {}
_list_decoders: dict[type[Record], msgspec.msgpack.Decoder[tuple[Record, ...]]] = {}
_ARRAY_HEAD = b"\xdd"


def encode(record: Record) -> bytes:
    """Encode a record to its canonical bytes."""
    return _encoder.encode(record)


def encode_all(records: Iterable[Record]) -> tuple[bytes, ...]:
    """Encode many records, each to bytes of its own."""
    return tuple(map(_encoder.encode, records))


def decode(kind: type[R], data: bytes, size_max: int = RECORD_BYTES_MAX) -> R:
    """Decode one record and require that it re-encodes to the same bytes.

    Raises:
        InvalidInput: TOO_LARGE, MALFORMED or NOT_CANONICAL.
    """
    if len(data) > size_max:
        raise InvalidInput(
            Code.TOO_LARGE, f"{kind.__name__} of {len(data)} bytes exceeds {size_max}"
        )
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind, strict=True)
    try:
        record = decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(Code.MALFORMED, f"not a {kind.__name__}: {error}") from None
    if _encoder.encode(record) != data:
        raise InvalidInput(Code.NOT_CANONICAL, f"{kind.__name__} is not in its canonical form")
    assert isinstance(record, kind)
    return record


def decode_certified(kind: type[R], leaves: Sequence[bytes]) -> tuple[R, ...]:
    """Decode the leaves under a root that a quorum signed, all in one step.

    Their bytes are what honest nodes encoded, so their form is not checked again.

    Raises:
        InvalidInput: MALFORMED.
    """
    decoder = _list_decoders.get(kind)
    if decoder is None:
        made = msgspec.msgpack.Decoder(GenericAlias(tuple, (kind, ...)), strict=True)
        decoder = _list_decoders[kind] = made
    try:
        records = decoder.decode(b"".join((_ARRAY_HEAD, len(leaves).to_bytes(4, "big"), *leaves)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(Code.MALFORMED, f"not a list of {kind.__name__}: {error}") from None
    return cast("tuple[R, ...]", records)


def encode_arguments(arguments: Mapping[str, Value]) -> bytes:
    """Encode named arguments as the map that calls and @init carry."""
    entries: dict[Key, Value] = {name: value for name, value in arguments.items()}  # noqa: C416 - widens the key type
    return encode_value(entries)


def encode_value(value: Value) -> bytes:
    """Encode an open value: minimal integers, map entries in ascending order of encoded key.

    Raises:
        Misuse: MALFORMED for a type outside `Value`, TOO_DEEP, TOO_LARGE.
    """
    kind = type(value)
    if kind is str or kind is bytes:  # Most state keys and many values.
        data = _pack_plain(value)
    else:
        out: list[bytes] = []
        _put(value, out, 0)
        data = b"".join(out)
    if len(data) > VALUE_BYTES_MAX:
        raise Misuse(Code.TOO_LARGE, f"value of {len(data)} bytes exceeds {VALUE_BYTES_MAX}")
    return data


def decode_value(data: bytes, size_max: int = VALUE_BYTES_MAX) -> Value:
    """Decode one open value and require that it re-encodes to the same bytes.

    Raises:
        InvalidInput: TOO_LARGE, TOO_DEEP, MALFORMED or NOT_CANONICAL.
    """
    if len(data) > size_max:
        raise InvalidInput(Code.TOO_LARGE, f"value of {len(data)} bytes exceeds {size_max}")
    value = _unpack(data, 0)
    if type(value) is dict and _is_canonical_map(value, data):
        return value
    try:
        canonical = encode_value(value)
    except Misuse as error:
        raise InvalidInput(error.code, error.message) from None
    if canonical != data:
        raise InvalidInput(Code.NOT_CANONICAL, "value is not in its canonical form")
    return value


def decode_own(data: bytes) -> Value:
    """Decode what `encode_value` wrote into the state of this node; its form is not checked again.

    The state tree commits to these very bytes, so two forms of one value cannot meet here.

    Raises:
        InvalidInput: MALFORMED or TOO_DEEP; the caller's storage is damaged.
    """
    return _unpack(data, 0)


def _is_canonical_map(value: dict[Key, Value], data: bytes) -> bool:
    """Tell quickly that named plain values, as in most calls, are canonical; False says nothing."""
    if not _PLAIN_OR_INTEGER.issuperset(map(type, value.values())):
        return False
    last = (0, "")
    for key in value:
        if type(key) is not str or not key.isascii():
            return False
        # Encoded text begins with its length, so this is the order of encoded keys.
        place = (len(key), key)
        if place <= last:
            return False
        last = place
    try:
        return bool(_pack_plain(value) == data)
    except OverflowError:
        return False  # An integer needs the extension.


_packer = msgpack.Packer(use_bin_type=True, strict_types=True, autoreset=True)
_PLAIN = frozenset({str, bytes, bool, type(None)})
_PLAIN_OR_INTEGER = _PLAIN | {int}


def _put(value: Value, out: list[bytes], depth: int) -> None:
    if depth > VALUE_DEPTH_MAX:
        raise Misuse(Code.TOO_DEEP, f"value is nested deeper than {VALUE_DEPTH_MAX}")
    kind = type(value)
    if kind in _PLAIN:
        out.append(_pack_plain(value))
    elif kind is int:
        out.append(_pack_integer(value))  # type: ignore[arg-type] # kind is int
    elif kind is list:
        _put_list(value, out, depth)  # type: ignore[arg-type] # a list
    elif kind is dict:
        _put_map(value, out, depth)  # type: ignore[arg-type] # a dict
    elif kind is Dec:
        out.append(_decimal(value))  # type: ignore[arg-type] # a Dec
    elif kind is tuple:
        inner: list[bytes] = []
        _put_list(list(value), inner, depth)  # type: ignore[arg-type] # a tuple
        out.append(_extended(_EXT_TUPLE, b"".join(inner)))
    else:
        raise Misuse(Code.MALFORMED, f"{kind.__name__} is not a value type")


def _pack_plain(value: Value) -> bytes:
    # Single values have one form in both libraries, and this one writes it in half the time.
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        raise Misuse(Code.MALFORMED, "text holds a lone surrogate") from None


def _put_list(value: list[Value], out: list[bytes], depth: int) -> None:
    # Long flat lists (windows of readings) are packed at once; the form is the same.
    if depth < VALUE_DEPTH_MAX and _PLAIN_OR_INTEGER.issuperset(map(type, value)):
        try:
            out.append(_pack_plain(value))
        except OverflowError:
            pass  # An integer needs the extension.
        else:
            return
    out.append(_packer.pack_array_header(len(value)))
    if depth < VALUE_DEPTH_MAX and set(map(type, value)) == {Dec}:
        out += map(_decimal, value)  # type: ignore[arg-type] # all are Dec: outputs of models
        return
    for item in value:
        _put(item, out, depth + 1)


def _put_map(value: dict[Key, Value], out: list[bytes], depth: int) -> None:
    entries: list[tuple[bytes, Value]] = []
    for key, item in value.items():
        if type(key) is str:
            entries.append((_pack_plain(key), item))
            continue
        encoded: list[bytes] = []
        _put(key, encoded, depth + 1)
        entries.append((b"".join(encoded), item))
    if entries and depth == VALUE_DEPTH_MAX:
        raise Misuse(Code.TOO_DEEP, f"value is nested deeper than {VALUE_DEPTH_MAX}")
    entries.sort(key=_encoded_key)
    out.append(_packer.pack_map_header(len(entries)))
    for encoded_key, item in entries:
        out.append(encoded_key)
        if type(item) in _PLAIN:
            out.append(_pack_plain(item))
        else:
            _put(item, out, depth + 1)


_encoded_key = itemgetter(0)


def _pack_integer(value: int) -> bytes:
    if -(2**63) <= value < 2**64:
        packed: bytes = _packer.pack(value)
        return packed
    if value.bit_length() > INTEGER_BITS_MAX:
        raise Misuse(Code.TOO_LARGE, f"integer exceeds {INTEGER_BITS_MAX} bits")
    return _extended(_EXT_INTEGER, _integer_bytes(value))


_FIXED_EXTENSIONS = {1: b"\xd4", 2: b"\xd5", 4: b"\xd6", 8: b"\xd7", 16: b"\xd8"}


def _extended(code: int, content: bytes) -> bytes:
    """Write an extension in the shortest of MessagePack's forms."""
    size = len(content)
    fixed = _FIXED_EXTENSIONS.get(size)
    if fixed is not None:
        return fixed + bytes((code,)) + content
    if size < 2**8:
        return bytes((0xC7, size, code)) + content
    if size < 2**16:
        return b"\xc8" + size.to_bytes(2, "big") + bytes((code,)) + content
    return b"\xc9" + size.to_bytes(4, "big") + bytes((code,)) + content


def _decimal(value: Dec) -> bytes:
    # As `_extended` of `_integer_bytes` in one frame: lists of outputs hold many.
    number = value.scaled
    length = (number if number >= 0 else number + 1).bit_length() // 8 + 1
    if length not in _DEC_HEADS or number.bit_length() > INTEGER_BITS_MAX:
        raise Misuse(Code.TOO_LARGE, f"integer exceeds {INTEGER_BITS_MAX} bits")
    return _DEC_HEADS[length] + number.to_bytes(length, "big", signed=True)


_DEC_HEADS = {
    length: _extended(_EXT_DEC, bytes(length))[:-length]
    for length in range(1, INTEGER_BITS_MAX // 8 + 2)
}


def _integer_bytes(value: int) -> bytes:
    """Shortest two's complement, big endian; at least one byte."""
    if value.bit_length() > INTEGER_BITS_MAX:
        raise Misuse(Code.TOO_LARGE, f"integer exceeds {INTEGER_BITS_MAX} bits")
    length = (value.bit_length() if value >= 0 else (value + 1).bit_length()) // 8 + 1
    return value.to_bytes(length, "big", signed=True)


def _unpack(data: bytes, depth: int) -> Value:
    if depth > VALUE_DEPTH_MAX:
        raise InvalidInput(Code.TOO_DEEP, f"value is nested deeper than {VALUE_DEPTH_MAX}")

    try:
        value: Value = msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=False,
            ext_hook=_extension if depth == 0 else partial(_extension, depth=depth),
            object_pairs_hook=_pairs,
            unicode_errors="strict",
        )
    except InvalidInput:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidInput(Code.MALFORMED, f"not a value: {error}") from None
    return value


def _extension(code: int, content: bytes, depth: int = 0) -> Value:
    if code in (_EXT_INTEGER, _EXT_DEC):
        if not 1 <= len(content) <= INTEGER_BITS_MAX // 8 + 1:
            raise InvalidInput(Code.MALFORMED, "integer extension of bad length")
        number = int.from_bytes(content, "big", signed=True)
        return number if code == _EXT_INTEGER else Dec(number)
    if code == _EXT_TUPLE:
        items = _unpack(content, depth + 1)
        if type(items) is list:
            return tuple(items)
    raise InvalidInput(Code.MALFORMED, f"unknown extension {code}")


def _pairs(entries: list[tuple[Key, Value]]) -> dict[Key, Value]:
    # 1 and True are equal keys in Python; two spellings of one key must not vanish silently.
    result = dict(entries)
    if len(result) != len(entries):
        raise InvalidInput(Code.NOT_CANONICAL, "map holds a key twice")
    return result
