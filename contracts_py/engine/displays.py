"""Lists, tuples, dicts and f-strings written out: closures that build them."""

from __future__ import annotations

import ast

from andon.core.codec import Key, Value
from contracts_py.engine import gas
from contracts_py.engine.code import Code, Scope, add_bounds, constant_code
from contracts_py.engine.run import UNSET, Expression, Locals, Run, Unset
from contracts_py.engine.texts import text_of
from contracts_py.engine.values import dict_key


def sequence(scope: Scope, node: ast.expr) -> Code:
    """Compile a list or tuple display."""
    assert isinstance(node, ast.List | ast.Tuple), "dispatched by type"
    items = [scope.expression(item) for item in node.elts]
    evaluators = tuple(item.evaluate for item in items)
    count = len(items)
    size = gas.LIST_BYTES + gas.ELEMENT_BYTES * count
    cost = gas.DISPLAY + gas.ITEM * count + sum(item.cost for item in items)
    bound = add_bounds(*(item.bound for item in items))
    if isinstance(node, ast.List):

        def evaluate(run: Run, local: Locals) -> Value:
            run.allocate(size)
            return [item(run, local) for item in evaluators]

        return Code(evaluate, cost, bound)
    if all(item.constant is not UNSET for item in items):
        return constant_code(tuple(_known(item.constant) for item in items))

    def evaluate_tuple(run: Run, local: Locals) -> Value:
        run.allocate(size)
        return tuple([item(run, local) for item in evaluators])

    return Code(evaluate_tuple, cost, bound)


def _known(value: Value | Unset) -> Value:
    assert value is not UNSET, "the caller checked"
    return value


def dict_display(scope: Scope, node: ast.expr) -> Code:
    """Compile a dict display."""
    assert isinstance(node, ast.Dict), "dispatched by type"
    codes: list[tuple[Code, Code]] = []
    for key, item in zip(node.keys, node.values, strict=True):
        if key is None:
            raise scope.refused(node, "expression", "** is not part of the language", "update()")
        codes.append((scope.expression(key), scope.expression(item)))
    pairs: tuple[tuple[Expression, Expression], ...] = tuple(
        (key.evaluate, item.evaluate) for key, item in codes
    )
    size = gas.LIST_BYTES + gas.ENTRY_BYTES * len(pairs)

    def evaluate(run: Run, local: Locals) -> Value:
        run.allocate(size)
        found: dict[Key, Value] = {}
        for key, item in pairs:
            found[dict_key(key(run, local))] = item(run, local)
        return found

    cost = gas.DISPLAY + sum(2 * gas.ITEM + key.cost + item.cost for key, item in codes)
    bound = add_bounds(*(part.bound for pair in codes for part in pair))
    return Code(evaluate, cost, bound)


def text(scope: Scope, node: ast.expr) -> Code:
    """Compile an f-string."""
    assert isinstance(node, ast.JoinedStr), "dispatched by type"
    outer = scope.anchor
    scope.anchor = outer or node
    parts: list[Code] = []
    for piece in node.values:
        if isinstance(piece, ast.FormattedValue):
            if piece.conversion != -1 or piece.format_spec is not None:
                raise scope.refused(node, "string", "fields have no formats", "use str(value)")
            parts.append(scope.expression(piece.value))
        else:
            parts.append(scope.expression(piece))
    scope.anchor = outer
    evaluators = tuple(part.evaluate for part in parts)

    def evaluate(run: Run, local: Locals) -> Value:
        texts = [text_of(run, part(run, local)) for part in evaluators]
        run.text(sum(map(len, texts)))
        return "".join(texts)

    cost = gas.TEXT + sum(part.cost + gas.ITEM for part in parts)
    return Code(evaluate, cost, add_bounds(*(part.bound for part in parts)))
