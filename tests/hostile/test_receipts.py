"""Golden receipts: the same bytes on every Python of the machine, cold and warm, any flags."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.make_vectors import FOLDER
from scripts.receipt_vectors import receipt_vectors
from tests.hostile.test_hostile import HERE, SUPPORTED, bare, other_interpreters

VECTORS = FOLDER / "receipts.json"
REPLAY = HERE / "receipts.py"


def replay(python: str, *flags: str, seed: str = "1", extra: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [python, *flags, str(REPLAY), str(VECTORS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONHASHSEED": seed, **(extra or {})},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_the_vectors_hold_failures_of_every_kind_and_events() -> None:
    worlds = receipt_vectors()["receipts"]
    receipts = [bytes.fromhex(row["receipt"]) for world in worlds for row in world["calls"]]  # type: ignore[attr-defined] # JSON
    for code in ("ASSERT", "REVERT", "ZERO", "KEY", "OVERFLOW", "TYPE", "DEPTH", "OOG", "ARGS"):
        assert any(f"E_{code}".encode() in receipt for receipt in receipts), code
    assert any(b"Told" in receipt for receipt in receipts)


def test_flags_and_hash_seed_change_no_byte() -> None:
    replay(sys.executable, "-O", "-W", "error", seed="4242")


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_supported_python_gives_the_same_bytes(version: str) -> None:
    if version == f"{sys.version_info[0]}.{sys.version_info[1]}":
        replay(sys.executable, seed="0")
        replay(sys.executable, extra=bare())
        return
    pythons = other_interpreters()
    if version not in pythons:
        pytest.skip(f"this machine has no Python {version}; ANDON_PYTHONS may name one")
    replay(pythons[version], "-O", "-W", "error", seed="77", extra=bare())


def test_a_changed_receipt_is_noticed(tmp_path: Path) -> None:
    text = VECTORS.read_text(encoding="utf-8")
    place = text.index('"receipt": "') + 200
    changed = tmp_path / "receipts.json"
    changed.write_text(text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :])
    done = subprocess.run(
        [sys.executable, str(REPLAY), str(changed)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "values 0 receipt" in done.stdout
