"""Contracts that the ledger itself implements: `contracts` (deployment) and `evidence`.

They run under the same rules as others: typed failures, gas, atomic with their transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from andon.core.block import Failure
from andon.core.certificate import SignedVote, VoteKind, check_signed_vote
from andon.core.codec import Value, decode, decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.state_key import is_name, state_key
from andon.core.transaction import Call
from consensus.ledger.directory import text_map
from consensus.ledger.host import CONTRACTS, LedgerHost
from consensus.ledger.ports import Context, Engine, Mode, Outcome
from consensus.ledger.registry import PREDICTIONS
from consensus.ledger.succession import EVIDENCE, read_epoch

NAMES = frozenset({CONTRACTS, EVIDENCE, "params"})
DEPLOY_ROLES = ("deployer", "admin")
DEPLOY_GAS = 20_000
DEPLOY_GAS_PER_BYTE = 100
EVIDENCE_GAS = 50_000
NOTHING = encode_value(None)
_CONVICTING = ((VoteKind.NOTAR, VoteKind.NOTAR), (VoteKind.FINAL, VoteKind.FINAL))


class _Refused(Exception):
    def __init__(self, code: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class _NativeCall:
    """One call in progress: who asks for what, with how much gas."""

    host: LedgerHost
    engine: Engine
    context: Context
    arguments: dict[str, Value]
    gas_limit: int
    gas: int

    def done(self, result: Value) -> Outcome:
        return Outcome(ok=True, result=encode_value(result), gas_used=self.gas, failure=None)

    def require(self, *names: str) -> None:
        if sorted(self.arguments) != sorted(names):
            raise _Refused("E_ARGS", f"expected exactly the arguments {', '.join(names)}")


def execute(
    host: LedgerHost, engine: Engine, context: Context, call: Call, gas_limit: int
) -> Outcome:
    """Run one call of a native contract."""
    gas = _price(call)
    try:
        native = _NativeCall(
            host=host,
            engine=engine,
            context=context,
            arguments=_arguments(call, gas, gas_limit),
            gas_limit=gas_limit,
            gas=gas,
        )
        return _method(call)(native)
    except _Refused as refused:
        failure = Failure(refused.code, call.contract, call.method, refused.line, refused.message)
        charged = min(gas, gas_limit)
        return Outcome(ok=False, result=NOTHING, gas_used=charged, failure=failure)


def _method(call: Call) -> Callable[[_NativeCall], Outcome]:
    method = _METHODS.get((call.contract, call.method))
    if method is None:
        raise _Refused("E_METHOD", f"{call.contract} has no method {call.method}")
    return method


def _price(call: Call) -> int:
    if call.contract == EVIDENCE:
        return EVIDENCE_GAS
    return DEPLOY_GAS + DEPLOY_GAS_PER_BYTE * len(call.args)


def _arguments(call: Call, gas: int, gas_limit: int) -> dict[str, Value]:
    if gas > gas_limit:
        raise _Refused("E_GAS", f"this call costs {gas} gas, {gas_limit} are left")
    try:
        value = decode_value(call.args)
    except InvalidInput as error:
        raise _Refused("E_ARGS", error.message) from None
    if not isinstance(value, dict):
        raise _Refused("E_ARGS", "arguments are a map from name to value")
    return text_map(value)


def _deploy(native: _NativeCall) -> Outcome:
    """deploy(name, source, args): put a checked source under a free name and run its @init."""
    native.require("name", "source", "args")
    name, source = _name(native.arguments), _source(native.arguments)
    args = native.arguments["args"]
    if not isinstance(args, dict):
        raise _Refused("E_ARGS", "args is the map of @init's arguments")
    _require_deployer(native)
    if native.host.source(name) is not None:
        raise _Refused("E_EXISTS", f"contract {name} exists; change it with upgrade")
    _write_checked(native, name, source, version=1)
    return _enter(native, name, encode_value(args), Mode.INIT)


def _upgrade(native: _NativeCall) -> Outcome:
    """upgrade(name, source): replace the source and run its @migrate.

    Only the organisation that deployed the contract may.
    """
    native.require("name", "source")
    name, source = _name(native.arguments), _source(native.arguments)
    _require_deployer(native)
    raw = native.host.read(state_key(CONTRACTS, "meta", name))
    if raw is None:
        raise _Refused("E_CONTRACT", f"no contract {name} was deployed by a transaction")
    meta = text_map(decode_value(raw))
    if meta.get("organisation") != native.host.organisation(native.context.sender):
        raise _Refused("E_ROLE", f"contract {name} belongs to another organisation")
    version = meta.get("version")
    number = version + 1 if isinstance(version, int) else 1
    _write_checked(native, name, source, version=number)
    outcome = _enter(native, name, encode_value({}), Mode.MIGRATE)
    if not outcome.ok:
        return outcome
    return Outcome(ok=True, result=encode_value(number), gas_used=outcome.gas_used, failure=None)


def _enter(native: _NativeCall, name: str, args: bytes, mode: Mode) -> Outcome:
    """Run the contract's own part of a deployment; the price of the native part is added."""
    call = Call(contract=name, method="", args=args)
    outcome = native.engine.execute(
        native.host, native.context, call, native.gas_limit - native.gas, mode=mode
    )
    return Outcome(
        ok=outcome.ok,
        result=outcome.result,
        gas_used=outcome.gas_used + native.gas,
        failure=outcome.failure,
    )


