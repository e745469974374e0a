"""JSON of unknown shape from foreign hands: read with its depth bounded first.

A decoder that builds whatever comes goes down the machine's stack once a level. A process that
runs contracts has a recursion limit far above what that stack holds, so 58 KB of brackets would end
it by a segmentation fault. Decoders of a known shape are in no danger: they end at a surprise.
"""

from __future__ import annotations

import re

import msgspec

from andon.core.errors import Code, InvalidInput

JSON_DEPTH_MAX = 256
"""Open values have 16 levels, each of at most three brackets."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def read_json(raw: bytes) -> object:
    """Decode JSON.

    Cost: beyond the decoder's, next to nothing, unless there are many brackets.

    Raises:
        InvalidInput: TOO_DEEP beyond JSON_DEPTH_MAX, MALFORMED.
    """
    if raw.count(b"[") + raw.count(b"{") > JSON_DEPTH_MAX:
        _check_depth(raw)
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.MALFORMED, f"not JSON: {error}") from None


def _check_depth(raw: bytes) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", raw)):
        depth += 1 if bracket[0] in (b"[", b"{") else -1
        if depth > JSON_DEPTH_MAX:
            raise InvalidInput(Code.TOO_DEEP, f"JSON is nested deeper than {JSON_DEPTH_MAX}")
