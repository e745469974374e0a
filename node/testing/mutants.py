"""Seeded bugs: tests of the tests. Each is one small change of the source that must be noticed.

Nothing is written to disk: a loader hands the changed text to Python in a process of its own.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

_TABLE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class Mutant:
    """Replace `old` by `new` in a module; `rule` is what is broken, `campaign` what must notice."""

    name: str
    module: str
    old: str
    new: str
    rule: str
    campaign: str


def load_mutants() -> tuple[Mutant, ...]:
    """Read the table."""
    document = tomllib.loads(_TABLE.read_text())
    return tuple(Mutant(**entry) for entry in document["mutant"])


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, mutant: Mutant, path: str) -> None:
        super().__init__(mutant.module, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        source = self.get_data(self.path).decode()
        code = compile(mutated(source, self._mutant), self.path, "exec")
        assert isinstance(code, CodeType)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for the one module."""
        if fullname != self._mutant.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert found is not None
        assert found.origin is not None
        loader = _Loader(self._mutant, found.origin)
        return importlib.util.spec_from_loader(fullname, loader, origin=found.origin)


def mutated(source: str, mutant: Mutant) -> str:
    """Give the changed text; the place must be there exactly once."""
    count = source.count(mutant.old)
    assert count == 1, f"{mutant.name}: its place stands {count} times in {mutant.module}"
    return source.replace(mutant.old, mutant.new)


def install(name: str) -> Mutant:
    """Make this process import the mutant. Its module must not be loaded yet."""
    (mutant,) = [item for item in load_mutants() if item.name == name]
    assert mutant.module not in sys.modules, f"{mutant.module} is loaded already"
    sys.meta_path.insert(0, _Finder(mutant))
    return mutant
