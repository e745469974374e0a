# ruff: noqa: ARG005 - every closure takes (run, local)
"""Calls to closures: builtins, functions, state, events, other contracts, methods of values."""

from __future__ import annotations

import ast
from operator import itemgetter

from andon.core.codec import Value
from contracts_py.engine import gas
from contracts_py.engine.builtins import BUILTINS, Builtin
from contracts_py.engine.code import Code, Function, Scope, add_bounds
from contracts_py.engine.contract import EventSchema, Variable
from contracts_py.engine.faults import Fault
from contracts_py.engine.host_builtins import HOST_BUILTINS
from contracts_py.engine.methods import METHOD_ARITIES, call_method
from contracts_py.engine.run import UNSET, Expression, Locals, Run
from contracts_py.engine.state import emit, map_get, map_page, map_remove, var_get, var_set
from contracts_py.engine.texts import TEXTS

CALLABLES: dict[str, tuple[Builtin, int, int]] = {**BUILTINS, **TEXTS, **HOST_BUILTINS}
_UNBOUNDED = frozenset({"call", "try_call", "predict", "predict_many", "sorted", "sum"})


def call(scope: Scope, node: ast.expr) -> Code:
    """Compile a call. Raises ContractRefused."""
    assert isinstance(node, ast.Call), "dispatched by type"
    if isinstance(node.func, ast.Name):
        return _named(scope, node, node.func.id)
    if isinstance(node.func, ast.Attribute):
        return _dotted(scope, node, node.func)
    raise scope.refused(node, "call", "only functions and methods can be called by name")


def _named(scope: Scope, node: ast.Call, name: str) -> Code:
    names = scope.names
    if name in scope.locals:
        raise scope.refused(node, "call", f"{name!r} is a value here, not a function")
    if name in names.functions:
        return _function(scope, node, names.functions[name])
    if name in names.events:
        return _event(scope, node, names.events[name])
    if name in CALLABLES:
        return _builtin(scope, node, name)
    fix = "def declares a function, an event is called by its name; others are in docs/contracts.md"
    raise scope.refused(node, "name", f"unknown function {name!r}", fix)


def _positional(scope: Scope, node: ast.Call, what: str) -> list[Code]:
    if node.keywords:
        raise scope.refused(node, "call", f"{what} takes its arguments by position")
    return [scope.expression(arg) for arg in node.args]


def _arguments(codes: list[Code]) -> tuple[tuple[Expression, ...], int, int | None]:
    cost = sum(code.cost + gas.ARGUMENT for code in codes)
    return tuple(code.evaluate for code in codes), cost, add_bounds(*(c.bound for c in codes))


def _builtin(scope: Scope, node: ast.Call, name: str) -> Code:
    function, least, most = CALLABLES[name]
    codes = _positional(scope, node, name)
    if not least <= len(codes) <= most:
        raise scope.refused(node, "call", f"{name} takes {least} to {most} arguments")
    evaluators, cost, bound = _arguments(codes)
    if name in _UNBOUNDED:
        bound = None
    is_bool = name in ("bool", "any", "all", "has_role", "is_validator", "signature_is_valid")
    if len(evaluators) == 1:
        only = evaluators[0]
        return Code(
            lambda run, local: function(run, [only(run, local)]),
            gas.BUILTIN + cost,
            bound,
            is_bool=is_bool,
        )

    def evaluate(run: Run, local: Locals) -> Value:
        return function(run, [argument(run, local) for argument in evaluators])

    return Code(evaluate, gas.BUILTIN + cost, bound, is_bool=is_bool)


def _function(scope: Scope, node: ast.Call, function: Function) -> Code:
    codes = _bound_arguments(scope, node, function)
    evaluators, cost, bound = _arguments([code for code in codes if code is not None])
    if len(evaluators) != len(codes):
        raise scope.refused(node, "call", "an argument is missing")
    found, depth_max = function.method, scope.names.limits.calls_depth_max
    only = evaluators[0] if len(evaluators) == 1 else None

    def evaluate(run: Run, local: Locals) -> Value:
        arguments: Locals = (
            [only(run, local)] if only else [argument(run, local) for argument in evaluators]
        )
        if run.depth >= depth_max:
            raise Fault("E_DEPTH", f"more than {depth_max} calls inside each other")
        run.depth += 1
        result = found[0].body(run, arguments)
        run.depth -= 1
        return result

    callee = scope.bound_of(function.node.name)
    return Code(evaluate, gas.CALL + cost, add_bounds(bound, callee))


def _bound_arguments(scope: Scope, node: ast.Call, function: Function) -> list[Code | None]:
    if len(node.args) > len(function.names):
        raise scope.refused(node, "call", f"{function.node.name} has fewer parameters")
    codes: list[Code | None] = [scope.expression(arg) for arg in node.args]
    codes.extend([None] * (len(function.names) - len(codes)))
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg not in function.names:
            raise scope.refused(node, "call", f"{function.node.name} has no such parameter")
        place = function.names.index(keyword.arg)
        if codes[place] is not None:
            raise scope.refused(node, "call", f"argument {keyword.arg} is given twice")
        # Arguments are evaluated in the order of the parameters.
        codes[place] = scope.expression(keyword.value)
    for place, code in enumerate(codes):
        default = function.defaults[place]
        if code is None and default is not UNSET:
            codes[place] = Code(_constant(default), gas.CONSTANT, 0)
    return codes


