"""One call of a contract that the ledger itself implements: arguments, price, refusal."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.codec import Value, encode_value
from consensus.ledger.host import LedgerHost
from consensus.ledger.ports import Context, Engine, Outcome


class Refused(Exception):
    """The call fails with this code; its transaction with it."""

    def __init__(self, code: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeCall:
    """One call in progress: who asks for what, with how much gas."""

    host: LedgerHost
    engine: Engine
    context: Context
    arguments: dict[str, Value]
    gas_limit: int
    gas: int
    is_rehearsal: bool = False
    """Whether everything is undone afterwards, so that no approvals are needed."""

    def done(self, result: Value) -> Outcome:
        """End well."""
        return Outcome(ok=True, result=encode_value(result), gas_used=self.gas, failure=None)

    def require(self, *names: str) -> None:
        """Take exactly these arguments. Raises Refused E_ARGS."""
        if sorted(self.arguments) != sorted(names):
            raise Refused("E_ARGS", f"expected exactly the arguments {', '.join(names)}")

    def text(self, name: str) -> str:
        """A text argument. Raises Refused E_ARGS."""
        value = self.arguments[name]
        if not isinstance(value, str):
            raise Refused("E_ARGS", f"{name} is text")
        return value

    def table(self, name: str) -> dict[str, Value]:
        """A map argument. Raises Refused E_ARGS."""
        value = self.arguments[name]
        if not isinstance(value, dict) or any(not isinstance(key, str) for key in value):
            raise Refused("E_ARGS", f"{name} is a map from name to value")
        return {key: item for key, item in value.items() if isinstance(key, str)}
