"""Run the nodes of a prepared local network as real processes: start, stop, kill, restart."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from andon.cli.network import (
    LocalNetwork,
    NodeEntry,
    Process,
    Run,
    load_network,
    start_time,
)
from andon.core.errors import Code, InvalidInput, Misuse, Unavailable
from node.local_network import MANIFEST_FILE, Plan, prepare
from scripts.ports import busy_ports, describe

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
STOP_TIMEOUT_S = 8.0
POLL_S = 0.05
LOG_TAIL_LINES = 20
LOG_FILE = "node.log"


@dataclass(slots=True)
class Cluster:
    """The processes of one network. It owns only what it finds in `run.json` or started."""

    network: LocalNetwork
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Folder of the network."""
        return self.network.home

    @property
    def nodes(self) -> list[NodeEntry]:
        """All nodes, running or not."""
        return self.network.manifest.nodes

    def urls(self) -> list[str]:
        """RPC URLs of all nodes."""
        return [node.rpc for node in self.nodes]

    def up(self) -> list[str]:
        """Start every node that does not run; returns the names of those started.

        Raises:
            Unavailable: PORT_IN_USE, naming the processes that hold the ports.
        """
        alive = self.network.alive()
        missing = [node for node in self.nodes if node.name not in alive]
        ports = [port_of(url) for node in missing for url in (node.rpc, node.peer)]
        holders = busy_ports(HOST, ports)
        if holders:
            raise Unavailable(
                Code.PORT_IN_USE,
                describe(holders),
                hint="stop it, or choose other ports: --base-port (of the demo: --port)",
            )
        for node in missing:
            self.start(node.name)
        return [node.name for node in missing]

    def start(self, name: str, module: Sequence[str] = ("node",)) -> None:
        """Start one node; harmless if it runs. `module`, with arguments, may be another node."""
        node = self.network.node(name)
        if node.name in self.network.alive():
            return
        home = self.home / node.home
        log_path = home / "logs" / LOG_FILE
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", *module, "--home", str(home.resolve())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal reaches the launcher alone, which stops nodes in order.
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )
        self.children[node.name] = child
        processes = dict(self.network.run().processes)
        processes[node.name] = Process(pid=child.pid, started=start_time(child.pid))
        self.network.save_run(Run(processes))

    def kill(self, name: str) -> None:
        """Kill one node as a power cut would (SIGKILL)."""
        self._signal([self.network.node(name).name], signal.SIGKILL)

    def stop(self, name: str) -> None:
        """Stop one node in good order."""
        self._stop([self.network.node(name).name])

    def down(self) -> list[str]:
        """Stop all nodes in good order; returns the names of those that ran. Idempotent."""
        names = list(self.network.alive())
        self._stop(names)
        self.network.save_run(Run())
        return names

    def wait_ready(self, timeout_s: float, count: int | None = None) -> float:
        """Wait until `count` nodes (default all) answer ready; returns the seconds it took.

        Raises:
            Unavailable: NOT_READY with the last lines of a dead node's log; the rest stays up.
        """
        began = time.monotonic()
        wanted = len(self.nodes) if count is None else count
        while True:
            ready = sum(1 for node in self.nodes if is_ready(node.rpc))
            if ready >= wanted:
                return time.monotonic() - began
            alive = self.network.alive()
            dead = [name for name in self.network.run().processes if name not in alive]
            if dead and len(alive) < wanted:
                raise Unavailable(
                    Code.NOT_READY,
                    f"{dead[0]} ended; the others stay up. Its log ends:\n{self.log_tail(dead[0])}",
                    hint=f"the whole log is {self.log_path(dead[0])}",
                )
            if time.monotonic() - began > timeout_s:
                raise Unavailable(
                    Code.NOT_READY,
                    f"{ready} of {wanted} nodes are ready after {timeout_s:.0f} s",
                    hint=f"see the logs in {self.home}/*/logs",
                )
            time.sleep(POLL_S)

    def log_path(self, name: str) -> Path:
        """Where a node's log is."""
        return self.home / self.network.node(name).home / "logs" / LOG_FILE

    def log_tail(self, name: str) -> str:
        """Last lines of a node's log."""
        try:
            text = self.log_path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])

    def _stop(self, names: list[str]) -> None:
        self._signal(names, signal.SIGTERM)
        if not self._gone(names, STOP_TIMEOUT_S):
            self._signal(names, signal.SIGKILL)
            self._gone(names, STOP_TIMEOUT_S)

    def _signal(self, names: list[str], number: signal.Signals) -> None:
        alive = self.network.alive()
        for name in names:
            if name in alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(alive[name], number)
        if number is signal.SIGKILL:
            self._gone(names, STOP_TIMEOUT_S)

    def _gone(self, names: list[str], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for name in names:
                child = self.children.get(name)
                if child is not None:
                    child.poll()  # reaps it, so that it is no zombie
            if not set(names) & set(self.network.alive()):
                return True
            time.sleep(POLL_S)
        return False


def make_or_load(plan: Plan, *, reset: bool) -> Cluster:
    """Take the network in `plan.home`, or make it; `reset` makes it anew.

    Raises:
        Misuse: BAD_CONFIG if the network that is there has another number of validators.
    """
    if reset:
        remove(plan.home)
    if not (plan.home / MANIFEST_FILE).exists():
        prepare(plan)
    cluster = Cluster(load_network(plan.home))
    voting = sum(1 for node in cluster.nodes if node.validator_key)
    if (voting, len(cluster.nodes)) != (plan.validators, plan.validators + plan.observers):
        raise Misuse(
            Code.BAD_CONFIG,
            f"{plan.home} holds a network of {voting} validators and "
            f"{len(cluster.nodes) - voting} observers",
            hint="use it as it is, choose another --home, or give --reset to begin anew",
        )
    return cluster


def remove(home: Path) -> None:
    """Stop and delete the network in `home`; nothing else is ever deleted.

    Raises:
        Misuse: BAD_CONFIG if the folder holds something that is no network.
    """
    if not home.exists():
        return
    if not (home / MANIFEST_FILE).exists():
        if any(home.iterdir()):
            raise Misuse(
                Code.BAD_CONFIG,
                f"{home} is not empty and holds no network: not deleted",
                hint="choose another --home",
            )
        return
    with contextlib.suppress(InvalidInput):
        Cluster(load_network(home)).down()
    shutil.rmtree(home)


def is_ready(url: str) -> bool:
    """Ask a node's readiness probe."""
    try:
        with urllib.request.urlopen(url + "/health/ready", timeout=1.0) as answer:  # noqa: S310 - own http URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def port_of(address: str) -> int:
    """Port at the end of a URL or host:port."""
    return int(address.rstrip("/").rsplit(":", 1)[1])
