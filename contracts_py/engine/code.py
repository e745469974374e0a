# ruff: noqa: ARG001 - every closure takes (run, local)
"""What compiling gives: closures with their static cost; and where names are looked up."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from andon.core.codec import Value
from contracts_py.engine import gas
from contracts_py.engine.contract import EventSchema, Method, Parameter, TypeSpec, Variable
from contracts_py.engine.faults import ContractRefused
from contracts_py.engine.limits import Limits
from contracts_py.engine.profile import Profile
from contracts_py.engine.run import UNSET, Expression, Locals, Run, Statement, Unset
from contracts_py.engine.values import truth


@dataclass(slots=True)
class Code:
    """A compiled expression.

    `cost` is charged by the surrounding block before it runs. `bound` adds what its conditional
    parts may charge themselves, None if that has no fixed limit. `constant` is UNSET if the value
    is not known at compile time. `parameter` is the place of the parameter that it only reads, -1
    for anything else. `is_nothing` says that the value is always None.
    """

    evaluate: Expression
    cost: int
    bound: int | None
    is_bool: bool = False
    constant: Value | Unset = UNSET
    parameter: int = -1
    is_nothing: bool = False

    def test(self) -> Callable[..., Value]:
        """A closure whose result has the host's truth."""
        if self.is_bool:
            return self.evaluate
        evaluate = self.evaluate
        return lambda run, local: truth(evaluate(run, local))


@dataclass(slots=True)
class Body:
    """A compiled block; it charges `cost` itself when it is entered."""

    execute: Statement
    bound: int | None


@dataclass(slots=True)
class Function:
    """A function of the source; `method` is set once it is compiled."""

    node: ast.FunctionDef
    names: tuple[str, ...]
    specs: tuple[TypeSpec, ...]
    defaults: tuple[Value | Unset, ...]
    method: list[Method] = field(default_factory=list)
    is_started: bool = False

    def parameters(self) -> tuple[Parameter, ...]:
        """What callers may and must give."""
        return tuple(
            Parameter(name=name, spec=spec, default=default)
            for name, spec, default in zip(self.names, self.specs, self.defaults, strict=True)
        )


@dataclass(slots=True)
class Names:
    """What the top level of a source declares."""

    limits: Limits
    profile: Profile | None = None
    constants: dict[str, Value] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    events: dict[str, EventSchema] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    imports: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Tell whether the name is taken."""
        tables = (self.constants, self.variables, self.events, self.functions)
        return name in self.imports or any(name in table for table in tables)


@dataclass(slots=True)
class Scope:
    """One function while it is compiled."""

    names: Names
    locals: dict[str, int]
    parameters: int
    compile: Callable[[Scope, ast.expr], Code]
    bound_of: Callable[[str], int | None]
    size: int = 0
    depth: int = 0
    loops: int = 0
    anchor: ast.AST | None = None

    def expression(self, node: ast.expr) -> Code:
        """Compile an expression, minding the depth."""
        self.depth += 1
        if self.depth > self.names.limits.expression_depth_max:
            raise self.refused(node, "nesting", "expression is nested too deeply", "use locals")
        code = self.compile(self, node)
        self.depth -= 1
        return code

    def state(self, node: ast.expr) -> Variable | None:
        """Give the state variable that a node names, None if it names none."""
        if isinstance(node, ast.Name) and node.id not in self.locals:
            return self.names.variables.get(node.id)
        return None

    def slot(self) -> int:
        """Give a fresh place in the frame."""
        self.size += 1
        return self.size - 1

    def refused(self, node: ast.AST, rule: str, message: str, fix: str = "") -> ContractRefused:
        """Give a refusal at a node."""
        # Positions inside f-strings differ between versions: the string's own stands for them.
        return refused(self.anchor or node, rule, message, fix)


def refused(node: ast.AST, rule: str, message: str, fix: str = "") -> ContractRefused:
    """Give a refusal at a node."""
    line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", -1) + 1
    return ContractRefused(rule, message, line=line, column=column, fix=fix)


def add_bounds(*bounds: int | None) -> int | None:
    """Give the sum, None if a part has no bound."""
    total = 0
    for bound in bounds:
        if bound is None:
            return None
        total += bound
    return total


def max_bounds(*bounds: int | None) -> int | None:
    """Give the largest, None if one has no bound."""
    largest = 0
    for bound in bounds:
        if bound is None:
            return None
        largest = max(largest, bound)
    return largest


def constant_code(value: Value) -> Code:
    """Give the code of a known value."""

    def evaluate(run: Run, local: Locals) -> Value:
        return value

    return Code(evaluate, gas.CONSTANT, 0, is_bool=type(value) is bool, constant=value)


CONTEXT_FIELDS: Final = (
    "sender",
    "caller",
    "this",
    "height",
    "time_ms",
    "transaction_id",
    "chain_id",
    "org",
)