def _constant(value: Value) -> Expression:
    return lambda run, local: value


def _keywords(scope: Scope, node: ast.Call) -> dict[str, Code]:
    found: dict[str, Code] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in found:
            raise scope.refused(node, "call", "arguments are named, each once")
        found[keyword.arg] = scope.expression(keyword.value)
    return found


def _event(scope: Scope, node: ast.Call, event: EventSchema) -> Code:
    given = _keywords(scope, node)
    wanted = [item.name for item in event.fields]
    if node.args or sorted(given) != sorted(wanted):
        fix = f"{event.name}({', '.join(f'{name}=...' for name in wanted)})"
        raise scope.refused(node, "event", f"{event.name} needs exactly its fields", fix)
    codes = [given[name] for name in wanted]
    evaluators, cost, bound = _arguments(codes)
    places = [code.parameter for code in codes]
    evaluate: Expression
    if len(places) > 1 and min(places) >= 0:
        # Parameters always have a value: all are taken at once.
        take = itemgetter(*places)
        evaluate = lambda run, local: emit(run, event, take(local))  # noqa: E731
    else:
        evaluate = lambda run, local: emit(  # noqa: E731
            run, event, [argument(run, local) for argument in evaluators]
        )
    return Code(evaluate, gas.BUILTIN + cost, add_bounds(bound, gas.EVENT), is_nothing=True)


def _dotted(scope: Scope, node: ast.Call, func: ast.Attribute) -> Code:
    variable = scope.state(func.value)
    if variable is not None:
        return _state(scope, node, func.attr, variable)
    base = func.value
    if (
        isinstance(base, ast.Name)
        and base.id not in scope.locals
        and base.id in (scope.names.imports)
    ):
        return _external(scope, node, base.id, func.attr)
    if func.attr not in METHOD_ARITIES:
        raise scope.refused(node, "attribute", f"unknown method {func.attr!r}")
    value = scope.expression(base)  # an undeclared name first: the number of values misleads
    arities = METHOD_ARITIES[func.attr]
    if not any(least <= len(node.args) <= most for least, most in arities):
        raise scope.refused(node, "call", f"no method {func.attr!r} takes {len(node.args)} values")
    evaluators, cost, bound = _arguments(_positional(scope, node, func.attr))
    evaluate_value, name = value.evaluate, func.attr
    if name == "append":
        added = evaluators[0]

        def append(run: Run, local: Locals) -> Value:
            subject, item = evaluate_value(run, local), added(run, local)
            if type(subject) is not list:
                return call_method(run, subject, name, [item])
            run.allocate(gas.ELEMENT_BYTES)
            subject.append(item)
            return None

        return Code(append, gas.METHOD + value.cost + cost, add_bounds(value.bound, bound))

    def evaluate(run: Run, local: Locals) -> Value:
        subject = evaluate_value(run, local)
        return call_method(run, subject, name, [argument(run, local) for argument in evaluators])

    return Code(evaluate, gas.METHOD + value.cost + cost, add_bounds(value.bound, bound))


def _state(scope: Scope, node: ast.Call, name: str, variable: Variable) -> Code:
    codes = _positional(scope, node, name)
    evaluators, cost, bound = _arguments(codes)
    shape = (variable.key is not None, name, len(codes))
    evaluate: Expression
    match shape:
        case (False, "get", 0):
            evaluate = lambda run, local: var_get(run, variable)  # noqa: E731
        case (False, "set", 1):
            new = evaluators[0]

            def evaluate(run: Run, local: Locals) -> Value:
                var_set(run, variable, new(run, local))
                return None

        case (True, "get", 1 | 2):
            key, other = evaluators[0], evaluators[1] if len(codes) == 2 else _constant(None)
            evaluate = lambda run, local: map_get(  # noqa: E731
                run, variable, key(run, local), other(run, local)
            )
        case (True, "remove", 1):
            gone = evaluators[0]

            def evaluate(run: Run, local: Locals) -> Value:
                map_remove(run, variable, gone(run, local))
                return None

        case (True, "page", 2):
            after, count = evaluators
            evaluate = lambda run, local: map_page(  # noqa: E731
                run, variable, after(run, local), count(run, local)
            )
        case _:
            fix = "Var: get(), set(value). Map: [key], get(key, other), remove(key), page(after, n)"
            raise scope.refused(node, "state", f"{variable.name}.{name} does not exist so", fix)
    return Code(evaluate, gas.METHOD + cost, add_bounds(bound, gas.STATE_WRITE))


def _external(scope: Scope, node: ast.Call, contract: str, method: str) -> Code:
    if node.args:
        fix = f"{contract}.{method}(name=value)"
        raise scope.refused(node, "call", "other contracts take arguments by name", fix)
    given = _keywords(scope, node)
    names = tuple(given)
    evaluators, cost, _ = _arguments(list(given.values()))

    def evaluate(run: Run, local: Locals) -> Value:
        values = [argument(run, local) for argument in evaluators]
        return run.external(run, contract, method, dict(zip(names, values, strict=True)), run.gas)

    return Code(evaluate, gas.CALL + cost, None)
