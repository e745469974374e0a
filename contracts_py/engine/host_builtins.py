"""Functions of the language that ask the host: predictions, roles, other contracts."""

from __future__ import annotations

from typing import Final

from andon.core.codec import DEC_SCALE, Dec, Value
from contracts_py.engine import gas
from contracts_py.engine.builtins import Builtin, integer
from contracts_py.engine.faults import Fault
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.ports import Prediction, PredictionFailed
from contracts_py.engine.run import Run
from contracts_py.engine.values import decimal, overflow, type_name

PREDICTIONS_MAX: Final = 1024
MODEL_LENGTH_MAX: Final = 64
ACCOUNT_BYTES: Final = 32
PREDICTIONS: Final = "predictions"
_LEAST: Final = b"\x80"
"""The one int8 that is no input of a model; the host refuses it."""


def window_of(run: Run, value: Value) -> bytes:
    """Give the packed int8 input of a model: bytes as they are, or a list of -128 to 127."""
    if type(value) is bytes:
        return value
    if type(value) is not list:
        raise Fault("E_TYPE", f"a model's input is bytes or a list, not {type_name(value)}")
    run.text(len(value))
    run.charge(gas.NODE * len(value))
    if any(type(item) is not int or not -128 <= item <= 127 for item in value):
        raise Fault("E_RANGE", "elements of a model's input are ints from -128 to 127")
    return bytes([item & 0xFF for item in value if type(item) is int])


def _model_of(value: Value) -> str:
    if type(value) is not str or not 0 < len(value) <= MODEL_LENGTH_MAX:
        raise Fault("E_TYPE", "a model is named by its alias or hex id")
    return value


def _infer(run: Run, model: str, window: bytes) -> Prediction:
    run.charge(gas.PREDICT + len(window))
    try:
        found = run.host.predict(model, window)
    except PredictionFailed as failed:
        raise Fault(failed.code, failed.message) from None
    run.charge(found.gas)
    run.elements(len(found.output))
    return found


def _infer_many(run: Run, model: str, windows: list[bytes], *, are_sound: bool) -> list[Value]:
    """As `_infer` one after the other; in one crossing to the host where nothing can go wrong."""
    if not windows:
        return []
    first, rest = windows[0], windows[1:]
    found = _infer(run, model, first)
    values = [_output(found, found.output)]
    if not rest:
        return values
    memory = gas.LIST_BYTES + gas.ELEMENT_BYTES * len(found.output)
    each = gas.PREDICT + len(first) + found.gas + (memory >> gas.BYTES_PER_GAS_SHIFT)
    is_paid = each * len(rest) <= run.gas
    has_room = run.totals.memory_bytes + memory * len(rest) <= run.limits.memory_bytes_max
    if not (is_paid and has_room and are_sound):
        for window in rest:
            found = _infer(run, model, window)
            values.append(_output(found, found.output))
        return values
    run.charge(each * len(rest))
    run.remember(memory * len(rest))
    return values + _outputs(found, run.host.predict_many(model, rest))


