"""Functions of the language between numbers, text and bytes; digests and signatures."""

from __future__ import annotations

import hashlib
from typing import Final

from andon.core.codec import DEC_SCALE, Dec, Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.keys import CONTRACT_MESSAGE_TAG, verify
from contracts_py.engine import gas
from contracts_py.engine.builtins import Builtin, elements_of, integer
from contracts_py.engine.faults import Fault
from contracts_py.engine.run import Run
from contracts_py.engine.values import bounded, check_keys, decimal, measure, type_name

CONTRACT_TAG: Final = b"andon/contract\0"


DIGITS_MAX: Final = 78


PLACES_MAX: Final = 18
_NUMBER_BYTES: Final = gas.TEXT_BYTES + DIGITS_MAX + PLACES_MAX
_NUMBER_GAS: Final = (_NUMBER_BYTES >> gas.BYTES_PER_GAS_SHIFT) + gas.NODE * 4


def text_of(run: Run, value: Value) -> str:
    """str(value) of a text, number, bool or None; other types have no text."""
    if type(value) is str:
        return value
    if type(value) is int and run.gas >= _NUMBER_GAS:
        totals, limits = run.totals, run.limits
        is_text = limits.text_length_max >= DIGITS_MAX + PLACES_MAX
        if is_text and totals.memory_bytes + _NUMBER_BYTES <= limits.memory_bytes_max:
            # As below, where nothing can fail.
            run.gas -= _NUMBER_GAS
            totals.memory_bytes += _NUMBER_BYTES
            return str(value)
    run.text(DIGITS_MAX + PLACES_MAX)
    if type(value) is int:
        run.charge(gas.NODE * 4)
        return str(value)
    if value is None or type(value) is bool:
        return str(value)
    if type(value) is Dec:
        run.charge(gas.NODE * 8)
        whole, part = divmod(abs(value.scaled), DEC_SCALE)
        digits = str(part).rjust(PLACES_MAX, "0").rstrip("0")
        sign = "-" if value.scaled < 0 else ""
        return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"
    raise Fault("E_TYPE", f"{type_name(value)} has no text; use .hex() for bytes")


def parse_decimal(text: str) -> Dec:
    """Read -12.5: at most 18 places. Raises Fault E_RANGE."""
    body = text.removeprefix("-")
    whole, dot, part = body.partition(".")
    is_plain = _is_digits(whole) and (not dot or _is_digits(part)) and len(part) <= PLACES_MAX
    if not is_plain or len(whole) > DIGITS_MAX:
        raise Fault("E_RANGE", "not a decimal of at most 18 places")
    number = int(whole) * DEC_SCALE + int((part or "0").ljust(PLACES_MAX, "0"))
    return decimal(-number if body != text else number)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _text(run: Run, args: list[Value]) -> Value:
    return text_of(run, args[0])


def _integer(run: Run, args: list[Value]) -> Value:
    value = args[0]
    if type(value) is int:
        return value
    if type(value) is bool:
        return 1 if value else 0
    if type(value) is Dec:
        whole = abs(value.scaled) // DEC_SCALE
        return -whole if value.scaled < 0 else whole
    if type(value) is str:
        body = value.removeprefix("-")
        if not _is_digits(body) or len(body) > DIGITS_MAX:
            raise Fault("E_RANGE", "not an integer of at most 78 digits")
        run.charge(len(body) * 4)
        return bounded(int(value))
    raise Fault("E_TYPE", f"int({type_name(value)}) is not defined")


def _decimal(run: Run, args: list[Value]) -> Value:
    value = args[0]
    if type(value) is Dec:
        return value
    if type(value) is int:
        return decimal(value * DEC_SCALE)
    if type(value) is str:
        run.charge(len(value) * 4)
        return parse_decimal(value)
    raise Fault("E_TYPE", f"dec({type_name(value)}) is not defined")


def _bytes(run: Run, args: list[Value]) -> Value:
    """bytes(list of 0 to 255)."""
    numbers = elements_of(run, args[0])
    run.text(len(numbers))
    if any(type(item) is not int or not 0 <= item <= 255 for item in numbers):
        raise Fault("E_RANGE", "bytes are made of ints from 0 to 255")
    return bytes([item for item in numbers if type(item) is int])


