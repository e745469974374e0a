"""The engine: enters contracts, meters them, and turns their faults into outcomes.

Faults of contracts never raise out of `execute`. What does raise (a host that lacks a prediction,
exhausted memory, a bug) is the host's, and must never become a receipt.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Final

from andon.core.codec import Value, decode_value, encode_value
from andon.core.errors import InvalidInput
from contracts_py.engine import gas
from contracts_py.engine.compiler import compile_contract
from contracts_py.engine.contract import ANY, Contract, Method, fits
from contracts_py.engine.entrance import Entrance, source_cost
from contracts_py.engine.faults import ContractRefused, Fault, out_of_gas
from contracts_py.engine.limits import DEFAULT_LIMITS, Limits
from contracts_py.engine.ports import Context, Failure, Host, Mode, Outcome
from contracts_py.engine.profile import Profile
from contracts_py.engine.run import UNSET, Locals, Run, Totals
from contracts_py.engine.storage import pack
from contracts_py.engine.values import check_keys, measure, type_name

RECURSION_LIMIT: Final = 30_000
"""Calls inside each other times frames of one: the language's own limits end far below."""

NOTHING: Final = b"\xc0"
NO_ARGUMENTS: Final = b"\x80"
ENTRANCES_KEPT_MAX: Final = 4096
"""Methods that are kept prepared; their contracts are compiled ones that `Limits` bounds."""

_NOTHING_GAS: Final = gas.NODE_ENCODE + 1
"""What `measure` charges for None."""

# Looking a member of an enum up takes as long as a small operation of a contract.
_CALL: Final = Mode.CALL


