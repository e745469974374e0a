"""Hosts of their own: interfaces, a switch, pulled cables (`python -m scripts.hosts`)."""

import subprocess
import sys

import pytest

from scripts import hosts

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.skipif(not hosts.is_possible(), reason="no network namespaces on this machine")
def test_four_hosts_survive_a_pulled_cable_and_a_split_switch() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.hosts"],
        cwd=hosts.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cable plugged in: host3 has caught up" in done.stdout
    assert "nobody goes on" in done.stdout
    assert "joined again: all go on, one block at height" in done.stdout
