"""Height 0: the state that a genesis document describes, and the header that commits to it."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import PROTOCOL_VERSION, Block, Header, Justification, justification_digest
from andon.core.certificate import validators_hash
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, GenesisContract, check_genesis, genesis_hash
from andon.core.hashing import DIGEST_BYTES, ZERO_DIGEST
from andon.core.state_key import is_name
from andon.core.transaction import Call
from consensus.ledger import lifecycle, native
from consensus.ledger.directory import VALIDATORS_KEY, parse_validators
from consensus.ledger.execution import Environment, Executed
from consensus.ledger.host import LedgerHost
from consensus.ledger.memory import MemoryState
from consensus.ledger.native_call import Refused
from consensus.ledger.overlay import Overlay
from consensus.ledger.ports import Context, Engine, Mode, PredictionUnavailable
from consensus.ledger.succession import close_block, write_params
from consensus.ledger.tree import update_tree

NOBODY = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenesisState:
    """Block 0 and what it did."""

    block: Block
    executed: Executed

    @property
    def header(self) -> Header:
        """Header of height 0."""
        return self.block.header


class _NoOutputs:
    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        del digest
        raise PredictionUnavailable(model_id, window)


def genesis_state(genesis: Genesis, engine: Engine) -> GenesisState:
    """Deploy the first contracts in their order on an empty state.

    Raises:
        InvalidInput: BAD_GENESIS if a contract is refused or fails, or no validators result.
    """
    check_genesis(genesis)
    if genesis.params.gas_schedule != engine.gas_schedule:
        raise InvalidInput(
            Code.BAD_GENESIS,
            f"this network meters by gas schedule {genesis.params.gas_schedule}, "
            f"this version of Andon by {engine.gas_schedule}",
            hint="run the version that the network runs",
        )
    overlay = Overlay(MemoryState())
    write_params(overlay, genesis.params)
    environment = Environment(
        chain_id=genesis.chain_id, epoch=0, height=0, time_ms=genesis.time_ms, params=genesis.params
    )
    host = LedgerHost(overlay, _NoOutputs(), 0)
    for contract in genesis.contracts:
        _deploy(host, engine, environment, contract)
    if parse_validators(overlay.get(VALIDATORS_KEY)) is None:
        raise InvalidInput(
            Code.BAD_GENESIS,
            "the identity contract names no valid validator set",
            hint="each validator needs a prime-order key of its own and a weight of at least 1",
        )
    executed = _finish(overlay, environment)
    justification = Justification(parent_certificate=None, skips=())
    header = Header(
        version=PROTOCOL_VERSION,
        chain_id=genesis.chain_id,
        epoch=0,
        slot=0,
        height=0,
        time_ms=genesis.time_ms,
        parent=genesis_hash(genesis),
        proposer=NOBODY,
        justification_digest=justification_digest(justification),
        transactions_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=executed.state_root,
        validators_hash=validators_hash(executed.next_validators),
        next_validators_hash=validators_hash(executed.next_validators),
        gas_used=0,
    )
    block = Block(header=header, justification=justification, transactions=(), predictions=())
    return GenesisState(block=block, executed=executed)


def _deploy(
    host: LedgerHost, engine: Engine, environment: Environment, contract: GenesisContract
) -> None:
    if not is_name(contract.name) or contract.name in native.NAMES:
        raise InvalidInput(Code.BAD_GENESIS, f"{contract.name!r} cannot name a contract")
    try:
        described = engine.check(contract.source)
        lifecycle.write_contract(host, contract.name, contract.source, described)
    except InvalidInput as error:
        raise InvalidInput(
            Code.BAD_GENESIS, f"contract {contract.name}: {error.message}", hint=error.hint
        ) from None
    except Refused as refused:
        text = f"contract {contract.name}: {refused.message}"
        raise InvalidInput(Code.BAD_GENESIS, text) from None
    context = Context(
        chain_id=environment.chain_id,
        height=0,
        time_ms=environment.time_ms,
        sender=NOBODY,
        transaction_id=ZERO_DIGEST,
    )
    call = Call(contract=contract.name, method="", args=contract.args)
    gas_max = environment.params.block_gas_max
    outcome = engine.execute(host, context, call, gas_max, mode=Mode.INIT)
    if outcome.failure is not None:
        failure = outcome.failure
        raise InvalidInput(
            Code.BAD_GENESIS,
            f"@init of {contract.name} failed in line {failure.line}: "
            f"{failure.code} {failure.message}",
        )


def _finish(overlay: Overlay, environment: Environment) -> Executed:
    validators, params = close_block(overlay, environment, None)
    root, nodes = update_tree(overlay, overlay.writes)
    overlay.tree_writes.update(nodes)
    overlay.forget_journal()
    return Executed(
        receipts=(),
        receipt_bytes=(),
        predictions=(),
        prediction_bytes=(),
        prediction_outputs=(),
        prediction_inputs=(),
        overlay=overlay,
        state_root=root,
        receipts_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        gas_used=0,
        next_validators=validators,
        next_params=params,
    )
