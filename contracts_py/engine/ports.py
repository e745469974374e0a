"""What the engine needs from whoever runs it, and what it answers.

`Host` is implemented by the ledger for one transaction; the two rooms do not import each other.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec


class Prediction(msgspec.Struct, frozen=True):
    """Output of an exact model: value = output * scale_num / scale_den; `gas` is its price."""

    output: tuple[int, ...]
    scale_num: int
    scale_den: int
    gas: int


class PredictionFailed(Exception):
    """The host gives no output: E_MODEL (no such model) or E_MODEL_INPUT (input out of shape)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Host(Protocol):
    """What contracts may do to the world; everything else does not exist for them."""

    def read(self, key: bytes) -> bytes | None:
        """Encoded value at a state key."""
        ...

    def write(self, key: bytes, value: bytes | None) -> None:
        """Set a state key; None deletes."""
        ...

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix above `after`, ascending by key."""
        ...

    def source(self, contract: str) -> bytes | None:
        """Source text of a deployed contract."""
        ...

    def predict(self, model: str, window: bytes) -> Prediction:
        """Output of an exact model, by alias or hex id.

        Raises:
            PredictionFailed: becomes a failure of the contract; anything else passes through.
        """
        ...

    def predict_many(self, model: str, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Outputs of a model that `predict` has just given one of, at the same scale and price.

        Every input has the size of that one and holds no -128.
        """
        ...

    def is_paused(self, contract: str) -> bool:
        """Tell whether only the contract's views can be entered."""
        ...

    def emit(self, contract: str, event: str, fields: bytes) -> None:
        """Record an event; `fields` is an encoded map."""
        ...

    def has_role(self, account: bytes, role: str) -> bool:
        """Tell whether an account holds a role."""
        ...

    def organisation(self, account: bytes) -> str:
        """Organisation of an account, empty if it has none."""
        ...

    def checkpoint(self) -> int:
        """Mark state, events and predictions."""
        ...

    def rollback(self, mark: int) -> None:
        """Return to a mark."""
        ...


class Mode(Enum):
    """How a contract is entered."""

    CALL = "call"
    INIT = "init"
    VIEW = "view"
    MIGRATE = "migrate"
    SCHEDULED = "scheduled"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract may know about its transaction."""

    chain_id: str
    height: int
    time_ms: int
    sender: bytes
    transaction_id: bytes


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a call failed; `message` is the engine's or the contract's own, at most 256 bytes."""

    code: str
    contract: str
    method: str
    line: int
    message: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended. `result` is an encoded value, that of None on failure."""

    ok: bool
    result: bytes
    gas_used: int
    failure: Failure | None
