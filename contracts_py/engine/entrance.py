"""How transactions enter one method of a deployed contract: what no argument and sender changes."""

from __future__ import annotations

from typing import Final

from andon.core.contract_call import Mode
from contracts_py.engine import gas
from contracts_py.engine.contract import Contract, Method
from contracts_py.engine.flat import FlatArguments, flat_arguments

FLAT_FROM: Final = 16
"""Entries before the arguments get a reader: it is dear to make, and must pay even for someone who
goes through more methods than are kept."""


class Entrance:
    """A method under the name of its contract, found and prepared once for many calls.

    It holds for as long as the host gives the very same `source`; whether the contract is paused is
    asked in every call.
    """

    __slots__ = (
        "_entered",
        "contract",
        "cost",
        "flat",
        "is_guarded",
        "is_pausable",
        "is_view",
        "method",
        "prefixes",
        "source",
        "stack",
    )

    def __init__(
        self, source: bytes | None, contract: Contract, name: str, method: Method, mode: Mode
    ) -> None:
        self.source = source
        self.contract = contract
        self.cost = source_cost(contract)
        self.method = method
        self.prefixes = contract.prefixes(name)
        self.stack = (name,)
        self.is_view = mode is Mode.VIEW or method.kind == "view"
        is_upkeep = mode is Mode.INIT or mode is Mode.MIGRATE
        self.is_pausable = not is_upkeep and method.kind != "view"
        self.is_guarded = bool(method.roles or method.organisation)
        self.flat: FlatArguments | None = None
        self._entered = 0

    def note_entered(self) -> None:
        """Count an entry that had no reader of arguments; make one if it will pay."""
        self._entered += 1
        if self._entered == FLAT_FROM:
            method = self.method
            self.flat = flat_arguments(
                method.names, [parameter.spec.plain for parameter in method.parameters]
            )


def source_cost(contract: Contract) -> int:
    """Gas of entering a contract by the size of its source."""
    return gas.SOURCE_BYTE * contract.source_bytes >> 4
