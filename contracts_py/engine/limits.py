"""Every bound of the language, with its unit; a chain's parameters may only replace the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on sources, on values and on one execution."""

    source_bytes_max: int = 64 * 1024
    tokens_max: int = 4_000
    line_tokens_max: int = 400
    brackets_max: int = 24
    indents_max: int = 10
    elifs_max: int = 200
    unaries_max: int = 4
    identifier_length_max: int = 64
    number_length_max: int = 100
    string_length_max: int = 8 * 1024
    expression_depth_max: int = 40
    functions_max: int = 128
    declarations_max: int = 64
    parameters_max: int = 16
    value_bytes_max: int = 64 * 1024
    text_length_max: int = 64 * 1024
    memory_bytes_max: int = 32 * 1024 * 1024
    calls_depth_max: int = 48
    contracts_depth_max: int = 16
    writes_bytes_max: int = 512 * 1024
    events_max: int = 1024
    events_bytes_max: int = 256 * 1024
    entries_max: int = 1000
    message_bytes_max: int = 256
    compiled_max: int = 4096
    compiled_bytes_max: int = 8 * 1024 * 1024
    """Sources that stay compiled, by count and bytes; a compiled one takes 33 times its bytes."""


DEFAULT_LIMITS: Final = Limits()

INTEGER_BOUND: Final = 2**256
"""Integers lie strictly between -INTEGER_BOUND and INTEGER_BOUND."""

KEY_INTEGER_BOUND: Final = 2**53
"""Dict keys: larger integers can be made to collide in a host's hash table at will."""

KEY_LENGTH_MAX: Final = 1024
VALUE_DEPTH_MAX: Final = 16
