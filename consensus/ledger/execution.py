"""Execution of a block's transactions on an overlay: receipts, predictions, roots.

A transaction that breaks a rule of inclusion (chain, sender, expiry, duplicate, limits) makes its
block invalid; one whose calls fail is included, keeps its receipt, pays its gas and changes
nothing else. Rules of inclusion are the functions `_rule_*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.block import Failure, PredictionOutput, PredictionRecord, Receipt
from andon.core.certificate import ValidatorSet
from andon.core.codec import encode_all, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST, Digest
from andon.core.merkle import merkle_root
from andon.core.transaction import Call, Transaction
from consensus.ledger import native, schedule
from consensus.ledger.directory import VALIDATORS_KEY
from consensus.ledger.host import LedgerHost
from consensus.ledger.overlay import Overlay
from consensus.ledger.ports import Context, Engine, Mode, Outcome, PredictionSource, StateReader
from consensus.ledger.rehearsal import is_rehearsal, rehearse
from consensus.ledger.succession import close_block
from consensus.ledger.tree import update_tree

TRANSACTION_GAS = 5_000
TRANSACTION_GAS_PER_BYTE = 2
FAILURE_MESSAGE_LENGTH_MAX = 512
ENTRY_OVERHEAD_BYTES = 8
NO_ARGUMENTS = encode_value({})
_CALL = Mode.CALL  # Looked up once: members of an enum are found by a search.


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What every transaction of a block sees."""

    chain_id: str
    epoch: int
    height: int
    time_ms: int
    params: Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """Everything that a block did. `prediction_inputs` runs parallel to `prediction_outputs`."""

    receipts: tuple[Receipt, ...]
    receipt_bytes: tuple[bytes, ...]
    predictions: tuple[PredictionRecord, ...]
    prediction_bytes: tuple[bytes, ...]
    prediction_outputs: tuple[PredictionOutput, ...]
    prediction_inputs: tuple[tuple[bytes, bytes], ...]
    overlay: Overlay
    state_root: Digest
    receipts_root: Digest
    predictions_root: Digest
    gas_used: int
    next_validators: ValidatorSet
    next_params: Params


def intrinsic_gas(transaction: Transaction) -> int:
    """Gas that a transaction pays before its first call."""
    return TRANSACTION_GAS + TRANSACTION_GAS_PER_BYTE * len(transaction.raw)


def check_limits(transaction: Transaction, environment: Environment) -> None:
    """Check the rules of inclusion that need no state: chain, expiry window, gas limit.

    Raises:
        InvalidInput: WRONG_CHAIN, EXPIRED, EXPIRES_TOO_LATE or GAS_LIMIT.
    """
    _rule_chain(transaction, environment)
    _rule_expiry(transaction, environment)
    _rule_gas_limit(transaction, environment)