def _outputs(found: Prediction, outputs: list[tuple[int, ...]]) -> list[Value]:
    if len(found.output) > 1:
        return [_output(found, output) for output in outputs]
    scale, divisor = found.scale_num * DEC_SCALE, found.scale_den
    numbers = [number * scale // divisor for (number,) in outputs]
    if max(numbers) >= INTEGER_BOUND or min(numbers) <= -INTEGER_BOUND:
        raise overflow()
    return list(map(Dec, numbers))


def _output(found: Prediction, output: tuple[int, ...]) -> Value:
    scale, divisor = found.scale_num * DEC_SCALE, found.scale_den
    if len(output) == 1:
        return decimal(output[0] * scale // divisor)
    return [decimal(number * scale // divisor) for number in output]


def _predict(run: Run, args: list[Value]) -> Value:
    """predict(model, input): a dec, or a list of dec if the model has several outputs."""
    found = _infer(run, _model_of(args[0]), window_of(run, args[1]))
    return _output(found, found.output)


def _predict_many(run: Run, args: list[Value]) -> Value:
    """predict_many(model, inputs[, count]): inputs end to end in bytes, or a list of inputs."""
    model, given = _model_of(args[0]), args[1]
    windows: list[bytes]
    are_sound: bool
    if type(given) is bytes:
        count = integer(args[2] if len(args) == 3 else None, "count")
        if not 1 <= count <= PREDICTIONS_MAX or len(given) % count:
            raise Fault("E_RANGE", f"count is 1 to {PREDICTIONS_MAX} and divides the bytes")
        size = len(given) // count
        run.text(len(given))
        windows = [given[place * size : (place + 1) * size] for place in range(count)]
        are_sound = _LEAST not in given
    elif type(given) is list and len(given) <= PREDICTIONS_MAX:
        if len(args) == 3 and args[2] != len(given):
            raise Fault("E_RANGE", "count is not the number of inputs")
        windows = [window_of(run, item) for item in given]
        are_sound = len(set(map(len, windows))) <= 1 and _LEAST not in b"".join(windows)
    else:
        raise Fault("E_TYPE", f"inputs are bytes or a list of at most {PREDICTIONS_MAX}")
    return _infer_many(run, model, windows, are_sound=are_sound)


def _request(run: Run, args: list[Value]) -> Value:
    """request(model, input, callback): ask for an attested prediction; gives its number."""
    if run.is_view:
        raise Fault("E_ACCESS", "a view asks for nothing")
    model, window, callback = _model_of(args[0]), window_of(run, args[1]), args[2]
    method = run.contract.methods.get(callback) if type(callback) is str else None
    if method is None or method.kind != "export":
        raise Fault("E_NO_FUNC", "the callback is no export of this contract")
    run.charge(gas.PREDICT)
    # A call like any other: the standard contract knows us as `ctx.caller`, which nobody can forge.
    named: dict[str, Value] = {"model": model, "window": window, "callback": method.name}
    return run.external(run, PREDICTIONS, "ask", named, run.gas)


def _gas_left(run: Run, args: list[Value]) -> Value:
    """gas_left(): what this activation may still spend; exact, so the same on every node."""
    del args
    return run.gas


def account_of(value: Value) -> bytes:
    """Require an account. Raises Fault E_TYPE."""
    if type(value) is not bytes or len(value) != ACCOUNT_BYTES:
        raise Fault("E_TYPE", "an account is 32 bytes")
    return value


def _has_role(run: Run, args: list[Value]) -> Value:
    run.charge(gas.ROLE)
    account, role = account_of(args[0]), args[1]
    if type(role) is not str:
        raise Fault("E_TYPE", f"a role is a str, not {type_name(role)}")
    return run.host.has_role(account, role)


def _is_validator(run: Run, args: list[Value]) -> Value:
    run.charge(gas.ROLE)
    return run.host.has_role(account_of(args[0]), "validator")


def _organisation_of(run: Run, args: list[Value]) -> Value:
    run.charge(gas.ROLE)
    return run.host.organisation(account_of(args[0]))


def _named(value: Value) -> dict[str, Value]:
    if type(value) is not dict:
        raise Fault("E_TYPE", f"arguments are a dict, not {type_name(value)}")
    found = {name: item for name, item in value.items() if type(name) is str}
    if len(found) != len(value):
        raise Fault("E_ARGS", "names of arguments are str")
    return found


def _target(args: list[Value]) -> tuple[str, str]:
    contract, method = args[0], args[1]
    if type(contract) is not str or type(method) is not str:
        raise Fault("E_TYPE", "contract and method are named by str")
    return contract, method


def _call(run: Run, args: list[Value]) -> Value:
    """call(contract, method, arguments): like an import, for a name known only now."""
    contract, method = _target(args)
    return run.external(run, contract, method, _named(args[2]), run.gas)


def _try_call(run: Run, args: list[Value]) -> Value:
    """try_call(contract, method, arguments, gas) -> (ok, result or code); undoes only the callee.

    The callee may spend at most `gas`, never more than is left.
    """
    contract, method = _target(args)
    named, slice_max = _named(args[2]), integer(args[3], "gas")
    if slice_max < 1:
        raise Fault("E_RANGE", "gas is positive")
    run.charge(gas.EXTERNAL_CALL)
    mark, depth = run.host.checkpoint(), run.depth
    try:
        result = run.external(run, contract, method, named, min(slice_max, run.gas))
    except Fault as fault:
        run.host.rollback(mark)
        run.depth = depth
        return (False, fault.code)
    return (True, result)


HOST_BUILTINS: Final[dict[str, tuple[Builtin, int, int]]] = {
    "predict": (_predict, 2, 2),
    "predict_many": (_predict_many, 2, 3),
    "request": (_request, 3, 3),
    "gas_left": (_gas_left, 0, 0),
    "has_role": (_has_role, 2, 2),
    "is_validator": (_is_validator, 1, 1),
    "organisation_of": (_organisation_of, 1, 1),
    "call": (_call, 3, 3),
    "try_call": (_try_call, 4, 4),
}
