"""Top-level declarations: types, constants, state variables, events, decorators."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final

from andon.core.codec import Value
from andon.core.state_key import is_name
from contracts_py.engine.code import Names, refused
from contracts_py.engine.contract import (
    TYPE_NAMES,
    EventField,
    EventSchema,
    Kind,
    TypeSpec,
    Variable,
)
from contracts_py.engine.faults import Fault
from contracts_py.engine.limits import INTEGER_BOUND
from contracts_py.engine.run import UNSET, Unset
from contracts_py.engine.texts import parse_decimal
from contracts_py.engine.values import type_name

TYPES_DEPTH_MAX: Final = 4
EVENT_FIELDS_MAX: Final = 32
ROLES_MAX: Final = 8
_PARAMETERS: Final = {"list": 1, "dict": 2}


def type_spec(node: ast.expr, depth: int = 0) -> TypeSpec:
    """Read a type: a name, list[T], dict[K, V], tuple[A, B] or T | None.

    Raises:
        ContractRefused: rule type.
    """
    if depth > TYPES_DEPTH_MAX:
        raise refused(node, "type", "type is nested too deeply", "use any")
    if isinstance(node, ast.Name):
        if node.id == "value":
            return TypeSpec("any")
        if node.id in TYPE_NAMES:
            return TypeSpec(node.id)
    if isinstance(node, ast.Tuple) and node.elts:
        return TypeSpec("tuple", tuple(type_spec(item, depth + 1) for item in node.elts))
    if _is_optional(node):
        assert isinstance(node, ast.BinOp), "an optional is a union with None"
        return TypeSpec("optional", (type_spec(node.left, depth + 1),))
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        name = node.value.id
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if name == "tuple" or _PARAMETERS.get(name) == len(items):
            return TypeSpec(name, tuple(type_spec(item, depth + 1) for item in items))
    if isinstance(node, ast.Constant) and node.value is None and depth == 0:
        return TypeSpec("optional", (TypeSpec("any"),))
    names = ", ".join(sorted(TYPE_NAMES))
    raise refused(node, "type", "unknown type", f"types are {names}, list[T], dict[K, V], T | None")


def _is_optional(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and isinstance(node.right, ast.Constant)
        and node.right.value is None
    )


def _is_decimal(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dec"
        and len(node.args) == 1
        and not node.keywords
    )


def literal(node: ast.expr, names: Names | None = None) -> Value:
    """Read an immutable literal: scalar, dec("0.5"), tuple of them, or an earlier constant."""
    if isinstance(node, ast.Constant):
        value = node.value
        if value is None or isinstance(value, bool | str | bytes):
            return value
        if type(value) is int and value < INTEGER_BOUND:
            return value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = literal(node.operand, names)
        if type(inner) is int:
            return -inner
    if isinstance(node, ast.Tuple):
        return tuple(literal(item, names) for item in node.elts)
    if isinstance(node, ast.Name) and names is not None and node.id in names.constants:
        return names.constants[node.id]
    if _is_decimal(node):
        assert isinstance(node, ast.Call), "a decimal is a call"
        return _decimal(node, literal(node.args[0]))
    raise refused(
        node,
        "literal",
        "only immutable literals stand here",
        'numbers, text, bytes, True, False, None, dec("0.5"), tuples of these',
    )


def _decimal(node: ast.expr, value: Value) -> Value:
    try:
        if type(value) is str:
            return parse_decimal(value)
        if type(value) is int:
            return parse_decimal(str(value))
    except Fault:
        pass
    raise refused(node, "number", "not a decimal of at most 18 places")


def default_of(node: ast.expr, spec: TypeSpec, names: Names) -> Value:
    """Read a default and check that it has the declared type. Raises ContractRefused: rule type."""
    value = literal(node, names)
    if not literal_fits(spec, value):
        fix = 'f: list | None = None, and a display in the body: ["a"] if f is None else f'
        if spec.name == "dec" and type(value) is int:
            fix = f'dec("{value}")'
        elif spec.name not in ("list", "dict"):
            fix = f"a literal of type {spec}"
        raise refused(node, "type", f"the default is {type_name(value)}, not {spec}", fix)
    return value


def literal_fits(spec: TypeSpec, value: Value) -> bool:
    """Tell whether a literal has a type; literals are scalars, decimals and tuples."""
    if spec.name == "any":
        return True
    if spec.name == "optional":
        return value is None or literal_fits(spec.items[0], value)
    if type(value) is tuple and spec.name == "tuple":
        pairs = zip(spec.items, value, strict=False)
        is_long = bool(spec.items) and len(spec.items) != len(value)
        return not is_long and all(literal_fits(item, each) for item, each in pairs)
    return TypeSpec(spec.name).plain is type(value)


def declare(names: Names, node: ast.Assign, name: str) -> None:
    """Take one `name = ...` of the top level into the table of names."""
    value = node.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        if value.func.id in ("Var", "Map"):
            _declare_variable(names, value, name, is_map=value.func.id == "Map")
            return
        if value.func.id == "Event":
            names.events[name] = _event(value, name)
            return
    names.constants[name] = literal(value, names)


def _keywords(node: ast.Call) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in found:
            raise refused(node, "declaration", "options are named, each once")
        found[keyword.arg] = keyword.value
    return found


def _declare_variable(names: Names, node: ast.Call, name: str, *, is_map: bool) -> None:
    if not is_name(name):
        fix = "1 to 32 of a-z, 0-9 and _, beginning with a letter"
        raise refused(node, "name", f"{name!r} cannot name state", fix)
    options = _keywords(node)
    key: TypeSpec | None = None
    if is_map:
        if node.args or "key" not in options or "value" not in options:
            raise refused(node, "declaration", "Map needs types", "Map(key=str, value=int)")
        key, value = type_spec(options.pop("key")), type_spec(options.pop("value"))
    else:
        if len(node.args) != 1:
            raise refused(node, "declaration", "Var needs a type", "Var(int, default=0)")
        value = type_spec(node.args[0])
    default: Value | Unset = UNSET
    if "default" in options:
        default = default_of(options.pop("default"), value, names)
    if options:
        raise refused(node, "declaration", f"unknown option {next(iter(options))!r}")
    names.variables[name] = Variable(
        name=name, index=len(names.variables), key=key, value=value, default=default
    )


def _event(node: ast.Call, name: str) -> EventSchema:
    options = _keywords(node)
    indexed: tuple[Value, ...] = ()
    if "indexed" in options and isinstance(options["indexed"], ast.Tuple):
        listed = literal(options.pop("indexed"))
        indexed = listed if isinstance(listed, tuple) else ()
    if node.args or not 1 <= len(options) <= EVENT_FIELDS_MAX:
        fix = 'Event(machine=str, height=int, indexed=("machine",))'
        raise refused(node, "declaration", "an event has 1 to 32 named fields", fix)
    if any(field not in options for field in indexed):
        raise refused(node, "declaration", "an indexed field does not exist")
    fields = tuple(
        EventField(field, type_spec(spec), field in indexed) for field, spec in options.items()
    )
    return EventSchema.make(name, fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a decorator says."""

    kind: Kind
    roles: tuple[str, ...] = ()
    organisation: str = ""
    is_reentrant: bool = False
    every: int = 0