def write_source(host: LedgerHost, name: str, source: bytes) -> None:
    """Put a source under a name, unchecked (genesis and deployment)."""
    host.write(state_key(CONTRACTS, "source", name), encode_value(source))
    host.forget_sources()


def _write_checked(native: _NativeCall, name: str, source: bytes, *, version: int) -> None:
    try:
        native.engine.check(source)
    except InvalidInput as error:
        line = error.fields.get("line")
        number = line if isinstance(line, int) and line >= 0 else 0
        raise _Refused("E_REFUSED", str(error), number) from None
    write_source(native.host, name, source)
    sender = native.context.sender
    meta: Value = {
        "digest": digest(Domain.SOURCE, source),
        "height": native.context.height,
        "organisation": native.host.organisation(sender),
        "deployer": sender,
        "version": version,
    }
    native.host.write(state_key(CONTRACTS, "meta", name), encode_value(meta))


def _require_deployer(native: _NativeCall) -> None:
    if not any(native.host.has_role(native.context.sender, role) for role in DEPLOY_ROLES):
        raise _Refused("E_ROLE", f"deployment needs one of the roles {', '.join(DEPLOY_ROLES)}")


def _name(arguments: dict[str, Value]) -> str:
    name = arguments["name"]
    # The ledger records what `predictions` announces: only a genesis may hold that contract.
    if not isinstance(name, str) or not is_name(name) or name in NAMES | {PREDICTIONS}:
        raise _Refused("E_ARGS", "a contract name is [a-z][a-z0-9_]{0,31} and not reserved")
    return name


def _source(arguments: dict[str, Value]) -> bytes:
    source = arguments["source"]
    if not isinstance(source, str):
        raise _Refused("E_ARGS", "source is text")
    return source.encode()


def _convict(native: _NativeCall) -> Outcome:
    """submit(first, second): two votes that no honest validator signs both; jails the signer."""
    native.require("first", "second")
    first, second = _vote(native.arguments["first"]), _vote(native.arguments["second"])
    _check_pair(first, second)
    host, context, vote = native.host, native.context, first.vote
    validators = read_epoch(host.read(state_key(EVIDENCE, "sets", vote.epoch)))
    if validators is None:
        raise _Refused("E_EVIDENCE", f"the validators of epoch {vote.epoch} are not on record")
    try:
        check_signed_vote(context.chain_id, validators, first)
        check_signed_vote(context.chain_id, validators, second)
    except InvalidInput as error:
        raise _Refused("E_EVIDENCE", error.message) from None
    key = validators.validators[first.validator].key
    place = state_key(EVIDENCE, "jailed", key)
    if host.read(place) is not None:
        raise _Refused("E_EVIDENCE", f"validator {key.hex()[:16]} is already convicted")
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
        raise _Refused("E_ARGS", "votes are given as bytes of a SignedVote")
    try:
        return decode(SignedVote, value)
    except InvalidInput as error:
        raise _Refused("E_ARGS", f"{error.code.name}: not a signed vote") from None


def _check_pair(first: SignedVote, second: SignedVote) -> None:
    left, right = first.vote, second.vote
    if first.validator != second.validator or (left.epoch, left.slot) != (right.epoch, right.slot):
        raise _Refused("E_EVIDENCE", "the votes differ in validator, epoch or slot")
    kinds = (left.kind, right.kind)
    is_double = kinds in _CONVICTING and left.block != right.block
    is_torn = sorted(kinds) == [VoteKind.SKIP, VoteKind.FINAL]
    if not is_double and not is_torn:
        raise _Refused("E_EVIDENCE", "an honest validator may sign both of these votes")


_METHODS: dict[tuple[str, str], Callable[[_NativeCall], Outcome]] = {
    (CONTRACTS, "deploy"): _deploy,
    (CONTRACTS, "upgrade"): _upgrade,
    (EVIDENCE, "submit"): _convict,
}
