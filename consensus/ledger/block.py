"""Blocks: making one, and the rules by which one is valid. One function a rule.

Validity is a pure function of (block, parent, state): no clock, no cache, no worker. Whether the
certificates in a justification are good is consensus.bft's to say, whether the header's time is
near the present is the driver's, and whether the claimed outputs are what the models compute is
for the driver to find out with the inputs that `Executed` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from andon.core.block import (
    PROTOCOLS,
    Block,
    Header,
    Justification,
    PredictionOutput,
    block_hash,
    justification_digest,
)
from andon.core.certificate import ValidatorSet, validators_hash
from andon.core.errors import Code, InvalidInput, without_frames
from andon.core.genesis import Params
from andon.core.merkle import merkle_root
from andon.core.transaction import Transaction, check_signature, parse_transaction
from consensus.ledger.execution import BlockExecution, Environment, Executed
from consensus.ledger.ports import Engine, PredictionSource, PredictionUnavailable, StateReader
from consensus.ledger.upgrades import protocol_at

Mark = Callable[[str], None]
"""Hears that a phase has ended, so that a caller with a clock can time it; never answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The block that another is built upon: `validators` and `params` rule the child."""

    header: Header
    hash: bytes
    state: StateReader
    validators: ValidatorSet
    params: Params

    @property
    def child_epoch(self) -> int:
        """Epoch of every child: the next one if the parent closed its own."""
        return self.header.epoch + (1 if self.header.closes_epoch else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a leader fixes before it builds: its slot, why it may stand there, its clock."""

    slot: int
    justification: Justification
    time_ms: int


def unmarked(_phase: str) -> None:
    """Be a `Mark` that nobody listens to."""


def never() -> bool:
    """Take all that fits."""
    return False


def parent_of(header: Header, executed: Executed) -> Parent:
    """See an executed block as the parent of its children."""
    return Parent(
        header=header,
        hash=block_hash(header),
        state=executed.overlay,
        validators=executed.next_validators,
        params=executed.next_params,
    )


def leader_key(validators: ValidatorSet, epoch: int, slot: int) -> bytes:
    """Key of the validator whose turn a slot is."""
    return validators.validators[(epoch + slot) % len(validators.validators)].key


def environment_of(parent: Parent, time_ms: int) -> Environment:
    """What transactions of a child see."""
    return Environment(
        chain_id=parent.header.chain_id,
        epoch=parent.child_epoch,
        height=parent.header.height + 1,
        time_ms=time_ms,
        params=parent.params,
    )


def build_block(
    parent: Parent,
    turn: Turn,
    candidates: Sequence[Transaction],
    engine: Engine,
    source: PredictionSource,
    *,
    mark: Mark = unmarked,
    is_full: Callable[[], bool] = never,
) -> tuple[Block, Executed, dict[bytes, InvalidInput | PredictionUnavailable]]:
    """Make a block of the candidates that fit, in their order; executes each once.

    `mark` hears the end of "execution" and of "state_root"; `is_full` ends the block early, but
    never before its first transaction: how much a leader takes is its own choice, not a rule.
    Returns the block, what it did, and why candidates were left out, by transaction id.
    Signatures are the caller's to check; the header's time is raised above the parent's.
    """
    time_ms = max(turn.time_ms, parent.header.time_ms + 1)
    environment = environment_of(parent, time_ms)
    execution = BlockExecution(parent.state, environment, engine, source)
    left_out: dict[bytes, InvalidInput | PredictionUnavailable] = {}
    included: list[bytes] = []
    for transaction in candidates:
        if len(included) >= parent.params.block_transactions_max or (included and is_full()):
            break
        try:
            execution.apply(transaction)
        except (InvalidInput, PredictionUnavailable) as reason:
            left_out[transaction.id] = without_frames(reason)
            continue
        included.append(transaction.raw)
    mark("execution")
    executed = execution.finish()
    mark("state_root")
    header = _header(parent, turn, time_ms, tuple(included), executed)
    block = Block(
        header=header,
        justification=turn.justification,
        transactions=tuple(included),
        predictions=executed.prediction_outputs,
    )
    return block, executed, left_out


def check_block(parent: Parent, block: Block) -> None:
    """Check every rule that needs no execution, the cheap ones first.

    Raises:
        InvalidInput: BAD_BLOCK with the field `rule`.
    """
    _rule_identity(parent, block.header)
    _rule_place(parent, block.header)
    _rule_time(parent, block.header)
    _rule_leader(parent, block.header)
    _rule_validators(parent, block.header)
    _rule_justification(block)
    _rule_size(parent, block)
    _rule_transactions_root(block)


def check_and_execute_block(
    parent: Parent,
    block: Block,
    engine: Engine,
    verified: Sequence[Transaction] | None = None,
    *,
    mark: Mark = unmarked,
) -> Executed:
    """Check a block and execute it with the outputs that it claims.

    `verified` are the block's transactions, parsed and with good signatures, from a caller that
    verifies ahead and in threads; without them this function does both. `mark` hears the end of
    "execution" and of "state_root".
    The returned `prediction_inputs` are what must be recomputed before a vote.

    Raises:
        InvalidInput: BAD_BLOCK with the field `rule`; the transaction's own code otherwise;
            PREDICTION_MISMATCH for an output out of shape.
    """
    check_block(parent, block)
    transactions = _verify_all(block) if verified is None else verified
    assert [item.raw for item in transactions] == list(block.transactions), "not this block's"
    environment = environment_of(parent, block.header.time_ms)
    execution = BlockExecution(parent.state, environment, engine, ClaimedOutputs(block.predictions))
    for transaction in transactions:
        try:
            execution.apply(transaction)
        except PredictionUnavailable:
            raise bad_block("outputs", "the body lacks an output that execution needs") from None
    mark("execution")
    executed = execution.finish()
    mark("state_root")
    _rule_outputs(block, executed)
    _rule_roots(block.header, executed)
    return executed


