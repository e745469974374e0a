"""A store over which the system ends the process: the next start knows, and sets it aside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.checkout import CHECKOUT
from node.config import Home
from node.crashes import KEPT_FILE, has_crashed
from node.home import open_home
from node.testing.lab import CertifiedChain
from tests.unit.node.test_home_tools import make_home

PAGE_BYTES = 4096
PAGES_LEFT = 3
"""LMDB reads the first two when it opens; its lists lie behind."""


def check(home: Home) -> subprocess.CompletedProcess[str]:
    """Open the store as a node does, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "node", "--home", str(home.path), "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def home(tmp_path: Path) -> Home:
    chain = CertifiedChain()
    made = make_home(tmp_path / "home", chain)
    with open_home(made.path) as opened:
        chain.open(opened.store)
        opened.store.append([chain.extend(chain.write(5)) for _ in range(4)])
    return made


def test_a_store_that_ends_the_process_is_set_aside_at_the_next_start(home: Home) -> None:
    assert "height 4" in check(home).stdout
    assert home.crash.stat().st_mode & 0o777 == 0o600
    assert not has_crashed(home)

    os.truncate(home.data / "chain" / "data.mdb", PAGES_LEFT * PAGE_BYTES)
    crashed = check(home)
    assert crashed.returncode in (-signal.SIGBUS, -signal.SIGABRT, -signal.SIGSEGV)
    assert has_crashed(home)

    again = check(home)
    assert again.returncode == 0, again.stderr
    assert "set aside" in again.stderr
    assert "the store is empty" in again.stdout
    assert (home.data / "chain.damaged").exists()
    assert not has_crashed(home)
    assert "Fatal Python error" in (home.logs / KEPT_FILE).read_text()


def test_a_crash_for_another_reason_has_the_store_checked_and_kept(home: Home) -> None:
    home.crash.write_text("Fatal Python error: Aborted\n")
    assert "height 4" in check(home).stdout
    assert not has_crashed(home)


def test_a_kill_leaves_no_note(home: Home) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from node.crashes import note_crashes;"
        "note_crashes(Path(sys.argv[1])); os.kill(os.getpid(), int(sys.argv[2]))"
    )
    for number, leaves in ((signal.SIGKILL, False), (signal.SIGABRT, True)):
        done = subprocess.run(
            [sys.executable, "-c", program, str(home.path), str(int(number))],
            cwd=CHECKOUT,
            timeout=60,
            check=False,
        )
        assert done.returncode == -number
        assert has_crashed(home) is leaves


def test_a_home_that_takes_no_file_is_refused_for_its_own_reason(tmp_path: Path) -> None:
    done = check(Home(tmp_path / "none"))
    assert done.returncode == 2
    assert "BAD_CONFIG" in done.stderr
