"""What the engine needs from whoever runs it, and what it answers.

`Host` is implemented by the ledger for one transaction; the two rooms do not import each other.
The records are `andon.core`'s.
"""

from __future__ import annotations

from typing import Protocol

from andon.core.block import Failure
from andon.core.contract_call import (
    Context,
    Mark,
    Mode,
    Outcome,
    Prediction,
    PredictionFailed,
)

__all__ = [
    "Context",
    "Failure",
    "Host",
    "Mark",
    "Mode",
    "Outcome",
    "Prediction",
    "PredictionFailed",
]


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

    def checkpoint(self) -> Mark:
        """Mark state, events and predictions."""
        ...

    def rollback(self, mark: Mark) -> None:
        """Return to a mark."""
        ...
