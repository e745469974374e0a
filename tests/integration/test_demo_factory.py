"""The factory demo as a user starts it: real nodes, gateway, models, proofs checked offline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_demo import free_port

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=900,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


TOLD = (
    "work order 1 open",
    "hits 1",
    "bearings ordered and delivered",
    "stage 2 FAIL, lot QUARANTINED",
    "the customer returned motor M1",
    "the new model was voted active",
    "err in 10 % of their answers",
    "andon verify",
    "IMPOSSIBLE_TRAVEL",
    "certificate of conformity",
)
DATA = Path(os.environ.get("ANDON_DATA", "../shared/data")).resolve()


@pytest.mark.skipif(
    not (DATA / "cmapss").is_dir(), reason="needs the data sets; name their folder in ANDON_DATA"
)
def test_the_story_holds_on_real_data(tmp_path: Path) -> None:
    home, port = str(tmp_path / "net"), str(free_port())
    done = run("scripts.demo_factory", "--home", home, "--port", port, "--data", str(DATA))
    assert done.returncode == 0, done.stdout + done.stderr
    for told in (
        *TOLD,
        "engine 34 of the test part",
        "(in truth 7)",
        "NEU",
        "carparts",
        "Liveline",
    ):
        assert told in done.stdout, done.stdout


def test_the_story_holds_and_a_buyer_checks_it_with_the_code_and_the_genesis(
    tmp_path: Path,
) -> None:
    home = tmp_path / "net"
    done = run("scripts.demo_factory", "--home", str(home), "--port", str(free_port()))
    assert done.returncode == 0, done.stdout + done.stderr
    for told in TOLD:
        assert told in done.stdout, done.stdout
    passport, genesis = str(home / "motor-M3.passport"), str(home / "genesis.json")
    code = "https://elsewhere.example/01/19506003000019/21/M3"
    good = run("scripts.check_passport", passport, "--code", code, "--genesis", genesis)
    assert good.returncode == 0, good.stdout
    assert "by org-1" in good.stdout
    other = run("scripts.check_passport", passport, "--code", code + "9", "--genesis", genesis)
    assert other.returncode == 1
    assert "nothing is proved" in other.stdout
