"""Start and stop the router that stands between the nodes of a local network under chaos."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from andon.cli.network import start_time
from andon.core.errors import Code, Unavailable
from node.local_network import MANIFEST_FILE, Manifest
from node.testing.chaos.router import PID_FILE, SOCKET_FILE, configure
from scripts.cluster import ROOT, Cluster

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
POLL_S = 0.05


def start_links(cluster: Cluster) -> None:
    """Start the router; nodes that start afterwards dial each other through it.

    Raises:
        Unavailable: NOT_READY if it does not come up, with the end of its log.
    """
    home = cluster.home.resolve()
    if _pid(home):
        return
    log_path = home / "chaos.log"
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "node.testing.chaos.router", "--home", str(home)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ((home / SOCKET_FILE).exists() and _pid(home)):
        if child.poll() is not None or time.monotonic() > deadline:
            raise Unavailable(
                Code.NOT_READY, f"the links did not start: {log_path.read_text()[-500:]}"
            )
        time.sleep(POLL_S)


def stop_links(home: Path) -> None:
    """Stop the router if one runs."""
    home = home.resolve()
    pid = _pid(home)
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _pid(home) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def forget_links(cluster: Cluster) -> None:
    """Let nodes dial each other directly, unless a router runs or they were told otherwise."""
    home = cluster.home.resolve()
    if _pid(home) or not (home / PID_FILE).exists():
        return
    # A router that was killed has left its addresses behind.
    manifest = msgspec.json.decode((home / MANIFEST_FILE).read_bytes(), type=Manifest)
    for node in manifest.nodes:
        configure(home, node, {})
    (home / PID_FILE).unlink(missing_ok=True)


def _pid(home: Path) -> int:
    """Process id of the running router; 0 if there is none."""
    try:
        pid = int((home / PID_FILE).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    return pid if b"chaos.router" in command and start_time(pid) else 0