class ClaimedOutputs:
    """The outputs in a block's body as a `PredictionSource`.

    Input digests cover the model: one that is claimed for another model is not what execution
    used, and the block is bad for it.
    """

    def __init__(self, predictions: Sequence[PredictionOutput]) -> None:
        self._outputs = {item.input_digest: item.output for item in predictions}

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Give the claimed output."""
        found = self._outputs.get(digest)
        if found is None:
            raise PredictionUnavailable(model_id, window)
        return found


def _verify_all(block: Block) -> list[Transaction]:
    transactions = [parse_transaction(raw) for raw in block.transactions]
    for transaction in transactions:
        check_signature(transaction)
    return transactions


def _header(
    parent: Parent, turn: Turn, time_ms: int, transactions: tuple[bytes, ...], executed: Executed
) -> Header:
    epoch = parent.child_epoch
    return Header(
        version=_protocol(parent),
        chain_id=parent.header.chain_id,
        epoch=epoch,
        slot=turn.slot,
        height=parent.header.height + 1,
        time_ms=time_ms,
        parent=parent.hash,
        proposer=leader_key(parent.validators, epoch, turn.slot),
        justification_digest=justification_digest(turn.justification),
        transactions_root=merkle_root(transactions),
        predictions_root=executed.predictions_root,
        receipts_root=executed.receipts_root,
        state_root=executed.state_root,
        validators_hash=validators_hash(parent.validators),
        next_validators_hash=validators_hash(executed.next_validators),
        gas_used=executed.gas_used,
    )


def _rule_identity(parent: Parent, header: Header) -> None:
    protocol = _protocol(parent)
    if header.version != protocol:
        raise _wrong_version(
            f"block {header.height} is of protocol {header.version}, the network speaks {protocol}"
        )
    if header.chain_id != parent.header.chain_id:
        raise bad_block("identity", "the chain id differs from ours")


def _protocol(parent: Parent) -> int:
    """What a child speaks, if we do."""
    height = parent.header.height + 1
    found = protocol_at(parent.state, height)
    if found not in PROTOCOLS:
        raise _wrong_version(f"from height {height} on the network speaks protocol {found}")
    return found


def _wrong_version(reason: str) -> InvalidInput:
    return InvalidInput(
        Code.WRONG_VERSION,
        f"{reason}; this release speaks {', '.join(map(str, PROTOCOLS))}",
        hint="all members upgrade at one height: docs/operator.md, Upgrade",
        rule="identity",
    )


def _rule_place(parent: Parent, header: Header) -> None:
    if header.parent != parent.hash or header.height != parent.header.height + 1:
        raise bad_block("place", "the block does not follow its parent")
    if header.epoch != parent.child_epoch:
        raise bad_block("place", f"the epoch after this parent is {parent.child_epoch}")
    least = parent.header.slot + 1 if header.epoch == parent.header.epoch else 1
    if not least <= header.slot < 2**63:
        raise bad_block("place", f"slot {header.slot} is below {least}")


def _rule_time(parent: Parent, header: Header) -> None:
    if not parent.header.time_ms < header.time_ms < 2**63:
        raise bad_block("time", "time must grow from block to block")


def _rule_leader(parent: Parent, header: Header) -> None:
    if header.proposer != leader_key(parent.validators, header.epoch, header.slot):
        raise bad_block("leader", f"slot {header.slot} is another validator's turn")


def _rule_validators(parent: Parent, header: Header) -> None:
    if header.validators_hash != parent.header.next_validators_hash:
        raise bad_block("validators", "the set is not the one that the parent announced")


def _rule_justification(block: Block) -> None:
    if block.header.justification_digest != justification_digest(block.justification):
        raise bad_block("justification", "the justification is not the one in the header")


def _rule_size(parent: Parent, block: Block) -> None:
    # A first look; execution measures each transaction with its outputs (execution._rule_size).
    if len(block.transactions) > parent.params.block_transactions_max:
        raise bad_block("size", f"{len(block.transactions)} transactions are too many")
    size_bytes = sum(map(len, block.transactions))
    if size_bytes > parent.params.block_bytes_max:
        raise bad_block("size", f"a body of {size_bytes} bytes is too large")


def _rule_transactions_root(block: Block) -> None:
    if block.header.transactions_root != merkle_root(block.transactions):
        raise bad_block("transactions_root", "the transactions are not those in the header")


def _rule_outputs(block: Block, executed: Executed) -> None:
    if block.predictions != executed.prediction_outputs:
        raise bad_block("outputs", "the body's outputs are not those used, in order of first use")


def _rule_roots(header: Header, executed: Executed) -> None:
    found = {
        "receipts_root": executed.receipts_root,
        "predictions_root": executed.predictions_root,
        "state_root": executed.state_root,
        "next_validators_hash": validators_hash(executed.next_validators),
    }
    for name, expected in found.items():
        if getattr(header, name) != expected:
            raise bad_block(name, f"execution gives {expected.hex()[:16]}")
    if header.gas_used != executed.gas_used:
        raise bad_block("gas_used", f"execution uses {executed.gas_used} gas")


def bad_block(rule: str, reason: str) -> InvalidInput:
    """Make the verdict on a block that breaks a rule."""
    return InvalidInput(Code.BAD_BLOCK, f"{rule}: {reason}", rule=rule)