class BlockExecution:
    """One block in the making: apply transactions in order, then finish once."""

    def __init__(
        self,
        parent: StateReader,
        environment: Environment,
        engine: Engine,
        source: PredictionSource,
    ) -> None:
        self._environment = environment
        self._engine = engine
        self.overlay = Overlay(parent)
        self._validators_before = parent.get(VALIDATORS_KEY)
        self.host = LedgerHost(self.overlay, source, environment.height)
        self._receipts: list[Receipt] = []
        self._predictions: list[PredictionRecord] = []
        self._transactions_bytes = 0
        self.gas_used = 0

    def apply(self, transaction: Transaction) -> Receipt:
        """Include one transaction; its signature is the caller's to check.

        If it raises, the execution is as before the call.

        Raises:
            InvalidInput: a rule of inclusion, or PREDICTION_MISMATCH for an output out of shape.
            PredictionUnavailable: the source lacks an output.
        """
        check_limits(transaction, self._environment)
        self._rule_block_gas(transaction)
        self._rule_not_included(transaction)
        self._rule_sender(transaction)
        host = self.host
        host.begin_transaction(transaction.id)
        mark, outputs_before = host.checkpoint(), len(host.inputs)
        try:
            receipt = self._run(transaction)
            self._rule_size(transaction)
            if not receipt.ok:
                host.rollback(mark)
        except BaseException:
            host.rollback(mark)
            host.forget_outputs(outputs_before)
            raise
        self.overlay.forget_journal()
        self.overlay.transaction_ids.add(transaction.id)
        self._transactions_bytes += _size_bytes(transaction)
        self._receipts.append(receipt)
        self._predictions.extend(host.predictions)
        self.gas_used += receipt.gas_used
        return receipt

    def dry_run(self, transaction: Transaction) -> Receipt:
        """Run the calls on the state so far and undo everything; no rule of inclusion is asked.

        What it looked up through the source stays in `host.outputs` and `host.inputs`.

        Raises:
            PredictionUnavailable: the source lacks an output.
        """
        host = self.host
        host.begin_transaction(transaction.id)
        mark = host.checkpoint()
        try:
            return self._run(transaction)
        finally:
            host.rollback(mark)
            self.overlay.forget_journal()

    def view(self, call: Call, sender: bytes, gas_limit: int) -> Outcome:
        """Run a read-only call on the state so far, or rehearse `contracts.upgrade`.

        Raises:
            PredictionUnavailable: the source lacks an output.
        """
        host = self.host
        host.begin_transaction(ZERO_DIGEST)
        host.contract = call.contract
        mark = host.checkpoint()
        context = Context(
            chain_id=self._environment.chain_id,
            height=self._environment.height,
            time_ms=self._environment.time_ms,
            sender=sender,
            transaction_id=ZERO_DIGEST,
        )
        try:
            if is_rehearsal(call):
                return rehearse(host, self._engine, context, call, gas_limit)
            return self._engine.execute(host, context, call, gas_limit, mode=Mode.VIEW)
        finally:
            host.rollback(mark)
            self.overlay.forget_journal()

    def finish(self) -> Executed:
        """Run what is scheduled, apply what the end of a block does natively, compute the roots.

        Receipts of scheduled runs stand behind those of the transactions.
        """
        for item in schedule.due(self.host):
            self._run_scheduled(item)
        validators, params = close_block(self.overlay, self._environment, self._validators_before)
        root, nodes = update_tree(self.overlay, self.overlay.writes)
        self.overlay.tree_writes.update(nodes)
        self.overlay.forget_journal()
        receipt_bytes = encode_all(self._receipts)
        prediction_bytes = encode_all(self._predictions)
        return Executed(
            receipts=tuple(self._receipts),
            receipt_bytes=receipt_bytes,
            predictions=tuple(self._predictions),
            prediction_bytes=prediction_bytes,
            prediction_outputs=tuple(self.host.outputs.values()),
            prediction_inputs=tuple(self.host.inputs),
            overlay=self.overlay,
            state_root=root,
            receipts_root=merkle_root(receipt_bytes),
            predictions_root=merkle_root(prediction_bytes),
            gas_used=self.gas_used,
            next_validators=validators,
            next_params=params,
        )

    def _run(self, transaction: Transaction) -> Receipt:
        """Run the calls in order; the first failure fails the transaction."""
        gas_limit, gas_used = transaction.body.gas_limit, intrinsic_gas(transaction)
        results: list[bytes] = []
        failure: Failure | None = None
        context, host, engine = self._context(transaction), self.host, self._engine
        for call in transaction.body.calls:
            host.contract, left = call.contract, gas_limit - gas_used
            if call.contract in native.NAMES:
                outcome = native.execute(host, engine, context, call, left)
            else:
                outcome = engine.execute(host, context, call, left, mode=_CALL)
            gas_used += outcome.gas_used
            if not outcome.ok:
                failure = _bounded(outcome.failure)
                break
            results.append(outcome.result)
        is_ok = failure is None
        if not is_ok:
            self.host.predictions.clear()
        return Receipt(
            transaction_id=transaction.id,
            ok=is_ok,
            gas_used=gas_used,
            results=tuple(results) if is_ok else (),
            failure=failure,
            events=tuple(self.host.events) if is_ok else (),
        )

    def _run_scheduled(self, item: schedule.Due) -> None:
        """Start one method under its own gas bound; nobody is its sender."""
        host, environment = self.host, self._environment
        identity = schedule.run_id(environment.chain_id, environment.height, item)
        host.begin_transaction(identity)
        host.contract = item.contract
        mark = host.checkpoint()
        context = Context(
            chain_id=environment.chain_id,
            height=environment.height,
            time_ms=environment.time_ms,
            sender=ZERO_DIGEST,
            transaction_id=identity,
        )
        call = Call(contract=item.contract, method=item.method, args=NO_ARGUMENTS)
        host.is_scheduled_run = True
        outcome = self._engine.execute(
            host, context, call, schedule.RUN_GAS_MAX, mode=Mode.SCHEDULED
        )
        host.is_scheduled_run = False
        if not outcome.ok:
            host.rollback(mark)
        schedule.advance(host, item)
        self.overlay.forget_journal()
        self._receipts.append(
            Receipt(
                transaction_id=identity,
                ok=outcome.ok,
                gas_used=outcome.gas_used,
                results=(outcome.result,) if outcome.ok else (),
                failure=None if outcome.ok else _bounded(outcome.failure),
                events=tuple(host.events),
            )
        )
        self._predictions.extend(host.predictions)
        self.gas_used += outcome.gas_used

    def _context(self, transaction: Transaction) -> Context:
        return Context(
            chain_id=self._environment.chain_id,
            height=self._environment.height,
            time_ms=self._environment.time_ms,
            sender=transaction.body.sender,
            transaction_id=transaction.id,
        )

    def _rule_block_gas(self, transaction: Transaction) -> None:
        # By limit, not by use: a leader knows before it executes whether a transaction fits.
        if self.gas_used + transaction.body.gas_limit > self._environment.params.block_gas_max:
            raise InvalidInput(
                Code.GAS_LIMIT,
                f"gas limit {transaction.body.gas_limit} does not fit after {self.gas_used}",
                hint="it fits into a later block",
            )

    def _rule_size(self, transaction: Transaction) -> None:
        """Bodies carry transactions and the outputs that they used first."""
        size = self._transactions_bytes + _size_bytes(transaction) + self.host.outputs_bytes
        if size > self._environment.params.block_bytes_max:
            raise InvalidInput(
                Code.TOO_LARGE,
                f"the block's body would have {size} bytes",
                hint="it fits into a later block, or ask for fewer predictions at once",
            )

    def _rule_not_included(self, transaction: Transaction) -> None:
        if self.overlay.has_transaction(transaction.id):
            raise InvalidInput(
                Code.DUPLICATE,
                f"transaction {transaction.id.hex()[:16]} is already in this chain",
                hint="use a fresh nonce for a new transaction",
            )

    def _rule_sender(self, transaction: Transaction) -> None:
        if not self.host.directory.may_send(transaction.body.sender):
            raise InvalidInput(
                Code.NOT_A_MEMBER,
                f"{transaction.body.sender.hex()[:16]} is no active member",
                hint="an admin adds members through the identity contract",
            )


