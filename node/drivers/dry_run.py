"""Running transactions and views on the final state without keeping anything.

Serves two ends: to find out which predictions a waiting transaction will ask for, so that the
worker is done when its block is made; and read-only calls. What it runs may go another way in
the block, since outputs that are not at hand are taken as zeros: a hint, never a verdict.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.transaction import Call, Transaction
from consensus.ledger import (
    BlockExecution,
    Engine,
    Environment,
    Outcome,
    Parent,
    PredictionUnavailable,
)
from consensus.ledger.block import environment_of
from consensus.ledger.registry import Registry
from node.drivers.predictions import PredictionCache, PredictionService, Question
from node.drivers.window_rules import WindowRules

RUNS_PER_EXECUTION_MAX = 1024
METHODS_COUNT_MAX = 4096
VIEW_GAS_MAX = 50_000_000
VIEW_ROUNDS_MAX = 4
GAS_PER_JOB = 10_000_000
"""Dry runs take turns with blocks: a block waits for so much gas (some 25 ms) and one run more."""

View = tuple[int, Outcome, list[Question]]
"""Height of the state, outcome, and the outputs that were missing: it counts if none was."""


class GuessingSource:
    """Gives cached outputs, and zeros for others, of which it keeps a list."""

    def __init__(self, cache: PredictionCache, parent: Parent) -> None:
        self._cache = cache
        self._registry = Registry(parent.state.get)
        self.missing: list[Question] = []

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Give the cached output, or as many zeros as the model has outputs."""
        try:
            return self._cache.output(model_id, window, digest)
        except PredictionUnavailable:
            package = self._registry.package(model_id)
            if package is None:
                raise
            self.missing.append((model_id, window))
            return (0,) * package.outputs


class DryRunner:
    """Dry runs for one chain. `run` belongs on the execution thread."""

    def __init__(self, engine: Engine, cache: PredictionCache) -> None:
        self._engine = engine
        self._cache = cache
        self._asks_predictions: dict[tuple[str, str], bool] = {}
        self.rules = WindowRules()
        self._execution: BlockExecution | None = None
        self._source: GuessingSource | None = None
        self._head = b""
        self._runs = 0

    def guess(self, transaction: Transaction) -> list[Question] | None:
        """Give what a transaction will ask for, as far as is known; None if only a run can tell."""
        return self.rules.questions(transaction) if self.is_needed(transaction) else []

    def is_needed(self, transaction: Transaction) -> bool:
        """Tell whether a call may ask for predictions: unknown methods may."""
        return any(
            self._asks_predictions.get((call.contract, call.method), True)
            for call in transaction.body.calls
        )

    def learn(self, transaction: Transaction, *, is_ok: bool, has_predicted: bool) -> None:
        """Remember whether these methods ask for predictions."""
        for call in transaction.body.calls:
            method = (call.contract, call.method)
            if len(self._asks_predictions) >= METHODS_COUNT_MAX:
                self._asks_predictions.clear()
            if has_predicted:
                self._asks_predictions[method] = True
            elif is_ok:
                self._asks_predictions.setdefault(method, False)

    def learn_from_block(self, transactions: Iterable[Transaction | None]) -> None:
        """Remember methods that predicted in a block, in case a dry run took another way."""
        for transaction in transactions:
            if transaction is not None and not self.is_needed(transaction):
                self.learn(transaction, is_ok=True, has_predicted=True)

    def run(
        self, parent: Parent, transactions: Sequence[Transaction]
    ) -> tuple[list[Question], Sequence[Transaction]]:
        """Find the predictions that transactions would ask for and that are not cached.

        Ends once GAS_PER_JOB is used; gives the transactions that are left, too.
        """
        execution, source = self._prepared(parent)
        source.missing = []
        gas = 0
        for index, transaction in enumerate(transactions):
            if gas >= GAS_PER_JOB:
                return source.missing, transactions[index:]
            self._runs += 1
            # Guesses must not outlive the run: the next one may find the output computed.
            execution.host.forget_outputs(0)
            try:
                receipt = execution.dry_run(transaction)
            except (PredictionUnavailable, InvalidInput):
                gas += transaction.body.gas_limit
                continue
            gas += receipt.gas_used
            asked = execution.host.inputs
            # With zeros for outputs that are not at hand, a failure says nothing about the method.
            self.rules.learn(transaction, asked if receipt.ok else ())
            has_predicted = bool(asked) or bool(receipt.failure)
            self.learn(transaction, is_ok=receipt.ok, has_predicted=has_predicted)
        return source.missing, ()

    def _prepared(self, parent: Parent) -> tuple[BlockExecution, GuessingSource]:
        """One execution serves many runs on one head: its memos are warm."""
        execution, source = self._execution, self._source
        is_stale = self._head != parent.hash or self._runs >= RUNS_PER_EXECUTION_MAX
        if execution is None or source is None or is_stale:
            source = self._source = GuessingSource(self._cache, parent)
            execution = self._execution = BlockExecution(
                parent.state, _environment(parent), self._engine, source
            )
            self._head, self._runs = parent.hash, 0
        return execution, source


def run_view(
    parent: Parent,
    call: Call,
    sender: bytes,
    gas_limit: int,
    *,
    engine: Engine,
    cache: PredictionCache,
) -> View:
    """Run a read-only call at the parent's height."""
    source = GuessingSource(cache, parent)
    execution = BlockExecution(parent.state, _environment(parent), engine, source)
    outcome = execution.view(call, sender, gas_limit)
    return parent.header.height, outcome, source.missing


async def settled_view(
    run: Callable[[], Awaitable[View]], predictions: PredictionService
) -> tuple[int, Outcome]:
    """Run a view until no output is missing.

    Raises:
        Unavailable: WORKER_DOWN or PREDICTION_MISSING if it needs outputs not at hand.
    """
    for _ in range(VIEW_ROUNDS_MAX):
        height, outcome, missing = await run()
        if not missing:
            return height, outcome
        await predictions.fetch(missing)
    raise Unavailable(
        Code.PREDICTION_MISSING,
        f"the call asks for ever new predictions after {VIEW_ROUNDS_MAX} rounds",
        hint="send it as a transaction",
    )


def _environment(parent: Parent) -> Environment:
    return environment_of(parent, parent.header.time_ms + 1)
