"""A source to a contract: scan, parse, declare, compile; what is not understood is refused."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

from andon.core.codec import Value
from andon.core.hashing import Domain, digest
from contracts_py.engine import gas
from contracts_py.engine.calls import CALLABLES
from contracts_py.engine.code import Function, Names, Scope, refused
from contracts_py.engine.contract import ANY, TYPE_NAMES, Contract, Method, TypeSpec
from contracts_py.engine.declarations import declare, default_of, entry_of, type_spec
from contracts_py.engine.expressions import compile_expression
from contracts_py.engine.faults import ContractRefused
from contracts_py.engine.limits import Limits
from contracts_py.engine.prescan import scan
from contracts_py.engine.profile import Profile
from contracts_py.engine.run import UNSET, Unset
from contracts_py.engine.statements import assigned_names, compile_function

_NAME: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9]|_(?!_))*\Z")
RESERVED: Final = frozenset(
    {*CALLABLES, *TYPE_NAMES, "ctx", "Var", "Map", "Event"}
    | {"init", "export", "view", "migrate", "scheduled"}
)


def compile_contract(source: bytes, limits: Limits, profile: Profile | None = None) -> Contract:
    """Check and compile a source; with a profile its calls count gas by line.

    Raises:
        ContractRefused: with rule, line, column and fix, the same on every Python version.
    """
    text = scan(source, limits)
    tree = _parse(text)
    names = Names(limits, profile)
    body = list(tree.body)
    document = ""
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        found = body.pop(0)
        document = ast.get_docstring(tree, clean=False) or ""
        if not document:
            raise refused(found, "statement", "a value alone does nothing")
    for node in body:
        _top_level(names, node)
    methods: dict[str, Method] = {}
    compiler = _FunctionCompiler(names)
    for name, function in names.functions.items():
        methods[name] = compiler.compile(function)
    _check_methods(names, methods)
    return Contract(
        code_hash=digest(Domain.SOURCE, source),
        source_bytes=len(source),
        document=document,
        methods=methods,
        variables=tuple(names.variables.values()),
        events=tuple(names.events.values()),
        imports=tuple(names.imports),
    )


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # The scan refuses whatever warns; flags of the node must not decide about contracts.
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError):
        # Texts and positions of the parser differ between versions.
        raise ContractRefused(
            "syntax", "not Python syntax", line=0, column=0, fix="python -m py_compile shows where"
        ) from None


def _check_name(names: Names, node: ast.AST, name: str) -> None:
    if _NAME.match(name) is None or name.endswith("_"):
        raise refused(node, "name", f"{name!r} cannot be a name", "no leading, double or last _")
    if name in RESERVED:
        raise refused(node, "name", f"{name!r} belongs to the language", "choose another name")
    if names.has(name):
        raise refused(node, "name", f"{name!r} is declared twice")


def _top_level(names: Names, node: ast.stmt) -> None:
    limits = names.limits
    if isinstance(node, ast.FunctionDef):
        _check_name(names, node, node.name)
        if len(names.functions) >= limits.functions_max:
            raise refused(node, "size", f"more than {limits.functions_max} functions")
        names.functions[node.name] = _function(names, node)
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
        if len(node.targets) != 1 or not isinstance(target, ast.Name):
            raise refused(node, "declaration", "one name a declaration")
        _check_name(names, node, target.id)
        if len(names.variables) + len(names.events) + len(names.constants) >= (
            limits.declarations_max
        ):
            raise refused(node, "size", f"more than {limits.declarations_max} declarations")
        declare(names, node, target.id)
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname is not None:
                raise refused(node, "import", "contracts are imported under their own names")
            _check_name(names, node, alias.name)
            names.imports.append(alias.name)
    else:
        what = type(node).__name__
        fix = "a source has imports, Var, Map, Event, constants and functions"
        raise refused(node, "statement", f"{what} cannot stand at the top level", fix)


def _function(names: Names, node: ast.FunctionDef) -> Function:
    args = node.args
    has_extras = args.vararg or args.kwarg or args.kwonlyargs or args.posonlyargs
    if has_extras or getattr(node, "type_params", None):
        raise refused(node, "parameter", "plain parameters only", 'def f(a: int, b: str = "")')
    if len(args.args) > names.limits.parameters_max:
        raise refused(node, "size", f"more than {names.limits.parameters_max} parameters")
    is_entry = bool(node.decorator_list)
    found: list[str] = []
    specs: list[TypeSpec] = []
    for arg in args.args:
        if _NAME.match(arg.arg) is None or arg.arg.endswith("_") or arg.arg in RESERVED:
            raise refused(node, "parameter", f"{arg.arg!r} cannot name a parameter")
        if arg.arg in found:
            raise refused(node, "parameter", f"two parameters {arg.arg!r}")
        if arg.annotation is None and is_entry:
            raise refused(node, "parameter", f"parameter {arg.arg!r} needs a type")
        found.append(arg.arg)
        specs.append(ANY if arg.annotation is None else type_spec(arg.annotation))
    defaults: list[Value | Unset] = [UNSET] * (len(found) - len(args.defaults))
    given = specs[len(defaults) :]
    pairs = zip(given, args.defaults, strict=True)
    defaults.extend([default_of(default, spec, names) for spec, default in pairs])
    return Function(node, tuple(found), tuple(specs), tuple(defaults))


class _FunctionCompiler:
    """Compiles functions on demand, so that bounds of callees are known to callers."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def compile(self, function: Function) -> Method:
        if function.method:
            return function.method[0]
        function.is_started = True
        node, names = function.node, self._names
        entry = entry_of(node)
        scope = Scope(
            names=names,
            locals={name: index for index, name in enumerate(function.names)},
            parameters=len(function.names),
            compile=compile_expression,
            bound_of=self._bound_of,
            size=len(function.names),
        )
        for name in assigned_names(node.body):
            if name not in scope.locals:
                self._check_local(node, name)
                scope.locals[name] = scope.slot()
        body, bound = compile_function(scope, node.body, node.name)
        method = Method(
            name=node.name,
            kind=entry.kind,
            parameters=function.parameters(),
            returns=ANY if node.returns is None else type_spec(node.returns),
            roles=entry.roles,
            organisation=entry.organisation,
            is_reentrant=entry.is_reentrant,
            every=entry.every,
            line=node.lineno,
            gas_bound=None if bound is None else bound + gas.ENTER,
            body=body,
        )
        function.method.append(method)
        return method

    def _bound_of(self, name: str) -> int | None:
        function = self._names.functions[name]
        if function.is_started and not function.method:
            return None  # recursion
        return self.compile(function).gas_bound

    def _check_local(self, node: ast.FunctionDef, name: str) -> None:
        if _NAME.match(name) is None and not (name.startswith("_") and name[1:].isalnum()):
            raise refused(node, "name", f"{name!r} cannot be a name", "no double or last _")
        if name in RESERVED:
            raise refused(node, "name", f"{name!r} belongs to the language")


def _check_methods(names: Names, methods: dict[str, Method]) -> None:
    for kind in ("init", "migrate"):
        found = [method for method in methods.values() if method.kind == kind]
        if len(found) > 1:
            node = names.functions[found[1].name].node
            raise refused(node, "decorator", f"more than one @{kind}")
    for method in methods.values():
        if method.kind == "scheduled" and method.parameters:
            raise refused(
                names.functions[method.name].node, "decorator", "@scheduled takes no parameters"
            )