def execute_transactions(
    parent: StateReader,
    environment: Environment,
    transactions: Sequence[Transaction],
    engine: Engine,
    source: PredictionSource,
) -> Executed:
    """Execute a whole list whose signatures are checked.

    Raises:
        InvalidInput: the first rule of inclusion that a transaction breaks.
        PredictionUnavailable: the source lacks an output.
    """
    execution = BlockExecution(parent, environment, engine, source)
    for transaction in transactions:
        execution.apply(transaction)
    return execution.finish()


def _rule_chain(transaction: Transaction, environment: Environment) -> None:
    if transaction.body.chain_id != environment.chain_id:
        raise InvalidInput(
            Code.WRONG_CHAIN,
            f"transaction is for {transaction.body.chain_id!r}, not {environment.chain_id!r}",
            hint="sign for the chain id of the genesis file",
        )


def _rule_expiry(transaction: Transaction, environment: Environment) -> None:
    expires, height = transaction.body.expires_height, environment.height
    window = environment.params.expiry_window_blocks
    if expires < height:
        raise InvalidInput(
            Code.EXPIRED,
            f"transaction expired at height {expires}; the next block is {height}",
            hint="sign it again with a later expiry height",
        )
    if expires > height + window:
        raise InvalidInput(
            Code.EXPIRES_TOO_LATE,
            f"expiry height {expires} is more than {window} blocks above {height}",
            hint="ids are remembered for that window only; sign with an earlier expiry height",
        )


def _rule_gas_limit(transaction: Transaction, environment: Environment) -> None:
    least, most = intrinsic_gas(transaction), environment.params.transaction_gas_max
    if not least <= transaction.body.gas_limit <= most:
        raise InvalidInput(
            Code.GAS_LIMIT,
            f"gas limit {transaction.body.gas_limit} is outside {least}..{most}",
            hint=f"this transaction costs {least} before its first call",
        )


def _size_bytes(transaction: Transaction) -> int:
    return len(transaction.raw) + ENTRY_OVERHEAD_BYTES


def _bounded(failure: Failure | None) -> Failure:
    assert failure is not None, "an outcome that is not ok has a failure"
    # Receipts are UTF-8; a message may not be able to stop the node that writes it down.
    message = failure.message[:FAILURE_MESSAGE_LENGTH_MAX].encode(errors="replace").decode()
    return Failure(
        code=failure.code,
        contract=failure.contract,
        method=failure.method,
        line=failure.line,
        message=message,
    )
