"""Where contract state stands in the state tree: one layout for engine, ledger and proofs.

A state key is contract + 0 + variable + 0 + key, where key is the encoded map key of a `Map` entry
and empty for a `Var`. Names hold no zero byte, so the joints cannot be moved.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final, Literal

from andon.core.codec import Key, encode_value
from andon.core.errors import Code, InvalidInput

STATE_KEY_BYTES_MAX = 480
"""LMDB allows 511 bytes a key; the rest is left for the storage's own prefix."""

PREFIXES_COUNT_MAX = 4096
"""Prefixes that are remembered; a pure memo."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z", re.ASCII)


class Absent(Enum):
    """The type of `ABSENT`: tells a `Var` from a `Map` entry whose key is None."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


def is_name(name: str) -> bool:
    """Tell whether `name` may name a contract or a variable: [a-z][a-z0-9_]{0,31}."""
    return _NAME.match(name) is not None


@lru_cache(PREFIXES_COUNT_MAX)
def state_prefix(contract: str, variable: str) -> bytes:
    """Give the common start of all keys of one variable; exactly a `Var`'s own key.

    Raises:
        InvalidInput: MALFORMED for a name outside [a-z][a-z0-9_]{0,31}.
    """
    if not is_name(contract) or not is_name(variable):
        raise InvalidInput(
            Code.MALFORMED,
            f"{contract!r}.{variable!r} is not a pair of state names",
            hint="names are 1 to 32 of a-z, 0-9 and _, and begin with a letter",
        )
    return contract.encode() + b"\0" + variable.encode() + b"\0"


def state_key(contract: str, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT) -> bytes:
    """Give the state key of a `Var` (no `key`) or of one entry of a `Map`.

    Raises:
        InvalidInput: MALFORMED for a bad name, TOO_LARGE above STATE_KEY_BYTES_MAX.
        Misuse: a key that is not an encodable value.
    """
    prefix = state_prefix(contract, variable)
    if key is ABSENT:
        return prefix
    full = prefix + encode_value(key)
    if len(full) > STATE_KEY_BYTES_MAX:
        raise InvalidInput(
            Code.TOO_LARGE,
            f"state key of {len(full)} bytes exceeds {STATE_KEY_BYTES_MAX}",
            hint="use a shorter map key, or its digest",
        )
    return full
