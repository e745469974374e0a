"""What authors are given fits the engine: the stubs know its names, the manual's contract runs."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

import andon.contract as stubs
from contracts_py.engine.calls import CALLABLES
from contracts_py.engine.contract import TYPE_NAMES
from tests.unit.contracts_py.world import ALICE, World

MANUAL = Path(__file__).resolve().parents[3] / "docs" / "contracts.md"
PYTHON_OWN = frozenset(name for name in CALLABLES if hasattr(builtins, name))


def test_stubs_know_every_function_that_python_does_not() -> None:
    missing = set(CALLABLES) - PYTHON_OWN - set(stubs.__all__)
    assert missing == set()
    assert all(hasattr(stubs, name) for name in stubs.__all__)


def test_manual_names_every_function_and_type() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    words = set(re.findall(r"[a-z_0-9]+", text))
    assert set(CALLABLES) - {"fail"} <= words
    assert words >= TYPE_NAMES


def test_contract_of_the_manual_runs() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    world = World().put("parts", found[1], most=1)
    world.host.roles[ALICE] = ("operator",)
    assert world.value("parts", "reject", station="s1") == 1
    assert world.value("parts", "is_over", station="s1") is False
    assert world.value("parts", "reject", station="s1") == 2
    assert world.value("parts", "is_over", station="s1") is True
    assert world.events()[-1] == ("Rejected", {"station": "s1", "count": 2})
