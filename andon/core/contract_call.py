"""What passes between a ledger and a contract engine, which do not know each other.

Each states in its own ports what it needs of the other; these records are the words they share, so
that whoever joins the two has nothing to turn from one form into another in every call.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeAlias

import msgspec

from andon.core.block import Failure

Mark: TypeAlias = tuple[int, ...]
"""A moment of an execution that a host can return to; only the host knows what it says."""


class Mode(Enum):
    """How a contract is entered."""

    CALL = "call"
    INIT = "init"
    MIGRATE = "migrate"
    VIEW = "view"
    SCHEDULED = "scheduled"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract may know about its transaction."""

    chain_id: str
    height: int
    time_ms: int
    sender: bytes
    transaction_id: bytes


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a call ended. `result` is an encoded value, that of None on failure.

    `failure` is None exactly if `ok`.
    """

    ok: bool
    result: bytes
    gas_used: int
    failure: Failure | None


class Prediction(msgspec.Struct, frozen=True):
    """Output of an exact model: value = output * scale_num / scale_den; `gas` is its price."""

    output: tuple[int, ...]
    scale_num: int
    scale_den: int
    gas: int


class PredictionFailed(Exception):
    """No output for a contract: E_MODEL (no such model) or E_MODEL_INPUT (input out of shape).

    It becomes a failure of the contract that asked.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
