# ruff: noqa: ARG001 - every closure takes (run, local)
"""Loops over values: what a for statement and a list comprehension have in common."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

from andon.core.codec import Value
from contracts_py.engine import gas
from contracts_py.engine.builtins import elements_of, range_of
from contracts_py.engine.code import Code, Scope, add_bounds
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.run import Locals, Run
from contracts_py.engine.values import type_name

Source = Callable[[Run, Locals], Iterable[Value]]
Store = Callable[[Run, Locals, Value], None]
GENERATORS_MAX = 2


def source_of(scope: Scope, node: ast.expr) -> tuple[Source, int, int | None, int | None]:
    """Compile what a loop runs over: closure, cost, bound, and number of turns if it is fixed.

    Values are run over as they stand at the start; range() counts without making a list.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return _range(scope, node)
    code = scope.expression(node)
    evaluate = code.evaluate

    def source(run: Run, local: Locals) -> Iterable[Value]:
        value = evaluate(run, local)
        if type(value) is tuple:
            return value
        return elements_of(run, value)

    return source, code.cost, code.bound, None


def _range(scope: Scope, node: ast.Call) -> tuple[Source, int, int | None, int | None]:
    if node.keywords or not 1 <= len(node.args) <= 3:
        raise scope.refused(node, "call", "range takes one to three numbers")
    bounds = [scope.expression(arg) for arg in node.args]
    evaluators = tuple(bound.evaluate for bound in bounds)
    turns: int | None = None
    if all(type(bound.constant) is int for bound in bounds):
        numbers: list[Value] = [
            bound.constant for bound in bounds if isinstance(bound.constant, int)
        ]
        turns = _turns(numbers)

    def source(run: Run, local: Locals) -> Iterable[Value]:
        return range_of([evaluate(run, local) for evaluate in evaluators])

    cost = gas.BUILTIN + sum(bound.cost for bound in bounds)
    return source, cost, add_bounds(*(bound.bound for bound in bounds)), turns


def _turns(numbers: list[Value]) -> int | None:
    try:
        found = range_of(numbers)
    except Fault:
        return None
    return max(0, (found.stop - found.start) // found.step + 1)


def target_of(scope: Scope, node: ast.expr, place: Callable[[str], int]) -> Store:
    """Compile a name, or a tuple of names, to assign to."""
    if isinstance(node, ast.Name):
        index = place(node.id)

        def store(run: Run, local: Locals, value: Value) -> None:
            local[index] = value

        return store
    if isinstance(node, ast.Tuple) and all(isinstance(item, ast.Name) for item in node.elts):
        indexes = tuple(place(item.id) for item in node.elts if isinstance(item, ast.Name))

        def store_each(run: Run, local: Locals, value: Value) -> None:
            if type(value) is not list and type(value) is not tuple:
                raise Fault("E_TYPE", f"{type_name(value)} cannot be unpacked")
            if len(value) != len(indexes):
                raise Fault("E_RANGE", f"{len(indexes)} names for {len(value)} values")
            for index, item in zip(indexes, value, strict=True):
                local[index] = item

        return store_each
    raise scope.refused(node, "target", "cannot assign to this", "assign to a name, or to names")


def list_comprehension(scope: Scope, node: ast.expr) -> Code:
    """[element for name in values if condition ...], with at most two for."""
    assert isinstance(node, ast.ListComp), "dispatched by type"
    if len(node.generators) > GENERATORS_MAX:
        raise scope.refused(node, "expression", "more than two for in a list", "use for statements")
    outer = dict(scope.locals)
    steps: list[Step] = []
    first_cost = 0
    for place, generator in enumerate(node.generators):
        source, cost, _, _ = source_of(scope, generator.iter)
        store = target_of(scope, generator.target, lambda name: _fresh(scope, name))
        conditions = [scope.expression(condition) for condition in generator.ifs]
        condition = _all_of(conditions)
        if place == 0:
            first_cost = cost
        target = generator.target
        index = scope.locals[target.id] if isinstance(target, ast.Name) else -1
        steps.append((source, store, condition, cost, index))
    element = scope.expression(node.elt)
    scope.locals = outer
    evaluate = _single(steps[0], element) if len(steps) == 1 else _nested(steps, element)
    return Code(evaluate, gas.DISPLAY + first_cost, None)


def _fresh(scope: Scope, name: str) -> int:
    # A comprehension's names are its own, as in Python.
    scope.locals[name] = scope.slot()
    return scope.locals[name]


def _all_of(conditions: list[Code]) -> Code | None:
    if not conditions:
        return None
    tests = tuple(condition.test() for condition in conditions)

    def evaluate(run: Run, local: Locals) -> Value:
        for test in tests:  # noqa: SIM110 - a generator would put a C frame between closures
            if not test(run, local):
                return False
        return True

    return Code(evaluate, sum(condition.cost for condition in conditions), None, is_bool=True)


Step = tuple[Source, Store, Code | None, int, int]
"""Where values come from and go to, what they have to be, cost, the one local or -1."""


def _single(step: Step, element: Code) -> Callable[[Run, Locals], Value]:
    source, store, condition, _, index = step
    evaluate_element, keep_cost = element.evaluate, gas.COLLECT + element.cost
    turn_cost = gas.ITERATION + (condition.cost if condition else 0)
    test = condition.evaluate if condition else None

    def evaluate(run: Run, local: Locals) -> Value:
        found: list[Value] = []
        run.allocate(gas.LIST_BYTES)
        for value in source(run, local):
            run.gas -= turn_cost
            if run.gas < 0:
                raise out_of_gas()
            if index >= 0:
                local[index] = value
            else:
                store(run, local, value)
            if test is None or test(run, local):
                run.gas -= keep_cost
                run.allocate(gas.ELEMENT_BYTES)
                found.append(evaluate_element(run, local))
        return found

    return evaluate


def _nested(steps: list[Step], element: Code) -> Callable[[Run, Locals], Value]:
    source, store, condition, _, _ = steps[0]
    test = condition.evaluate if condition else None
    turn_cost = gas.ITERATION + (condition.cost if condition else 0)
    inner, inner_cost = _single(steps[1], element), steps[1][3]

    def evaluate(run: Run, local: Locals) -> Value:
        found: list[Value] = []
        run.allocate(gas.LIST_BYTES)
        for value in source(run, local):
            run.gas -= turn_cost
            if run.gas < 0:
                raise out_of_gas()
            store(run, local, value)
            if test is None or test(run, local):
                run.charge(inner_cost)
                part = inner(run, local)
                assert type(part) is list, "an inner comprehension gives a list"
                found.extend(part)
        return found

    return evaluate
