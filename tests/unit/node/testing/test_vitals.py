"""What processes hold, and its slope."""

import subprocess
import sys
from pathlib import Path

import pytest

from node.testing.vitals import look, processes, slope_per_hour


def test_the_slope_is_that_of_the_later_half() -> None:
    assert slope_per_hour([(float(at), 1000 if at >= 5 else 100 * at) for at in range(10)]) == 0
    assert slope_per_hour([(float(at), 2 * at) for at in range(10)]) == pytest.approx(7200)
    assert slope_per_hour([]) == slope_per_hour([(1.0, 5)]) == 0


def test_processes_are_found_by_the_home_that_their_command_names(tmp_path: Path) -> None:
    wait = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with (
        subprocess.Popen([*wait, f"{tmp_path}/node-1/x"], stdin=subprocess.PIPE) as node,
        subprocess.Popen(
            [*wait, "models.worker", f"{tmp_path}/node-1/y"], stdin=subprocess.PIPE
        ) as worker,
        subprocess.Popen([*wait, f"{tmp_path}/companions/z"], stdin=subprocess.PIPE) as other,
    ):
        found = [("node-1 node", node.pid), ("node-1 worker", worker.pid)]
        assert processes(tmp_path) == found
        held = look(tmp_path)
        assert [(item.name, item.pid) for item in held] == found
        assert all(item.anonymous_bytes > 0 for item in held)
        assert min(item.files for item in held) >= 3
        for process in (node, worker, other):
            process.communicate(timeout=10)
    assert processes(tmp_path) == []