def _code_point(run: Run, args: list[Value]) -> Value:
    del run
    value = args[0]
    if type(value) is not str or len(value) != 1:
        raise Fault("E_TYPE", "ord needs one character")
    return ord(value)


def _character(run: Run, args: list[Value]) -> Value:
    number = integer(args[0], "code point")
    if not 0 <= number <= 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise Fault("E_RANGE", "not a code point of text")
    run.text(4)
    return chr(number)


def _sha256(run: Run, args: list[Value]) -> Value:
    value = args[0]
    if type(value) is not bytes:
        raise Fault("E_TYPE", f"sha256 of {type_name(value)}; use .encode() or encode()")
    run.charge(gas.HASH + gas.HASH_BYTE * len(value))
    return hashlib.sha256(value).digest()


def _hash256(run: Run, args: list[Value]) -> Value:
    """SHA-256 under the tag of contracts: no other digest of the chain can be taken for it."""
    value = args[0]
    if type(value) is not bytes:
        raise Fault("E_TYPE", f"hash256 of {type_name(value)}; use .encode() or encode()")
    run.charge(gas.HASH + gas.HASH_BYTE * len(value))
    return hashlib.sha256(CONTRACT_TAG + value).digest()


def _signature_is_valid(run: Run, args: list[Value]) -> Value:
    """signature_is_valid(key, message, signature): Ed25519 under the tag of messages."""
    key, message, signature = args
    if type(key) is not bytes or type(message) is not bytes or type(signature) is not bytes:
        raise Fault("E_TYPE", "key, message and signature are bytes")
    run.charge(gas.SIGNATURE + gas.HASH_BYTE * len(message))
    try:
        verify(key, CONTRACT_MESSAGE_TAG + message, signature)
    except InvalidInput:
        return False
    return True


def _from_hex(run: Run, args: list[Value]) -> Value:
    """Bytes of lower-case hexadecimal text."""
    value = args[0]
    if type(value) is not str:
        raise Fault("E_TYPE", f"from_hex of {type_name(value)}")
    run.text(len(value))
    run.charge(gas.NODE + len(value))
    if len(value) % 2 or any(letter not in "0123456789abcdef" for letter in value):
        raise Fault("E_RANGE", "not pairs of 0-9a-f")
    return bytes.fromhex(value)


def _hex(run: Run, args: list[Value]) -> Value:
    """Lower-case hexadecimal text of bytes."""
    value = args[0]
    if type(value) is not bytes:
        raise Fault("E_TYPE", f"hex of {type_name(value)}")
    run.text(2 * len(value))
    return value.hex()


def _encode(run: Run, args: list[Value]) -> Value:
    """Canonical bytes of any value."""
    run.text(measure(run, args[0], run.limits.value_bytes_max))
    return encode_value(args[0])


def _decode(run: Run, args: list[Value]) -> Value:
    """The value of canonical bytes."""
    value = args[0]
    if type(value) is not bytes:
        raise Fault("E_TYPE", f"decode of {type_name(value)}")
    run.charge(gas.NODE_ENCODE * (1 + len(value)))
    run.allocate(gas.ELEMENT_BYTES * len(value))
    try:
        found = decode_value(value, run.limits.value_bytes_max)
    except InvalidInput:
        raise Fault("E_RANGE", "not canonical bytes of a value") from None
    check_keys(found)
    return found


TEXTS: Final[dict[str, tuple[Builtin, int, int]]] = {
    "str": (_text, 1, 1),
    "int": (_integer, 1, 1),
    "dec": (_decimal, 1, 1),
    "bytes": (_bytes, 1, 1),
    "ord": (_code_point, 1, 1),
    "chr": (_character, 1, 1),
    "hex": (_hex, 1, 1),
    "from_hex": (_from_hex, 1, 1),
    "sha256": (_sha256, 1, 1),
    "hash256": (_hash256, 1, 1),
    "signature_is_valid": (_signature_is_valid, 3, 3),
    "encode": (_encode, 1, 1),
    "decode": (_decode, 1, 1),
}