_OPTIONS: Final[dict[str, tuple[Kind, frozenset[str]]]] = {
    "init": ("init", frozenset()),
    "export": ("export", frozenset({"role", "org", "reentrant"})),
    "view": ("view", frozenset({"reentrant"})),
    "migrate": ("migrate", frozenset()),
    "scheduled": ("scheduled", frozenset({"every"})),
}


def entry_of(node: ast.FunctionDef) -> Entry:
    """Read the decorator of a function. Raises ContractRefused."""
    if not node.decorator_list:
        return Entry(kind="private")
    decorator = node.decorator_list[0]
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if len(node.decorator_list) > 1 or not isinstance(called, ast.Name):
        raise refused(node, "decorator", "one decorator by name", "@export, @view or @init")
    if called.id not in _OPTIONS:
        known = ", ".join(f"@{name}" for name in _OPTIONS)
        raise refused(node, "decorator", f"unknown decorator {called.id!r}", known)
    kind, allowed = _OPTIONS[called.id]
    given: dict[str, Value] = {}
    if isinstance(decorator, ast.Call):
        if decorator.args:
            raise refused(node, "decorator", "options are named", '@export(role="operator")')
        given = {name: literal(value) for name, value in _keywords(decorator).items()}
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise refused(node, "decorator", f"unknown option {unknown[0]!r}")
    return _entry(node, kind, given)


def _entry(node: ast.FunctionDef, kind: Kind, given: dict[str, Value]) -> Entry:
    role = given.get("role", ())
    roles = role if isinstance(role, tuple) else (role,)
    texts = tuple(item for item in roles if isinstance(item, str) and item)
    organisation, every = given.get("org", ""), given.get("every", 0)
    is_reentrant = given.get("reentrant", False)
    if len(texts) != len(roles) or len(roles) > ROLES_MAX or not isinstance(organisation, str):
        raise refused(node, "decorator", "role and org are text", '@export(role="operator")')
    if type(is_reentrant) is not bool:
        raise refused(node, "decorator", "reentrant is True or False")
    if type(every) is not int or (kind == "scheduled" and every < 1):
        raise refused(node, "decorator", "a period in blocks", "@scheduled(every=100)")
    return Entry(
        kind=kind, roles=texts, organisation=organisation, is_reentrant=is_reentrant, every=every
    )
