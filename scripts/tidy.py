"""House rules that linters do not know: sizes, TODOs, prints, sets, tests, orphans.

Run by `make tidy`. Prints every finding as `path:line: rule` and exits 1 if there is one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("andon", "consensus", "contracts_py/engine", "models", "node", "scripts")
PURE = ("andon/core", "consensus", "contracts_py/engine")
FILE_LINES_MAX = 400
LIBRARY = "contracts_py/library"
LIBRARY_LINES_MAX = 200
FUNCTION_LINES_MAX = 60
TODO = re.compile(r"#\s*(TODO|FIXME|XXX)(?!\(#\d+\))")


def main() -> int:
    """Check the tree; 0 if it is tidy."""
    findings = [line for path in sources() for line in check_file(path)]
    findings.extend(check_library())
    for line in findings:
        print(line)
    print(f"tidy: {len(findings)} findings in {sum(1 for _ in sources())} files")
    return 1 if findings else 0


def sources() -> Iterator[Path]:
    """Every Python source of the packages, in a stable order."""
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def check_library() -> Iterator[str]:
    """Standard contracts that nobody can read at one sitting."""
    for path in sorted((ROOT / LIBRARY).glob("*.py")):
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > LIBRARY_LINES_MAX:
            name = f"{LIBRARY}/{path.name}"
            yield f"{name}:1: contract has {count} lines, at most {LIBRARY_LINES_MAX}"


def check_file(path: Path) -> Iterator[str]:
    """Findings of one file."""
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{name}:1: file has {len(lines)} lines, at most {FILE_LINES_MAX}"
    for number, line in enumerate(lines, start=1):
        if TODO.search(line):
            yield f"{name}:{number}: a TODO carries an issue number, TODO(#n)"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from check_function(name, node)
        if name.startswith(PURE):
            yield from check_pure(name, node)


def check_function(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """A body of at most 60 lines, docstring not counted."""
    body = node.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return
    length = (body[-1].end_lineno or 0) - body[0].lineno + 1
    if length > FUNCTION_LINES_MAX:
        yield (
            f"{name}:{node.lineno}: {node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"
        )


def check_pure(name: str, node: ast.AST) -> Iterator[str]:
    """No loop over a set literal or call, no float literal, where nodes could disagree."""
    if isinstance(node, ast.For | ast.comprehension):
        over = node.iter
        is_set = isinstance(over, ast.Set | ast.SetComp) or (
            isinstance(over, ast.Call)
            and isinstance(over.func, ast.Name)
            and over.func.id in ("set", "frozenset")
        )
        if is_set:
            yield f"{name}:{over.lineno}: iteration over a set in a pure layer"
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield f"{name}:{node.lineno}: float in a pure layer"
    if isinstance(node, ast.AsyncFunctionDef | ast.Await):
        yield f"{name}:{node.lineno}: async in a pure layer"


if __name__ == "__main__":
    sys.exit(main())
