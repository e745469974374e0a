"""The table of seeded bugs fits the source, so that none is tried in vain."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from node.testing.mutants import Mutant, load_mutants, mutated

MUTANTS = load_mutants()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_of_a_mutant_is_there_once_and_the_change_still_parses(mutant: Mutant) -> None:
    spec = importlib.util.find_spec(mutant.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    changed = mutated(source, mutant)
    assert changed != source
    compile(changed, mutant.name, "exec")


def test_there_are_enough_and_their_names_differ() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) >= 40
    assert len(dict.fromkeys(names)) == len(names)
