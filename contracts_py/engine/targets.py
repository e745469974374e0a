"""Assignments to elements: of lists, dicts and maps."""

from __future__ import annotations

import ast

from andon.core.codec import Value
from contracts_py.engine import access, gas, operators
from contracts_py.engine.code import Code, Scope, add_bounds
from contracts_py.engine.contract import Variable
from contracts_py.engine.faults import Fault
from contracts_py.engine.run import NEXT, Expression, Locals, Run, Statement
from contracts_py.engine.values import dict_key, type_name

Compiled = tuple[Statement, int, int | None]
"""Closure, cost that its block charges, bound of what it charges itself."""


def _item_target(scope: Scope, target: ast.Subscript) -> tuple[Variable | None, Code, Code]:
    """Compile the base and index of an assignment to an element."""
    if isinstance(target.slice, ast.Slice):
        raise scope.refused(target, "target", "cannot assign to a slice", "build a new list")
    variable = scope.state(target.value)
    if variable is not None and variable.key is None:
        raise scope.refused(target, "target", "a Var has no keys", "use .set(value)")
    base: ast.expr = target.value
    while isinstance(base, ast.Subscript):
        base = base.value
        if scope.state(base) is not None:
            fix = "item = map[key]; change item; map[key] = item"
            raise scope.refused(target, "target", "this would change a copy only", fix)
    if variable is None and not isinstance(base, ast.Name):
        raise scope.refused(target, "target", "this would change a temporary value", "use a name")
    index = scope.expression(target.slice)
    container = index if variable is not None else scope.expression(target.value)
    return variable, container, index


def store_item(scope: Scope, target: ast.Subscript, value: Code) -> Compiled:
    """Compile `container[index] = value`."""
    variable, container, index = _item_target(scope, target)
    evaluate, evaluate_index, evaluate_container = (
        value.evaluate,
        index.evaluate,
        container.evaluate,
    )
    if variable is not None:
        return (
            access.set_item(variable, evaluate_index, evaluate),
            gas.STORE + value.cost + index.cost,
            add_bounds(value.bound, index.bound, gas.STATE_WRITE),
        )

    def execute(run: Run, local: Locals) -> int:
        new = evaluate(run, local)
        set_item(run, evaluate_container(run, local), evaluate_index(run, local), new)
        return NEXT

    cost = gas.STORE + gas.SUBSCRIPT + value.cost + index.cost + container.cost
    return execute, cost, add_bounds(value.bound, index.bound, container.bound)


def set_item(run: Run, container: Value, index: Value, value: Value) -> None:
    """container[index] = value. Raises Fault E_TYPE, E_INDEX, E_KEY or E_SIZE."""
    if type(container) is dict:
        run.allocate(gas.ENTRY_BYTES)
        container[dict_key(index)] = value
        return
    if type(container) is not list:
        raise Fault("E_TYPE", f"elements of {type_name(container)} cannot be set")
    if type(index) is not int:
        raise Fault("E_TYPE", f"list[{type_name(index)}] is not defined")
    if not -len(container) <= index < len(container):
        raise Fault("E_INDEX", f"index outside a list of {len(container)}")
    container[index] = value


def augmented_item(scope: Scope, target: ast.Subscript, sign: str, value: Code) -> Compiled:
    """Compile `container[index] op= value`; `sign` is one of `operators.BINARY`."""
    slow = operators.BINARY[sign]
    variable, container, index = _item_target(scope, target)
    evaluate, evaluate_index = value.evaluate, index.evaluate
    evaluate_container: Expression = container.evaluate
    if variable is not None:
        cost = gas.STORE + gas.BINARY + value.cost + index.cost
        bound = add_bounds(value.bound, index.bound, gas.STATE_READ, gas.STATE_WRITE)
        return access.augmented(variable, evaluate_index, sign, slow, evaluate), cost, bound

    def execute(run: Run, local: Locals) -> int:
        # The target is evaluated once, before the value, as in Python.
        base, place = evaluate_container(run, local), evaluate_index(run, local)
        before = operators.subscript(run, base, place)
        set_item(run, base, place, slow(run, before, evaluate(run, local)))
        return NEXT

    cost = gas.STORE + gas.BINARY + gas.SUBSCRIPT + value.cost + index.cost + container.cost
    return execute, cost, add_bounds(value.bound, index.bound, container.bound)
