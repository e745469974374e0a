# ruff: noqa: ARG001, ARG005 - every closure takes (run, local)
"""Expressions to closures: what is not listed here is not in the language."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from andon.core.codec import Value
from contracts_py.engine import access, gas, operators
from contracts_py.engine.calls import call
from contracts_py.engine.code import (
    CONTEXT_FIELDS,
    Code,
    Scope,
    add_bounds,
    constant_code,
    max_bounds,
)
from contracts_py.engine.comprehensions import list_comprehension
from contracts_py.engine.constant_shapes import with_constant
from contracts_py.engine.displays import dict_display, sequence, text
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.run import UNSET, Expression, Locals, Run
from contracts_py.engine.shapes import arithmetic, comparison
from contracts_py.engine.state import map_has
from contracts_py.engine.values import contains, truth

Compiler = Callable[[Scope, ast.expr], Code]


def compile_expression(scope: Scope, node: ast.expr) -> Code:
    """Compile one expression. Raises ContractRefused."""
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        what = type(node).__name__
        raise scope.refused(node, "expression", f"{what} is not part of the language")
    return compiler(scope, node)


def _constant(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.Constant), "dispatched by type"
    value = node.value
    if value is None or type(value) in (bool, str, bytes):
        assert value is None or isinstance(value, bool | str | bytes), "checked by exact type"
        return constant_code(value)
    if type(value) is int:
        if value >= INTEGER_BOUND:
            raise scope.refused(node, "number", "integer of more than 256 bits")
        return constant_code(value)
    raise scope.refused(
        node, "number", "only whole numbers are literals", 'write decimals as dec("0.5")'
    )


def _name(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.Name), "dispatched by type"
    index = scope.locals.get(node.id)
    if index is not None:
        return _local(index, node.id, is_parameter=index < scope.parameters)
    names = scope.names
    if node.id in names.constants:
        return constant_code(names.constants[node.id])
    if node.id in names.variables:
        fix = f"{node.id}[key], {node.id}.get(...) or {node.id}.set(...)"
        raise scope.refused(node, "name", f"state {node.id!r} is not a value", fix)
    if names.has(node.id):
        raise scope.refused(node, "name", f"{node.id!r} can only be called")
    raise scope.refused(node, "name", f"unknown name {node.id!r}", "assign it or declare it first")


def _local(index: int, name: str, *, is_parameter: bool) -> Code:
    if is_parameter:

        def parameter(run: Run, local: Locals) -> Value:
            return local[index]  # type: ignore[return-value] # parameters are always set

        return Code(parameter, gas.LOCAL, 0, parameter=index)

    def evaluate(run: Run, local: Locals) -> Value:
        value = local[index]
        if value is UNSET:
            raise Fault("E_NAME", f"{name} has no value yet")
        return value

    return Code(evaluate, gas.LOCAL, 0)


def _binary(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.BinOp), "dispatched by type"
    sign = type(node.op).__name__
    slow = operators.BINARY.get(sign)
    if slow is None:
        raise scope.refused(node, "operator", f"operator {sign} is not part of the language")
    left, right = scope.expression(node.left), scope.expression(node.right)
    cost = gas.BINARY + left.cost + right.cost
    evaluate = with_constant(sign, left.evaluate, right.constant) or (
        arithmetic(sign, slow, left.evaluate, right.evaluate)
    )
    return Code(evaluate, cost, add_bounds(left.bound, right.bound))


def _unary(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.UnaryOp), "dispatched by type"
    operand = scope.expression(node.operand)
    cost, bound = gas.UNARY + operand.cost, operand.bound
    if isinstance(node.op, ast.Not):
        test = operand.test()
        return Code(lambda run, local: not test(run, local), cost, bound, is_bool=True)
    evaluate = operand.evaluate
    if isinstance(node.op, ast.USub):
        if isinstance(operand.constant, int) and type(operand.constant) is int:
            return constant_code(-operand.constant)
        return Code(lambda run, local: operators.negate(evaluate(run, local)), cost, bound)
    if isinstance(node.op, ast.Invert):
        return Code(lambda run, local: operators.invert(evaluate(run, local)), cost, bound)
    raise scope.refused(node, "operator", "unary + is not part of the language", "leave it out")


def _boolean(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.BoolOp), "dispatched by type"
    parts = [scope.expression(value) for value in node.values]
    folded = parts[0]
    for part in parts[1:]:
        folded = _join_boolean(folded, part, is_and=isinstance(node.op, ast.And))
    return folded


def _join_boolean(left: Code, right: Code, *, is_and: bool) -> Code:
    evaluate_left, evaluate_right, cost = left.evaluate, right.evaluate, right.cost
    bound = add_bounds(left.bound, right.cost, right.bound)

    def evaluate(run: Run, local: Locals) -> Value:
        value = evaluate_left(run, local)
        if truth(value) is not is_and:
            return value
        run.gas -= cost
        if run.gas < 0:
            raise out_of_gas()
        return evaluate_right(run, local)

    def evaluate_bool(run: Run, local: Locals) -> Value:
        value = evaluate_left(run, local)
        if value is not is_and:
            return value
        run.gas -= cost
        if run.gas < 0:
            raise out_of_gas()
        return evaluate_right(run, local)

    return Code(
        evaluate_bool if left.is_bool else evaluate,
        gas.BOOLEAN + left.cost,
        bound,
        is_bool=left.is_bool and right.is_bool,
    )


def _choice(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.IfExp), "dispatched by type"
    condition = scope.expression(node.test)
    yes, no = scope.expression(node.body), scope.expression(node.orelse)
    test, cost_yes, cost_no = condition.test(), yes.cost, no.cost
    evaluate_yes, evaluate_no = yes.evaluate, no.evaluate

    def evaluate(run: Run, local: Locals) -> Value:
        if test(run, local):
            run.gas -= cost_yes
            if run.gas < 0:
                raise out_of_gas()
            return evaluate_yes(run, local)
        run.gas -= cost_no
        if run.gas < 0:
            raise out_of_gas()
        return evaluate_no(run, local)

    worst = max_bounds(add_bounds(yes.cost, yes.bound), add_bounds(no.cost, no.bound))
    return Code(
        evaluate,
        gas.CHOICE + condition.cost,
        add_bounds(condition.bound, worst),
        is_bool=yes.is_bool and no.is_bool,
    )


def _compare(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.Compare), "dispatched by type"
    if len(node.ops) == 1:
        return _comparison(scope, node, node.left, node.ops[0], node.comparators[0])
    return _chain(scope, node)


def _chain(scope: Scope, node: ast.Compare) -> Code:
    """A < b < c: every operand is evaluated at most once, and paid for in any case."""
    operands = [scope.expression(operand) for operand in (node.left, *node.comparators)]
    signs = [type(op).__name__ for op in node.ops]
    if any(sign not in operators.COMPARE for sign in signs):
        raise scope.refused(node, "operator", "only < <= > >= == != form chains", "use and")
    pairs = tuple(
        (operators.COMPARE[sign], operand.evaluate)
        for sign, operand in zip(signs, operands[1:], strict=True)
    )
    first = operands[0].evaluate

    def evaluate(run: Run, local: Locals) -> Value:
        left = first(run, local)
        for compare, operand in pairs:
            right = operand(run, local)
            if not compare(run, left, right):
                return False
            left = right
        return True

    cost = gas.COMPARE * len(pairs) + sum(operand.cost for operand in operands)
    bound = add_bounds(*(operand.bound for operand in operands))
    return Code(evaluate, cost, bound, is_bool=True)


def _comparison(
    scope: Scope, node: ast.expr, left_node: ast.expr, op: ast.cmpop, right_node: ast.expr
) -> Code:
    if isinstance(op, ast.In | ast.NotIn):
        return _membership(scope, left_node, right_node, is_in=isinstance(op, ast.In))
    left, right = scope.expression(left_node), scope.expression(right_node)
    cost = gas.COMPARE + left.cost + right.cost
    bound = add_bounds(left.bound, right.bound)
    evaluate_left = left.evaluate
    if isinstance(op, ast.Is | ast.IsNot):
        if right.constant is not None:
            raise scope.refused(node, "operator", "is compares with None only", "use ==")
        if isinstance(op, ast.Is):
            return Code(
                lambda run, local: evaluate_left(run, local) is None, cost, bound, is_bool=True
            )
        return Code(
            lambda run, local: evaluate_left(run, local) is not None, cost, bound, is_bool=True
        )
    sign = type(op).__name__
    evaluate = with_constant(sign, evaluate_left, right.constant) or (
        comparison(sign, evaluate_left, right.evaluate)
    )
    return Code(evaluate, cost, bound, is_bool=True)


def _membership(scope: Scope, item_node: ast.expr, node: ast.expr, *, is_in: bool) -> Code:
    item = scope.expression(item_node)
    evaluate_item = item.evaluate
    variable = scope.state(node)
    if variable is not None:
        if variable.key is None:
            raise scope.refused(node, "name", "a Var has no keys", "use .get()")
        found = variable
        cost = gas.COMPARE + item.cost
        return Code(
            lambda run, local: map_has(run, found, evaluate_item(run, local)) is is_in,
            cost,
            add_bounds(item.bound, gas.STATE_READ),
            is_bool=True,
        )
    container = scope.expression(node)
    evaluate_container = container.evaluate
    return Code(
        lambda run, local: (
            contains(run, evaluate_item(run, local), evaluate_container(run, local)) is is_in
        ),
        gas.COMPARE + item.cost + container.cost,
        add_bounds(item.bound, container.bound),
        is_bool=True,
    )


def _subscript(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.Subscript), "dispatched by type"
    variable = scope.state(node.value)
    if isinstance(node.slice, ast.Slice):
        if variable is not None:
            raise scope.refused(node, "name", "state has no slices", "use .page(after, count)")
        return _slice(scope, node.value, node.slice)
    index = scope.expression(node.slice)
    evaluate_index = index.evaluate
    if variable is not None:
        if variable.key is None:
            raise scope.refused(node, "name", "a Var has no keys", "use .get()")
        return Code(
            access.item(variable, evaluate_index),
            gas.SUBSCRIPT + index.cost,
            add_bounds(index.bound, gas.STATE_READ),
        )
    value = scope.expression(node.value)
    evaluate_value, subscript = value.evaluate, operators.subscript
    return Code(
        lambda run, local: subscript(run, evaluate_value(run, local), evaluate_index(run, local)),
        gas.SUBSCRIPT + value.cost + index.cost,
        add_bounds(value.bound, index.bound),
    )


def _slice(scope: Scope, value_node: ast.expr, node: ast.Slice) -> Code:
    if node.step is not None:
        raise scope.refused(value_node, "expression", "slices have no step", "use a loop")
    value = scope.expression(value_node)
    start = constant_code(None) if node.lower is None else scope.expression(node.lower)
    stop = constant_code(None) if node.upper is None else scope.expression(node.upper)
    evaluate_value, evaluate_start, evaluate_stop = value.evaluate, start.evaluate, stop.evaluate
    return Code(
        lambda run, local: operators.slice_of(
            run, evaluate_value(run, local), evaluate_start(run, local), evaluate_stop(run, local)
        ),
        gas.SLICE + value.cost + start.cost + stop.cost,
        add_bounds(value.bound, start.bound, stop.bound),
    )


def _attribute(scope: Scope, node: ast.expr) -> Code:
    assert isinstance(node, ast.Attribute), "dispatched by type"
    is_context = isinstance(node.value, ast.Name) and node.value.id == "ctx"
    if not is_context or node.attr not in CONTEXT_FIELDS:
        fix = f"ctx has {', '.join(CONTEXT_FIELDS)}; values have methods to call only"
        raise scope.refused(node, "attribute", f"unknown attribute {node.attr!r}", fix)
    return Code(_CONTEXT[node.attr], gas.CONTEXT, gas.ROLE if node.attr == "org" else 0)


def _organisation(run: Run, local: Locals) -> Value:
    run.charge(gas.ROLE)
    return run.host.organisation(run.context.sender)


_CONTEXT: Final[dict[str, Expression]] = {
    "sender": lambda run, local: run.context.sender,
    "caller": lambda run, local: run.caller,
    "this": lambda run, local: run.name,
    "height": lambda run, local: run.context.height,
    "time_ms": lambda run, local: run.context.time_ms,
    "transaction_id": lambda run, local: run.context.transaction_id,
    "chain_id": lambda run, local: run.context.chain_id,
    "org": _organisation,
}


_COMPILERS: Final[dict[type[ast.expr], Compiler]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.IfExp: _choice,
    ast.Compare: _compare,
    ast.Subscript: _subscript,
    ast.List: sequence,
    ast.Tuple: sequence,
    ast.Dict: dict_display,
    ast.Attribute: _attribute,
    ast.JoinedStr: text,
    ast.ListComp: list_comprehension,
    ast.Call: call,
}
