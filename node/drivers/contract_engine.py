"""Joins the contract engine to the ledger: two rooms that may not know each other.

Both state the same records in their own ports; this file turns one room's into the other's. The
hot calls of the host (read, write, iterate) are handed through without a frame in between.
"""

from __future__ import annotations

from andon.core.block import Failure
from andon.core.codec import encode_value
from andon.core.transaction import Call
from consensus import ledger
from contracts_py import engine as contracts

_MODES = {
    ledger.Mode.CALL: contracts.Mode.CALL,
    ledger.Mode.INIT: contracts.Mode.INIT,
    ledger.Mode.MIGRATE: contracts.Mode.MIGRATE,
    ledger.Mode.SCHEDULED: contracts.Mode.SCHEDULED,
    ledger.Mode.VIEW: contracts.Mode.VIEW,
}


class ContractEngine:
    """`consensus.ledger.Engine` by `contracts_py.engine.Engine`. One thread at a time."""

    def __init__(self, engine: contracts.Engine | None = None) -> None:
        self._engine = engine or contracts.Engine()
        # One host serves a block and one context a transaction: each is turned once.
        self._host: tuple[ledger.Host | None, _ContractHost | None] = (None, None)
        self._context: tuple[ledger.Context | None, contracts.Context | None] = (None, None)

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
        outcome = self._engine.execute(
            self._turned_host(host),
            self._turned_context(context),
            call.contract,
            call.method,
            call.args,
            gas_limit,
            mode=contracts.Mode.CALL if mode is ledger.Mode.CALL else _MODES[mode],
        )
        found = outcome.failure
        return ledger.Outcome(
            ok=outcome.ok,
            result=outcome.result,
            gas_used=outcome.gas_used,
            failure=None if found is None else _turned_failure(found),
        )

    def _turned_host(self, host: ledger.Host) -> _ContractHost:
        known, turned = self._host
        if turned is None or known is not host:
            turned = _ContractHost(host)
            self._host = (host, turned)
        return turned

    def _turned_context(self, context: ledger.Context) -> contracts.Context:
        known, turned = self._context
        if turned is None or known is not context:
            turned = contracts.Context(
                chain_id=context.chain_id,
                height=context.height,
                time_ms=context.time_ms,
                sender=context.sender,
                transaction_id=context.transaction_id,
            )
            self._context = (context, turned)
        return turned


def _turned_failure(found: contracts.Failure) -> Failure:
    return Failure(
        code=found.code,
        contract=found.contract,
        method=found.method,
        line=found.line,
        message=found.message,
    )


class _ContractHost:
    """The ledger's host with the engine's words for predictions."""

    __slots__ = (
        "_host",
        "checkpoint",
        "emit",
        "has_role",
        "is_paused",
        "iterate",
        "organisation",
        "read",
        "rollback",
        "source",
        "write",
    )

    def __init__(self, host: ledger.Host) -> None:
        self._host = host
        self.read = host.read
        self.write = host.write
        self.iterate = host.iterate
        self.source = host.source
        self.emit = host.emit
        self.has_role = host.has_role
        self.is_paused = host.is_paused
        self.organisation = host.organisation
        self.checkpoint = host.checkpoint
        self.rollback = host.rollback

    def predict(self, model: str, window: bytes) -> contracts.Prediction:
        """Give an output, or fail in the engine's way."""
        try:
            found = self._host.predict(model, window)
        except ledger.PredictionFailed as failed:
            raise contracts.PredictionFailed(failed.code, failed.message) from None
        return contracts.Prediction(
            output=found.output,
            scale_num=found.scale_num,
            scale_den=found.scale_den,
            gas=found.gas,
        )

    def predict_many(self, model: str, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Give outputs of a model that has just given one."""
        return self._host.predict_many(model, windows)
