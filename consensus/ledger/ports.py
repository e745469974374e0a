"""What the ledger needs from others: state to read, a contract engine, prediction outputs.

The contract engine lives in another room that the ledger may not import; `Engine` is its shape as
the ledger sees it, and node.drivers joins the two. `Host` is what the engine gets in return.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from andon.core.contract_call import (
    Context,
    Mark,
    Mode,
    Outcome,
    Prediction,
    PredictionFailed,
)
from andon.core.errors import Code, Unavailable
from andon.core.transaction import Call

__all__ = [
    "Context",
    "Description",
    "Engine",
    "Host",
    "Mark",
    "Mode",
    "Outcome",
    "Prediction",
    "PredictionFailed",
    "PredictionSource",
    "PredictionUnavailable",
    "Schedule",
    "StateReader",
]


class StateReader(Protocol):
    """One version of the state: values, tree nodes and the ids of recent transactions."""

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        ...

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Give up to `count_max` entries under `prefix` above `after`, ascending by key."""
        ...

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree."""
        ...

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether this history holds the transaction.

        An implementation may forget blocks older than the expiry window: their transactions
        are refused as expired before this is asked.
        """
        ...


class PredictionUnavailable(Unavailable):
    """An output is not at hand; whoever executes decides whether to wait or to leave it out."""

    def __init__(self, model_id: bytes, window: bytes) -> None:
        super().__init__(Code.PREDICTION_MISSING, f"no output of {model_id.hex()[:16]} at hand")
        self.model_id = model_id
        self.window = window


class PredictionSource(Protocol):
    """Where outputs of exact models come from: a cache, or the outputs that a block claims."""

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Give the output for one input; `digest` is its `input_digest`.

        Raises:
            PredictionUnavailable: it is not at hand.
        """
        ...


class Host(Protocol):
    """What one contract call may do to the ledger."""

    def read(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        ...

    def write(self, key: bytes, value: bytes | None) -> None:
        """Set a state key; None deletes."""
        ...

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries under a prefix, ascending."""
        ...

    def source(self, contract: str) -> bytes | None:
        """Source text of a deployed contract."""
        ...

    def predict(self, model: str, window: bytes) -> Prediction:
        """Output of an exact model, by alias or by hex id.

        Raises:
            PredictionFailed: E_MODEL or E_MODEL_INPUT.
            PredictionUnavailable: the output is not at hand; passes through the engine.
        """
        ...

    def predict_many(self, model: str, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Outputs of a model that `predict` has just given one of, at the same scale and price.

        Every input must have the size of that one and hold no -128. Raises as `predict`.
        """
        ...

    def is_paused(self, contract: str) -> bool:
        """Tell whether only the contract's views can be entered."""
        ...

    def emit(self, contract: str, event: str, fields: bytes) -> None:
        """Record an event."""
        ...

    def has_role(self, account: bytes, role: str) -> bool:
        """Tell whether an active member of an active organisation holds the role."""
        ...

    def organisation(self, account: bytes) -> str:
        """Name of the account's organisation, empty if it has none."""
        ...

    def checkpoint(self) -> Mark:
        """Mark the present state, events and predictions."""
        ...

    def rollback(self, mark: Mark) -> None:
        """Return to a mark."""
        ...


@dataclass(frozen=True, slots=True)
class Schedule:
    """A method that the ledger starts every so many blocks."""

    method: str
    every: int


@dataclass(frozen=True, slots=True)
class Description:
    """What the ledger keeps of a checked source: its encoded description and what is scheduled."""

    abi: bytes = b""
    scheduled: tuple[Schedule, ...] = ()


class Engine(Protocol):
    """The contract language. Faults of contracts are outcomes; what it raises stops the node."""

    @property
    def gas_schedule(self) -> int:
        """Version of the gas table; a chain whose parameters name another one is refused."""
        ...

    def check(self, source: bytes) -> Description:
        """Describe a contract; refuse a source that is none.

        Raises:
            InvalidInput: CONTRACT_REFUSED with fields rule, line, column, fix.
        """
        ...

    def execute(
        self,
        host: Host,
        context: Context,
        call: Call,
        gas_limit: int,
        *,
        mode: Mode,
    ) -> Outcome:
        """Run one call; on failure the host is back where it was, and gas is charged.

        With Mode.INIT the contract's own initialiser runs, with Mode.MIGRATE its migration; then
        `call.method` is ignored, and a contract without one succeeds with nothing done.
        """
        ...
