"""Joins the contract engine to the ledger: two rooms that may not know each other.

The ledger's host is a host of the engine as it stands: both speak in the records of
`andon.core.contract_call`.
"""

from __future__ import annotations

from andon.core.codec import encode_value
from andon.core.transaction import Call
from consensus import ledger
from contracts_py import engine as contracts


class ContractEngine:
    """`consensus.ledger.Engine` by `contracts_py.engine.Engine`. One thread at a time."""

    def __init__(self, engine: contracts.Engine | None = None) -> None:
        self._engine = engine or contracts.Engine()

    @property
    def gas_schedule(self) -> int:
        """Version of the engine's gas table."""
        return contracts.SCHEDULE

    def check(self, source: bytes) -> ledger.Description:
        """Describe a contract; refuse a source that is none.

        Raises:
            InvalidInput: CONTRACT_REFUSED with fields rule, line, column, fix.
        """
        contract = self._engine.check(source)
        scheduled = tuple(
            ledger.Schedule(method.name, method.every)
            for method in contract.methods.values()
            if method.kind == "scheduled"
        )
        return ledger.Description(encode_value(contract.abi()), scheduled)

    def execute(
        self,
        host: ledger.Host,
        context: ledger.Context,
        call: Call,
        gas_limit: int,
        *,
        mode: ledger.Mode,
    ) -> ledger.Outcome:
        """Run one call."""
        return self._engine.execute(
            host, context, call.contract, call.method, call.args, gas_limit, mode=mode
        )