class Engine:
    """Checks sources and executes calls. Owns the cache of compiled contracts; not re-entrant."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, profile: Profile | None = None) -> None:
        self._limits = limits
        self._profile = profile
        self._compiled: OrderedDict[bytes, Contract] = OrderedDict()
        self._compiled_bytes = 0
        self._entrances: dict[tuple[str, str], Entrance] = {}
        sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))

    def check(self, source: bytes) -> Contract:
        """Give the compiled contract of a source.

        Raises:
            ContractRefused: CONTRACT_REFUSED with fields rule, line, column, fix.
        """
        found = self._compiled.get(source)
        if found is None:
            found = compile_contract(source, self._limits, self._profile)
            self._keep(source, found)
        else:
            self._compiled.move_to_end(source)
        return found

    def _keep(self, source: bytes, contract: Contract) -> None:
        """Compiling costs a hundred times a call, so what a network has deployed should stay."""
        limits, compiled = self._limits, self._compiled
        self._compiled_bytes += len(source)
        while compiled and (
            len(compiled) >= limits.compiled_max or self._compiled_bytes > limits.compiled_bytes_max
        ):
            forgotten, _ = compiled.popitem(last=False)
            self._compiled_bytes -= len(forgotten)
            self._entrances.clear()  # They hold their contracts.
        compiled[source] = contract

    def execute(  # noqa: PLR0917 - the ledger's order
        self,
        host: Host,
        context: Context,
        contract: str,
        method: str,
        args: bytes,
        gas_limit: int,
        *,
        mode: Mode,
    ) -> Outcome:
        """Run one call; on failure the host is rolled back and the gas is charged.

        With INIT and MIGRATE the contract's own method of that kind runs; `method` is ignored.
        """
        # All calls of all transactions come through here: one frame, and records by position.
        mark, limits = host.checkpoint(), self._limits
        left = gas_limit - gas.ENTER - 2 * len(args)
        run: Run | None = None
        try:
            source = host.source(contract)
            entrance = self._entrances.get((contract, method)) if mode is _CALL else None
            if entrance is not None and entrance.source is source:
                left -= entrance.cost
                if left < 0:
                    raise out_of_gas()
            else:
                compiled = self._load(source, left)
                left -= source_cost(compiled)
                if left < 0:
                    raise out_of_gas()
                entrance = self._entrance(source, compiled, contract, method, mode)
                if entrance is None:
                    return _done_without(args, mode, gas_limit - left)
            if entrance.is_pausable and host.is_paused(contract):
                raise _paused(contract)
            flat = entrance.flat
            read = None if flat is None else flat.read(args)
            named = {} if read is not None else _decode_arguments(args, limits)
            run = Run(
                host, context, limits, Totals(), self._external, entrance.contract, contract,
                entrance.prefixes, entrance.stack, entrance.is_view, context.sender, left,
            )  # fmt: skip
            called = entrance.method
            if entrance.is_guarded:
                _check_access(run, called)
            if read is not None:
                local, cost = read
                run.gas -= cost
                if run.gas < 0:
                    raise out_of_gas()
            else:
                entrance.note_entered()
                measure(run, list(named.values()), 8 * limits.value_bytes_max)
                local = _bound(run, called, named)
            result = called.body(run, local)
            returns = called.returns
            if returns is not ANY and type(result) is not returns.plain:
                _check_returned(run, called, result)
            if result is None:
                run.gas -= _NOTHING_GAS
                if run.gas < 0:
                    raise out_of_gas()
            elif type(result) is not int:
                measure(run, result, limits.value_bytes_max)
        except Fault as fault:
            host.rollback(mark)
            used = gas_limit - max(0, left if run is None else run.gas)
            return _failed(fault, contract, method, used, limits)
        encoded = NOTHING if result is None else pack(result)
        return Outcome(True, encoded, gas_limit - max(0, run.gas), None)  # noqa: FBT003 - by position

    def _load(self, source: bytes | None, left: int) -> Contract:
        """Give the compiled contract of what a host has under a name, for whom gas is left."""
        if left < 0:
            raise out_of_gas()
        if source is None:
            raise Fault("E_NO_CONTRACT", "no such contract")
        try:
            return self.check(source)
        except ContractRefused as refusal:
            fault = Fault("E_REFUSED", refusal.message)
            fault.line = refusal.line
            raise fault from None

    def _entrance(
        self, source: bytes | None, compiled: Contract, name: str, method_name: str, mode: Mode
    ) -> Entrance | None:
        """Find what a mode may enter; None if there is no initialiser. Raises Fault E_NO_FUNC.

        What transactions call is kept.
        """
        key = (name, method_name)
        known = self._entrances.get(key) if mode is _CALL else None
        if known is not None and known.contract is compiled:
            # Another host, as of the next block, or the same source deployed anew.
            known.source = source
            return known
        method = _method_of(compiled, method_name, mode)
        if method is None:
            return None
        found = Entrance(source, compiled, name, method, mode)
        if mode is _CALL:
            if len(self._entrances) >= ENTRANCES_KEPT_MAX:
                self._entrances.clear()
            self._entrances[key] = found
        return found

    def _external(
        self, caller: Run, name: str, method_name: str, named: dict[str, Value], gas_slice: int
    ) -> Value:
        """Enter from another contract: arguments and result are copied, gas is a slice."""
        caller.charge(gas.EXTERNAL_CALL)
        slice_max = min(gas_slice, caller.gas)
        host, limits = caller.host, caller.limits
        if len(caller.stack) >= limits.contracts_depth_max:
            raise Fault("E_DEPTH", "too many contracts inside each other")
        contract = self._load(host.source(name), 0)
        method = contract.methods.get(method_name)
        if method is None or method.kind not in ("export", "view"):
            raise Fault("E_NO_FUNC", f"{name} exports no such method")
        if method.kind != "view" and host.is_paused(name):
            raise _paused(name)
        if name in caller.stack and not method.is_reentrant:
            raise Fault("E_REENTRANT", f"{name} is already running")
        if caller.is_view and method.kind != "view":
            raise Fault("E_ACCESS", "a view enters views only")
        copied = _copied(caller, named)
        run = Run(
            host=host,
            context=caller.context,
            limits=limits,
            totals=caller.totals,
            external=self._external,
            contract=contract,
            name=name,
            prefixes=contract.prefixes(name),
            stack=(*caller.stack, name),
            is_view=method.kind == "view",
            caller=caller.name,
            gas=min(slice_max, caller.gas),
            depth=caller.depth + 1,
        )
        before = run.gas
        try:
            if method.roles or method.organisation:
                _check_access(run, method)
            result = method.body(run, _bound(run, method, copied))
            if type(result) is not method.returns.plain:
                _check_returned(run, method, result)
            measure(run, result, limits.value_bytes_max)
        except Fault as fault:
            if not fault.contract:
                fault.contract = name
            raise
        finally:
            caller.gas -= before - max(0, run.gas)
        return decode_value(encode_value(result))


def _failed(fault: Fault, contract: str, method: str, gas_used: int, limits: Limits) -> Outcome:
    message = fault.message.encode()[: limits.message_bytes_max].decode("utf-8", "ignore")
    failure = Failure(
        code=fault.code,
        contract=fault.contract or contract,
        method=fault.method or method,
        line=fault.line,
        message=message,
    )
    return Outcome(ok=False, result=NOTHING, gas_used=gas_used, failure=failure)


def _done_without(args: bytes, mode: Mode, gas_used: int) -> Outcome:
    """Nothing is to be done: the contract has no initialiser, or no migration."""
    if args != NO_ARGUMENTS:
        raise Fault("E_ARGS", f"the contract has no @{mode.value}")
    return Outcome(ok=True, result=NOTHING, gas_used=gas_used, failure=None)


def _paused(name: str) -> Fault:
    return Fault("E_PAUSED", f"{name} is paused: only its views can be entered")


def _check_access(run: Run, method: Method) -> None:
    """Roles and organisation bind the account that sends, never a contract in between."""
    sender, host = run.context.sender, run.host
    run.charge(gas.ROLE)
    if run.caller != sender:
        raise Fault("E_ACCESS", f"{method.name} is for accounts, not for contracts")
    if method.roles and not _has_any(host, sender, method.roles):
        raise Fault("E_ACCESS", f"{method.name} needs the role {' or '.join(method.roles)}")
    if method.organisation and host.organisation(sender) != method.organisation:
        raise Fault("E_ACCESS", f"{method.name} is for members of {method.organisation}")


def _has_any(host: Host, account: bytes, roles: tuple[str, ...]) -> bool:
    return any(host.has_role(account, role) for role in roles)


def _method_of(contract: Contract, name: str, mode: Mode) -> Method | None:
    if mode is Mode.INIT:
        return contract.initialiser()
    if mode is Mode.MIGRATE:
        return contract.migration()
    method = contract.methods.get(name)
    allowed = ("export", "view") if mode is Mode.CALL else ("view",)
    if mode is Mode.SCHEDULED:
        allowed = ("scheduled",)
    if method is None or method.kind not in allowed:
        what = "view" if mode is Mode.VIEW else "method"
        raise Fault("E_NO_FUNC", f"no such {what}")
    return method


def _decode_arguments(args: bytes, limits: Limits) -> dict[str, Value]:
    try:
        value = decode_value(args, 4 * limits.value_bytes_max)
    except InvalidInput:
        raise Fault("E_ARGS", "arguments are not canonical bytes") from None
    if type(value) is not dict:
        raise Fault("E_ARGS", "arguments are a map from name to value")
    named = {name: item for name, item in value.items() if type(name) is str}
    for item in named.values():
        if type(item) is list or type(item) is dict or type(item) is tuple:
            check_keys(item)
    if len(named) != len(value):
        raise Fault("E_ARGS", "names of arguments are str")
    return named


def _copied(run: Run, named: dict[str, Value]) -> dict[str, Value]:
    values: list[Value] = list(named.values())
    measure(run, values, run.limits.value_bytes_max)
    copies = decode_value(encode_value(values))
    assert type(copies) is list, "a list was encoded"
    return dict(zip(named, copies, strict=True))


def _bound(run: Run, method: Method, named: dict[str, Value]) -> Locals:
    """Bind arguments by name and check their types. Raises Fault E_ARGS."""
    local: Locals = []
    taken = 0
    for parameter in method.parameters:
        if parameter.name in named:
            value = named[parameter.name]
            taken += 1
            spec = parameter.spec
            if type(value) is not spec.plain and not fits(run, spec, value):
                raise Fault(
                    "E_ARGS", f"{parameter.name} is {parameter.spec}, not {type_name(value)}"
                )
            local.append(value)
        elif parameter.default is not UNSET:
            local.append(parameter.default)
        else:
            raise Fault("E_ARGS", f"{method.name} needs {parameter.name}")
    if taken != len(named):
        unknown = sorted(name for name in named if name not in method.names)
        raise Fault("E_ARGS", f"{method.name} has no parameter {unknown[0][:64]}")
    return local


def _check_returned(run: Run, method: Method, result: Value) -> None:
    """Check the type of a result whose type alone does not tell. Raises Fault E_TYPE."""
    if not fits(run, method.returns, result):
        raise Fault("E_TYPE", f"{method.name} returns {method.returns}, not {type_name(result)}")
