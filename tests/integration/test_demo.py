"""`make demo` as a user runs it: real processes, a killed validator, an offline proof."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from andon.cli.network import load_network
from scripts.ports import busy_ports

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# A shell that runs the tests in the background has SIGINT ignored, and children inherit it. The
# child sets it back itself: a preexec_fn makes subprocess fork this process, and JAX warns of a
# fork once a test has imported it.
DEMO = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("scripts.demo", run_name="__main__")
"""


def free_port() -> int:
    """Below the range from which outgoing connections take their ports."""
    for base in range(20_000 + os.getpid() * 8 % 9_000, 32_000, 8):
        if not busy_ports("127.0.0.1", list(range(base, base + 8))):
            return base
    raise AssertionError("no eight free ports")


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DEMO, "--home", str(home), "--port", str(free_port())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_demo_ends_with_votes_metrics_and_a_proof_that_holds(tmp_path: Path) -> None:
    demo = start(tmp_path / "net")
    text, _ = demo.communicate(timeout=150)
    assert demo.returncode == 0, text
    assert "killed node-4" in text
    assert "node-4 caught up" in text
    assert "ALERT" in text
    assert "(offline: exit 0)" in text
    found = re.search(r"(\d+) committed predictions: RMSE ([0-9.]+)", text)
    assert found is not None, text
    assert int(found[1]) == 72
    assert float(found[2]) < 13.5
    assert load_network(tmp_path / "net").alive() == {}


def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path) -> None:
    with start(tmp_path / "net") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "streaming" in line:
                break
        network = load_network(tmp_path / "net")
        assert len(network.alive()) == 4
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(timeout=30) == 130
    deadline = time.monotonic() + 5
    while network.alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert network.alive() == {}
