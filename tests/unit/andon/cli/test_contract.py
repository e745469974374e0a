"""`andon contract`: the verbs of authors, run as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
SOURCE = '''"""Counts."""
counts = Map(key=str, value=int, default=0)


@export(role="operator")
def count(name: str, times: int = 2) -> int:
    for i in range(times):
        counts[name] += 1
    return counts[name]
'''


def andon(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "andon.cli.main", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counter.py").write_text(SOURCE)
    (tmp_path / "bad.py").write_text(SOURCE.replace("+= 1", "+= 0.5"))
    return tmp_path


def test_a_refusal_shows_rule_line_caret_and_fix(folder: Path) -> None:
    done = andon("contract", "check", "counter.py", "bad.py", cwd=folder)
    assert done.returncode == 1
    rows = done.stdout.splitlines()
    assert rows[0].startswith("counter.py: accepted")
    assert rows[1].startswith("bad.py:8:25: [number]")
    assert rows[2] == "    8 |         counts[name] += 0.5"
    assert rows[3].index("^") == rows[2].index("0.5")
    assert rows[4].startswith("  fix: ")


def test_refusals_are_data_on_demand(folder: Path) -> None:
    done = andon("--json", "contract", "check", "bad.py", cwd=folder)
    (found,) = json.loads(done.stdout)
    assert (found["ok"], found["rule"], found["line"], found["column"]) == (False, "number", 8, 25)


def test_gas_is_shown_by_line_with_what_was_written(folder: Path) -> None:
    done = andon(
        "contract", "gas", "counter.py", "count", "name=a", "--role", "operator", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "      2 |" in done.stdout
    assert "result 2" in done.stdout
    assert "write counter.counts[a]" in done.stdout
    denied = andon("contract", "gas", "counter.py", "count", "name=a", cwd=folder)
    assert denied.returncode == 5
    assert "E_ACCESS" in denied.stdout


def test_a_generated_client_satisfies_mypy(folder: Path) -> None:
    done = andon("contract", "client", "counter.py", "-o", "counter_client.py", cwd=folder)
    assert done.returncode == 0, done.stderr
    text = (folder / "counter_client.py").read_text()
    assert "def count(self, name: str, times: int = 2) -> Outcome:" in text
    compile(text, "counter_client.py", "exec")


def test_types_of_a_contract_are_checked(folder: Path) -> None:
    (folder / "typed.py").write_text(SOURCE.replace("+= 1", '+= "x"'))
    good = andon("contract", "check", "--types", "counter.py", cwd=folder)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = andon("contract", "check", "--types", "typed.py", cwd=folder)
    assert bad.returncode == 1
    assert "typed.py:8:" in bad.stdout


def test_tests_get_the_fixture(folder: Path) -> None:
    (folder / "test_counter.py").write_text(
        "from pathlib import Path\n\n\n"
        "def test_counts(contracts):\n"
        "    contracts.deploy('counter', Path('counter.py'))\n"
        "    sender = contracts.member('ann', 'operator')\n"
        "    assert contracts.call('counter.count', sender=sender, name='a') == 2\n"
    )
    done = andon("contract", "test", "-q", "-p", "no:cacheprovider", "test_counter.py", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
