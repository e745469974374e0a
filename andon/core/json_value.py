"""Open values as JSON and back, without loss: what RPC, CLI and the explorer show.

JSON has no bytes, decimals, tuples or big integers, so these are tagged: `{"$bytes": "0x.."}`,
`{"$dec": "12.5"}`, `{"$tuple": [..]}`, `{"$int": "-12.."}` beyond 2**53, and `{"$map": [[k, v]..]}`
for maps whose keys are not all plain text. Everything else is itself. Floats are refused: a number
that two nodes could round differently has no place in a call.
"""

from __future__ import annotations

import re
from typing import TypeAlias, Union

from andon.core.codec import DEC_SCALE, VALUE_DEPTH_MAX, Dec, Key, Value
from andon.core.errors import Code, InvalidInput

Json: TypeAlias = Union[bool, int, str, list["Json"], dict[str, "Json"], None]

SAFE_INTEGER = 2**53
"""Beyond this JavaScript rounds."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,60})(?:\.([0-9]{1,18}))?\Z", re.ASCII)
_HEX = re.compile(r"0x((?:[0-9a-fA-F]{2})*)\Z", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]{1,80}\Z", re.ASCII)


def to_hex(data: bytes) -> str:
    """Render bytes as 0x and lower-case hex."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """Parse 0x hex.

    Raises:
        InvalidInput: MALFORMED.
    """
    match = _HEX.match(text)
    if match is None:
        raise InvalidInput(
            Code.MALFORMED, f"{text[:40]!r} is not 0x hex", hint="write bytes as 0x and hex pairs"
        )
    return bytes.fromhex(match[1])


def dec_to_text(value: Dec) -> str:
    """Render a decimal exactly, without needless zeros."""
    whole, part = divmod(abs(value.scaled), DEC_SCALE)
    digits = f"{part:018d}".rstrip("0")
    sign = "-" if value.scaled < 0 else ""
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def dec_from_text(text: str) -> Dec:
    """Parse a decimal of at most 18 places.

    Raises:
        InvalidInput: MALFORMED.
    """
    match = _DECIMAL.match(text)
    if match is None:
        raise InvalidInput(Code.MALFORMED, f"{text[:40]!r} is not a decimal of up to 18 places")
    scaled = int(match[2]) * DEC_SCALE + int((match[3] or "").ljust(18, "0"))
    return Dec(-scaled if match[1] else scaled)


def value_to_json(value: Value) -> Json:
    """Render an open value; `value_from_json` gives it back unchanged."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if -SAFE_INTEGER < value < SAFE_INTEGER else {"$int": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": to_hex(value)}
    if isinstance(value, Dec):
        return {"$dec": dec_to_text(value)}
    if isinstance(value, tuple):
        return {"$tuple": [value_to_json(item) for item in value]}
    if isinstance(value, list):
        return [value_to_json(item) for item in value]
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {str(key): value_to_json(item) for key, item in value.items()}
    return {"$map": [[value_to_json(key), value_to_json(item)] for key, item in value.items()]}


def value_from_json(document: object, depth: int = 0) -> Value:
    """Read an open value from decoded JSON.

    Raises:
        InvalidInput: MALFORMED for floats, unknown tags and types; TOO_DEEP.
    """
    if depth > VALUE_DEPTH_MAX:
        raise InvalidInput(Code.TOO_DEEP, f"value is nested deeper than {VALUE_DEPTH_MAX}")
    if document is None or isinstance(document, bool | int | str):
        return document
    if isinstance(document, list):
        return [value_from_json(item, depth + 1) for item in document]
    if isinstance(document, dict):
        if len(document) == 1:
            (tag, content) = next(iter(document.items()))
            if isinstance(tag, str) and tag.startswith("$"):
                return _tagged(tag, content, depth)
        return _plain_map(document, depth)
    raise InvalidInput(
        Code.MALFORMED,
        f"{document!r:.40} is not a value",
        hint='write decimals as {"$dec": "12.5"}',
    )


def _plain_map(document: dict[object, object], depth: int) -> Value:
    result: dict[Key, Value] = {}
    for key, item in document.items():
        if not isinstance(key, str) or key.startswith("$"):
            raise InvalidInput(Code.MALFORMED, f"{key!r:.40} is not a map key", hint="use $map")
        result[key] = value_from_json(item, depth + 1)
    return result


def _tagged(tag: str, content: object, depth: int) -> Value:
    if tag == "$bytes" and isinstance(content, str):
        return from_hex(content)
    if tag == "$dec" and isinstance(content, str):
        return dec_from_text(content)
    if tag == "$int" and isinstance(content, str) and _INTEGER.match(content):
        return int(content)
    if tag == "$tuple" and isinstance(content, list):
        return tuple(value_from_json(item, depth + 1) for item in content)
    if tag == "$map" and isinstance(content, list):
        return _tagged_map(content, depth)
    raise InvalidInput(
        Code.MALFORMED,
        f"{tag[:20]!r} is not a value tag, or its content has the wrong type",
        hint="tags are $bytes, $dec, $int, $tuple and $map",
    )


def _tagged_map(content: list[object], depth: int) -> Value:
    result: dict[Key, Value] = {}
    for pair in content:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InvalidInput(Code.MALFORMED, "$map holds pairs of key and value")
        key = _as_key(value_from_json(pair[0], depth + 1))
        if key in result:
            raise InvalidInput(Code.MALFORMED, "$map holds a key twice")
        result[key] = value_from_json(pair[1], depth + 1)
    return result


def _as_key(value: Value) -> Key:
    if isinstance(value, list | dict):
        raise InvalidInput(Code.MALFORMED, "a list or map cannot be a map key")
    if isinstance(value, tuple):
        return tuple(_as_key(item) for item in value)
    return value
