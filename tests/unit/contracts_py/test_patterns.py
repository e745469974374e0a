"""Regular expressions of the pure layers: only what every supported Python matches alike."""

from __future__ import annotations

import importlib
import pkgutil
import re
import re._parser as parser  # type: ignore[import-not-found] # no stubs: private to `re`
from collections.abc import Iterator

import pytest

PURE = ("andon.core", "consensus", "contracts_py.engine")
UNEVEN = {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}
"""Before Python 3.11.5 a possessive group that can match its parts in several ways lost matches."""


@pytest.mark.parametrize("package", PURE)
def test_patterns_of_the_pure_layers_match_alike_on_every_python(package: str) -> None:
    patterns = list(_patterns(package))
    uneven = [where for where, pattern in patterns if _has_uneven(parser.parse(pattern))]
    assert not uneven


def test_there_are_patterns_to_look_at_and_an_uneven_one_is_seen() -> None:
    assert len(list(_patterns("contracts_py.engine"))) >= 10
    assert _has_uneven(parser.parse(r"(a(?:b|c)*+d)?"))


def _patterns(package: str) -> Iterator[tuple[str, str]]:
    root = importlib.import_module(package)
    names = [item.name for item in pkgutil.walk_packages(root.__path__, package + ".")]
    for name in [package, *names]:
        for key, value in vars(importlib.import_module(name)).items():
            held = list(value.values()) if isinstance(value, dict) else [value]
            for item in held:
                if isinstance(item, re.Pattern) and isinstance(item.pattern, str):
                    yield f"{name}.{key}", item.pattern


def _has_uneven(node: object) -> bool:
    if isinstance(node, parser.SubPattern):
        return any(_has_uneven(item) for item in node.data)
    if isinstance(node, tuple | list):
        return any(_has_uneven(item) for item in node)
    return str(node) in UNEVEN
