"""Contracts that the ledger itself implements: `contracts` (deployment), `evidence`, `params`.

They run under the same rules as others: typed failures, gas, atomic with their transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from andon.core.block import Failure
from andon.core.certificate import SignedVote, VoteKind, check_signed_vote
from andon.core.codec import Value, decode, decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.state_key import state_key
from andon.core.transaction import Call
from consensus.ledger import lifecycle, upgrades
from consensus.ledger.directory import text_map
from consensus.ledger.host import CONTRACTS, LedgerHost
from consensus.ledger.native_call import NativeCall, Refused
from consensus.ledger.ports import Context, Engine, Outcome
from consensus.ledger.succession import EVIDENCE, read_epoch
from consensus.ledger.upgrades import PARAMS

NAMES = lifecycle.RESERVED
DEPLOY_GAS = 20_000
DEPLOY_GAS_PER_BYTE = 100
EVIDENCE_GAS = 50_000
NOTHING = encode_value(None)
_CONVICTING = ((VoteKind.NOTAR, VoteKind.NOTAR), (VoteKind.FINAL, VoteKind.FINAL))


def execute(
    host: LedgerHost,
    engine: Engine,
    context: Context,
    call: Call,
    gas_limit: int,
    *,
    is_rehearsal: bool = False,
) -> Outcome:
    """Run one call of a native contract; a rehearsal asks for no approvals."""
    gas = _price(call)
    try:
        native = NativeCall(
            host=host,
            engine=engine,
            context=context,
            arguments=_arguments(call, gas, gas_limit),
            gas_limit=gas_limit,
            gas=gas,
            is_rehearsal=is_rehearsal,
        )
        return _method(call)(native)
    except Refused as refused:
        failure = Failure(refused.code, call.contract, call.method, refused.line, refused.message)
        charged = min(gas, gas_limit)
        return Outcome(ok=False, result=NOTHING, gas_used=charged, failure=failure)


def _method(call: Call) -> Callable[[NativeCall], Outcome]:
    method = _METHODS.get((call.contract, call.method))
    if method is None:
        raise Refused("E_METHOD", f"{call.contract} has no method {call.method}")
    return method


def _price(call: Call) -> int:
    if call.contract == EVIDENCE:
        return EVIDENCE_GAS
    return DEPLOY_GAS + DEPLOY_GAS_PER_BYTE * len(call.args)


def _arguments(call: Call, gas: int, gas_limit: int) -> dict[str, Value]:
    if gas > gas_limit:
        raise Refused("E_GAS", f"this call costs {gas} gas, {gas_limit} are left")
    try:
        value = decode_value(call.args)
    except InvalidInput as error:
        raise Refused("E_ARGS", error.message) from None
    if not isinstance(value, dict):
        raise Refused("E_ARGS", "arguments are a map from name to value")
    return text_map(value)


def _convict(native: NativeCall) -> Outcome:
    """submit(first, second): two votes that no honest validator signs both; jails the signer."""
    native.require("first", "second")
    first, second = _vote(native.arguments["first"]), _vote(native.arguments["second"])
    _check_pair(first, second)
    host, context, vote = native.host, native.context, first.vote
    validators = read_epoch(host.read(state_key(EVIDENCE, "sets", vote.epoch)))
    if validators is None:
        raise Refused("E_EVIDENCE", f"the validators of epoch {vote.epoch} are not on record")
    try:
        check_signed_vote(context.chain_id, validators, first)
        check_signed_vote(context.chain_id, validators, second)
    except InvalidInput as error:
        raise Refused("E_EVIDENCE", error.message) from None
    key = validators.validators[first.validator].key
    place = state_key(EVIDENCE, "jailed", key)
    if host.read(place) is not None:
        raise Refused("E_EVIDENCE", f"validator {key.hex()[:16]} is already convicted")
    verdict: Value = {
        "epoch": vote.epoch,
        "slot": vote.slot,
        "height": context.height,
        "reporter": context.sender,
        "votes": [vote.kind.name, second.vote.kind.name],
    }
    host.write(place, encode_value(verdict))
    fields: Value = {"validator": key, "epoch": vote.epoch, "slot": vote.slot}
    host.emit(EVIDENCE, "convicted", encode_value(fields))
    return native.done(key)


def _vote(value: Value) -> SignedVote:
    if not isinstance(value, bytes):
        raise Refused("E_ARGS", "votes are given as bytes of a SignedVote")
    try:
        return decode(SignedVote, value)
    except InvalidInput as error:
        raise Refused("E_ARGS", f"{error.code.name}: not a signed vote") from None


def _check_pair(first: SignedVote, second: SignedVote) -> None:
    left, right = first.vote, second.vote
    if first.validator != second.validator or (left.epoch, left.slot) != (right.epoch, right.slot):
        raise Refused("E_EVIDENCE", "the votes differ in validator, epoch or slot")
    kinds = (left.kind, right.kind)
    is_double = kinds in _CONVICTING and left.block != right.block
    is_torn = sorted(kinds) == [VoteKind.SKIP, VoteKind.FINAL]
    if not is_double and not is_torn:
        raise Refused("E_EVIDENCE", "an honest validator may sign both of these votes")


_METHODS: dict[tuple[str, str], Callable[[NativeCall], Outcome]] = {
    (CONTRACTS, "approve"): lifecycle.approve,
    (CONTRACTS, "deploy"): lifecycle.deploy,
    (CONTRACTS, "upgrade"): lifecycle.upgrade,
    (CONTRACTS, "pause"): lifecycle.pause,
    (CONTRACTS, "resume"): lifecycle.resume,
    (EVIDENCE, "submit"): _convict,
    (PARAMS, "upgrade"): upgrades.upgrade,
    (PARAMS, "cancel"): upgrades.cancel,
}
