# ruff: noqa: ARG001, ARG005 - every closure takes (run, local)
"""Statements to closures: a block pays for its straight run at once, then runs it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from andon.core.codec import Value
from contracts_py.engine import gas, operators
from contracts_py.engine.code import Body, Code, Scope, add_bounds, max_bounds
from contracts_py.engine.comprehensions import source_of, target_of
from contracts_py.engine.constant_shapes import with_constant
from contracts_py.engine.contract import fits
from contracts_py.engine.declarations import type_spec
from contracts_py.engine.faults import Fault, out_of_gas
from contracts_py.engine.profile import Profile
from contracts_py.engine.run import (
    BREAK,
    CONTINUE,
    NEXT,
    RETURN,
    UNSET,
    Locals,
    Run,
    Statement,
)
from contracts_py.engine.shapes import arithmetic
from contracts_py.engine.targets import Compiled, augmented_item, store_item
from contracts_py.engine.values import type_name


def compile_block(scope: Scope, nodes: Sequence[ast.stmt]) -> Body:
    """Compile statements. Raises ContractRefused."""
    run_ = _straight_run(scope, nodes)
    statements, cost, lines = run_.statements, run_.cost, run_.lines
    profile, costs = run_.profile, run_.costs

    def execute(run: Run, local: Locals) -> int:
        run.gas -= cost
        if run.gas < 0:
            raise out_of_gas()
        if profile is not None:
            profile.enter(run.name, costs)
        try:
            for statement in statements:
                signal = statement(run, local)
                if signal:
                    return signal
        except Fault as fault:
            if not fault.line:
                fault.line = lines[statement]  # type: ignore[possibly-undefined] # one failed
            raise
        return NEXT

    return Body(execute, run_.bound)


def compile_function(
    scope: Scope, nodes: Sequence[ast.stmt], name: str
) -> tuple[Callable[[Run, Locals], Value], int | None]:
    """Compile the statements of a function; gives what runs it, and the bound of its gas.

    It is a block in the frame of the function itself. Raises ContractRefused.
    """
    run_ = _straight_run(scope, nodes)
    statements, cost, lines = run_.statements, run_.cost, run_.lines
    profile, costs = run_.profile, run_.costs
    fill: Locals = [UNSET] * (scope.size - scope.parameters)

    def body(run: Run, local: Locals) -> Value:
        statement = None
        try:
            run.gas -= cost
            if run.gas < 0:
                raise out_of_gas()
            if profile is not None:
                profile.enter(run.name, costs)
            if fill:
                local = local + fill  # A new list: the arguments stay as they are.
            for statement in statements:
                if statement(run, local):
                    return run.result  # No loop is left to break or to continue.
        except Fault as fault:
            if not fault.line and statement is not None:
                fault.line = lines[statement]
            if not fault.method:
                fault.method = name
            raise
        return None

    return body, run_.bound


@dataclass(frozen=True, slots=True)
class _StraightRun:
    """Statements one after the other: `cost` is charged before the first."""

    statements: tuple[Statement, ...]
    lines: dict[Statement, int]
    cost: int
    bound: int | None
    profile: Profile | None
    costs: tuple[tuple[int, int], ...]


def _straight_run(scope: Scope, nodes: Sequence[ast.stmt]) -> _StraightRun:
    compiled = [(node.lineno, _statement(scope, node)) for node in nodes]
    statements = tuple(statement for _, (statement, _, _) in compiled)
    cost = sum(gas.STATEMENT + each for _, (_, each, _) in compiled)
    bound = add_bounds(cost, *(each for _, (_, _, each) in compiled))
    profile = scope.names.profile
    costs: tuple[tuple[int, int], ...] = ()
    if profile is not None:
        statements = tuple(profile.traced(line, statement) for line, (statement, _, _) in compiled)
        costs = tuple((line, gas.STATEMENT + each) for line, (_, each, _) in compiled)
    lines = {each: line for each, (line, _) in zip(statements, compiled, strict=True)}
    return _StraightRun(statements, lines, cost, bound, profile, costs)


def assigned_names(nodes: Sequence[ast.stmt]) -> list[str]:
    """Give the names that statements assign, in order of appearance; comprehensions have own."""
    names: dict[str, None] = {}
    for node in nodes:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For):
            targets = [node.target]
        for target in targets:
            items = target.elts if isinstance(target, ast.Tuple) else [target]
            names.update({item.id: None for item in items if isinstance(item, ast.Name)})
        if isinstance(node, ast.If | ast.For | ast.While):
            names.update(dict.fromkeys(assigned_names([*node.body, *node.orelse])))
    return list(names)


def _statement(scope: Scope, node: ast.stmt) -> Compiled:
    compiler = _COMPILERS.get(type(node))
    if compiler is None:
        what = type(node).__name__
        raise scope.refused(node, "statement", f"{what} is not part of the language")
    return compiler(scope, node)


def _pass(scope: Scope, node: ast.stmt) -> Compiled:
    return (lambda run, local: NEXT), 0, 0


def _expression(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.Expr), "dispatched by type"
    if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return _pass(scope, node)
    if not isinstance(node.value, ast.Call):
        raise scope.refused(node, "statement", "a value alone does nothing", "assign or call")
    code = scope.expression(node.value)
    evaluate = code.evaluate
    if code.is_nothing:
        # No frame around it: None is no signal, as NEXT is none.
        return cast("Statement", evaluate), code.cost, code.bound

    def execute(run: Run, local: Locals) -> int:
        evaluate(run, local)
        return NEXT

    return execute, code.cost, code.bound


def _assign(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.Assign), "dispatched by type"
    if len(node.targets) != 1:
        raise scope.refused(node, "target", "one target an assignment", "write two statements")
    value = scope.expression(node.value)
    return _store(scope, node.targets[0], value)


def _annotated(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.AnnAssign), "dispatched by type"
    if node.value is None or not isinstance(node.target, ast.Name):
        raise scope.refused(node, "target", "an annotated name needs a value")
    spec, value = type_spec(node.annotation), scope.expression(node.value)
    evaluate, name = value.evaluate, node.target.id

    def checked(run: Run, local: Locals) -> Value:
        found = evaluate(run, local)
        if not fits(run, spec, found):
            raise Fault("E_TYPE", f"{name} is {spec}, not {type_name(found)}")
        return found

    return _store(scope, node.target, Code(checked, value.cost + gas.NODE, value.bound))


def _store(scope: Scope, target: ast.expr, value: Code) -> Compiled:
    evaluate = value.evaluate
    if isinstance(target, ast.Name):
        index = scope.locals[target.id]

        def execute(run: Run, local: Locals) -> int:
            local[index] = evaluate(run, local)
            return NEXT

        return execute, gas.STORE + value.cost, value.bound
    if isinstance(target, ast.Subscript):
        return store_item(scope, target, value)
    store = target_of(scope, target, scope.locals.__getitem__)

    def execute_many(run: Run, local: Locals) -> int:
        store(run, local, evaluate(run, local))
        return NEXT

    return execute_many, 2 * gas.STORE + value.cost, value.bound


def _augmented(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.AugAssign), "dispatched by type"
    sign = type(node.op).__name__
    slow = operators.BINARY.get(sign)
    if slow is None:
        raise scope.refused(node, "operator", f"operator {sign} is not part of the language")
    value = scope.expression(node.value)
    if isinstance(node.target, ast.Name):
        before = scope.expression(node.target)
        both = Code(
            with_constant(sign, before.evaluate, value.constant)
            or arithmetic(sign, slow, before.evaluate, value.evaluate),
            gas.BINARY + before.cost + value.cost,
            add_bounds(before.bound, value.bound),
        )
        return _store(scope, node.target, both)
    if not isinstance(node.target, ast.Subscript):
        raise scope.refused(node, "target", "cannot assign to this")
    return augmented_item(scope, node.target, sign, value)


def _if(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.If), "dispatched by type"
    condition = scope.expression(node.test)
    test = condition.test()
    body, other = compile_block(scope, node.body), compile_block(scope, node.orelse)
    execute_body, execute_other = body.execute, other.execute
    bound = add_bounds(condition.bound, max_bounds(body.bound, other.bound))
    if not node.orelse:

        def execute_short(run: Run, local: Locals) -> int:
            return execute_body(run, local) if test(run, local) else NEXT

        return execute_short, condition.cost, bound

    def execute(run: Run, local: Locals) -> int:
        return execute_body(run, local) if test(run, local) else execute_other(run, local)

    return execute, condition.cost, bound


def _loop_body(scope: Scope, node: ast.For | ast.While) -> Body:
    if node.orelse:
        raise scope.refused(node, "statement", "loops have no else", "use a flag")
    scope.loops += 1
    body = compile_block(scope, node.body)
    scope.loops -= 1
    return body


def _while(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.While), "dispatched by type"
    condition = scope.expression(node.test)
    test, turn_cost = condition.test(), gas.ITERATION + condition.cost
    body = _loop_body(scope, node).execute

    def execute(run: Run, local: Locals) -> int:
        while True:
            run.gas -= turn_cost
            if run.gas < 0:
                raise out_of_gas()
            if not test(run, local):
                return NEXT
            signal = body(run, local)
            if signal == BREAK:
                return NEXT
            if signal == RETURN:
                return RETURN

    return execute, 0, None


def _for(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.For), "dispatched by type"
    source, cost, bound, turns = source_of(scope, node.iter)
    store = target_of(scope, node.target, scope.locals.__getitem__)
    index = scope.locals[node.target.id] if isinstance(node.target, ast.Name) else -1
    body = _loop_body(scope, node)
    run_body = body.execute

    def execute(run: Run, local: Locals) -> int:
        for value in source(run, local):
            run.gas -= gas.ITERATION
            if run.gas < 0:
                raise out_of_gas()
            if index >= 0:
                local[index] = value
            else:
                store(run, local, value)
            signal = run_body(run, local)
            if signal == BREAK:
                return NEXT
            if signal == RETURN:
                return RETURN
        return NEXT

    total = None
    if turns is not None and body.bound is not None:
        total = add_bounds(bound, turns * (gas.ITERATION + body.bound))
    return execute, cost, total


def _jump(scope: Scope, node: ast.stmt) -> Compiled:
    if not scope.loops:
        raise scope.refused(node, "statement", "break and continue stand in loops only")
    signal = BREAK if isinstance(node, ast.Break) else CONTINUE
    return (lambda run, local: signal), 0, 0


def _return(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.Return), "dispatched by type"
    if node.value is None:

        def execute_none(run: Run, local: Locals) -> int:
            run.result = None
            return RETURN

        return execute_none, 0, 0
    code = scope.expression(node.value)
    evaluate = code.evaluate

    def execute(run: Run, local: Locals) -> int:
        run.result = evaluate(run, local)
        return RETURN

    return execute, code.cost, code.bound


def _assert(scope: Scope, node: ast.stmt) -> Compiled:
    assert isinstance(node, ast.Assert), "dispatched by type"
    is_false = isinstance(node.test, ast.Constant) and node.test.value is False
    if isinstance(node.test, ast.Tuple | ast.List | ast.Dict | ast.Constant) and not is_false:
        raise scope.refused(node, "statement", "this is always true", "assert condition, message")
    condition = scope.expression(node.test)
    test = condition.test()
    message = None if node.msg is None else scope.expression(node.msg)
    message_cost = 0 if message is None else message.cost
    evaluate = None if message is None else message.evaluate

    def execute(run: Run, local: Locals) -> int:
        if test(run, local):
            return NEXT
        run.charge(message_cost)
        text = None if evaluate is None else evaluate(run, local)
        raise Fault("E_ASSERT", text if type(text) is str else "assertion failed")

    bound = add_bounds(condition.bound, message_cost, 0 if message is None else message.bound)
    return execute, condition.cost, bound


_COMPILERS: Final[dict[type[ast.stmt], Callable[[Scope, ast.stmt], Compiled]]] = {
    ast.Pass: _pass,
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _annotated,
    ast.AugAssign: _augmented,
    ast.If: _if,
    ast.While: _while,
    ast.For: _for,
    ast.Break: _jump,
    ast.Continue: _jump,
    ast.Return: _return,
    ast.Assert: _assert,
}
