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
from contracts_py.engine.contract import Contract, Method, fits
from contracts_py.engine.faults import ContractRefused, Fault
from contracts_py.engine.limits import DEFAULT_LIMITS, Limits
from contracts_py.engine.ports import Context, Failure, Host, Mode, Outcome
from contracts_py.engine.profile import Profile
from contracts_py.engine.run import UNSET, Locals, Run, Totals
from contracts_py.engine.storage import pack, unpack_arguments
from contracts_py.engine.values import check_keys, measure, type_name

RECURSION_LIMIT: Final = 30_000
"""Calls inside each other times frames of one: the language's own limits end far below."""

NOTHING: Final = b"\xc0"
NO_ARGUMENTS: Final = b"\x80"
# Looking a member of an enum up takes as long as a small operation of a contract.
_CALL: Final = Mode.CALL
_INIT: Final = Mode.INIT
_MIGRATE: Final = Mode.MIGRATE
_VIEW: Final = Mode.VIEW
_KIND_OF: Final = {Mode.INIT: "init", Mode.MIGRATE: "migrate", Mode.SCHEDULED: "scheduled"}


class Engine:
    """Checks sources and executes calls. Owns the cache of compiled contracts; not re-entrant."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, profile: Profile | None = None) -> None:
        self._limits = limits
        self._profile = profile
        self._compiled: OrderedDict[bytes, Contract] = OrderedDict()
        self._compiled_bytes = 0
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
        mark = host.checkpoint()
        activation = _Activation(self, host, context, gas_limit)
        try:
            result = activation.enter(contract, method, args, mode)
        except Fault as fault:
            host.rollback(mark)
            return _failed(fault, contract, method, activation.spent(gas_limit), self._limits)
        return Outcome(ok=True, result=result, gas_used=activation.spent(gas_limit), failure=None)

    def load(self, host: Host, name: str) -> Contract:
        """Give the compiled contract of a name. Raises Fault E_CONTRACT."""
        source = host.source(name)
        if source is None:
            raise Fault("E_NO_CONTRACT", "no such contract")
        try:
            return self.check(source)
        except ContractRefused as refusal:
            fault = Fault("E_REFUSED", refusal.message)
            fault.line = refusal.line
            raise fault from None


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


class _Activation:
    """One execution from outside, with all contracts that it enters."""

    def __init__(self, engine: Engine, host: Host, context: Context, gas_limit: int) -> None:
        self._engine = engine
        self._host = host
        self._context = context
        self._limits = engine._limits  # noqa: SLF001 - same module, same room
        self._totals = Totals()
        self._left = gas_limit

    def spent(self, gas_limit: int) -> int:
        """Gas used, at most the limit."""
        return gas_limit - max(0, self._left)

    def enter(self, name: str, method_name: str, args: bytes, mode: Mode) -> bytes:
        """Enter from a transaction; gives the encoded result."""
        host, limits, totals = self._host, self._limits, self._totals
        self._pay(gas.ENTER + 2 * len(args))
        contract = self._engine.load(host, name)
        self._pay(gas.SOURCE_BYTE * contract.source_bytes >> 4)
        method = _method_of(contract, method_name, mode)
        if mode is not _INIT and mode is not _MIGRATE and host.is_paused(name):
            _refuse_paused(name, method)
        if method is None:
            if args != NO_ARGUMENTS:
                raise Fault("E_ARGS", f"the contract has no @{mode.value}")
            return NOTHING
        flat = unpack_arguments(args, method.names_encoded)
        named = _decode_arguments(args, limits) if flat is None else flat
        run = Run(
            host=host,
            context=self._context,
            limits=limits,
            totals=totals,
            contract=contract,
            name=name,
            caller=self._context.sender,
            gas=self._left,
            is_view=mode is _VIEW or method.kind == "view",
            stack=(name,),
            depth=0,
            external=self.external,
            prefixes=contract.prefixes(name),
        )
        try:
            if method.roles or method.organisation:
                self._check_access(run, method)
            given: Locals = [] if flat is None else list(map(flat.__getitem__, method.names))
            size = -1 if flat is None else method.flat.size(given)
            if size >= 0:
                run.charge(gas.NODE_ENCODE * (len(given) + 1) + size)
                result = _invoke(run, method, given)
            else:
                measure(run, list(named.values()), 8 * limits.value_bytes_max)
                result = _invoke(run, method, _bound(run, method, named))
            if type(result) is not int:
                measure(run, result, limits.value_bytes_max)
        except Fault as fault:
            if not fault.contract:
                fault.contract = name
            raise
        finally:
            self._left = run.gas
        return pack(result)

    def _pay(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise Fault("E_OOG", "out of gas")

    def _check_access(self, run: Run, method: Method) -> None:
        """Roles and organisation bind the account that sends, never a contract in between."""
        sender, host = run.context.sender, run.host
        run.charge(gas.ROLE)
        if run.caller != sender:
            raise Fault("E_ACCESS", f"{method.name} is for accounts, not for contracts")
        if method.roles and not _has_any(host, sender, method.roles):
            raise Fault("E_ACCESS", f"{method.name} needs the role {' or '.join(method.roles)}")
        if method.organisation and host.organisation(sender) != method.organisation:
            raise Fault("E_ACCESS", f"{method.name} is for members of {method.organisation}")

    def external(
        self, caller: Run, name: str, method_name: str, named: dict[str, Value], gas_slice: int
    ) -> Value:
        """Enter from another contract: arguments and result are copied, gas is a slice."""
        caller.charge(gas.EXTERNAL_CALL)
        slice_max = min(gas_slice, caller.gas)
        if len(caller.stack) >= self._limits.contracts_depth_max:
            raise Fault("E_DEPTH", "too many contracts inside each other")
        contract = self._engine.load(self._host, name)
        method = contract.methods.get(method_name)
        if method is None or method.kind not in ("export", "view"):
            raise Fault("E_NO_FUNC", f"{name} exports no such method")
        if self._host.is_paused(name):
            _refuse_paused(name, method)
        if name in caller.stack and not method.is_reentrant:
            raise Fault("E_REENTRANT", f"{name} is already running")
        if caller.is_view and method.kind != "view":
            raise Fault("E_ACCESS", "a view enters views only")
        copied = _copied(caller, named)
        run = Run(
            host=self._host,
            context=self._context,
            limits=self._limits,
            totals=self._totals,
            contract=contract,
            name=name,
            caller=caller.name,
            gas=min(slice_max, caller.gas),
            is_view=method.kind == "view",
            stack=(*caller.stack, name),
            depth=caller.depth + 1,
            external=self.external,
            prefixes=contract.prefixes(name),
        )
        before = run.gas
        try:
            if method.roles or method.organisation:
                self._check_access(run, method)
            result = _invoke(run, method, _bound(run, method, copied))
            measure(run, result, self._limits.value_bytes_max)
        except Fault as fault:
            if not fault.contract:
                fault.contract = name
            raise
        finally:
            caller.gas -= before - max(0, run.gas)
        return decode_value(encode_value(result))


def _refuse_paused(name: str, method: Method | None) -> None:
    if method is None or method.kind != "view":
        raise Fault("E_PAUSED", f"{name} is paused: only its views can be entered")


def _has_any(host: Host, account: bytes, roles: tuple[str, ...]) -> bool:
    return any(host.has_role(account, role) for role in roles)


def _method_of(contract: Contract, name: str, mode: Mode) -> Method | None:
    """Find what a mode may enter; None if there is no initialiser. Raises Fault E_METHOD."""
    if mode is _CALL:
        called = contract.methods.get(name)
        if called is not None and called.kind in ("export", "view"):
            return called
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


def _invoke(run: Run, method: Method, local: Locals) -> Value:
    """Run a method and check the result's type. Raises Fault."""
    result = method.body(run, local)
    returns = method.returns
    if type(result) is not returns.plain and not fits(run, returns, result):
        raise Fault("E_TYPE", f"{method.name} returns {method.returns}, not {type_name(result)}")
    return result
