"""Programs beside a local network, for `andon up --with NAME`: a broker, a Prometheus.

Each is the program that is installed on this machine, in the foreground of a process of its own,
with a configuration that is written at every start and its files in companions/NAME of the
network's folder. It listens on loopback alone. Nothing is downloaded: where a program is missing,
the network does not start, and the error says what to install.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from andon.cli.network import Process, Run, RunFile, start_time
from andon.core.errors import Code, InvalidInput, Unavailable
from node.testing.broker import find_mosquitto
from scripts.cluster import HOST, ROOT, Cluster
from scripts.ports import busy_ports, describe

EXPLORER = "explorer"
"""No program: an observer, whose explorer takes no time from a validator."""
RUN_FILE = "companions.json"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 8.0
POLL_S = 0.05
LOG_TAIL_BYTES = 600

_BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
"""
_PROMETHEUS = """\
global: {{scrape_interval: 5s, evaluation_interval: 5s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: andon
    static_configs:
"""


@dataclass(frozen=True, slots=True)
class Companion:
    """One program: `find` gives its path or None, `prepare` writes its files and its arguments."""

    package: str
    """What Debian calls it."""
    url: str
    find: Callable[[], str | None]
    prepare: Callable[[Path, int, Cluster], Sequence[str]]


def _mosquitto(folder: Path, port: int, cluster: Cluster) -> Sequence[str]:
    del cluster
    config = folder / "mosquitto.conf"
    text = _BROKER.format(port=port, folder=folder)
    if os.geteuid() == 0:
        text += "user root\n"  # It would become another user, who may not write here.
    config.write_text(text, encoding="utf-8")
    return ["-c", str(config)]


def _prometheus(folder: Path, port: int, cluster: Cluster) -> Sequence[str]:
    config = folder / "prometheus.yml"
    lines = [_PROMETHEUS.format(rules=ROOT / "docker/prometheus/alerts.yml")]
    for node in cluster.nodes:
        role = "validator" if node.validator_key else "observer"
        lines.append(
            f'      - targets: ["{urlsplit(node.rpc).netloc}"]\n'
            f"        labels: {{role: {role}, network: {cluster.network.manifest.chain_id}}}\n"
        )
    config.write_text("".join(lines), encoding="utf-8")
    return [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]


COMPANIONS = {
    "mqtt": Companion("mosquitto", "mqtt://{host}:{port}", find_mosquitto, _mosquitto),
    "prometheus": Companion(
        "prometheus", "http://{host}:{port}", lambda: shutil.which("prometheus"), _prometheus
    ),
}
NAMES = (EXPLORER, *COMPANIONS)


def check_installed(names: Iterable[str]) -> None:
    """Refuse names whose program is missing, before anything starts.

    Raises:
        InvalidInput: NOT_FOUND.
    """
    for name in names:
        if name in COMPANIONS and COMPANIONS[name].find() is None:
            raise InvalidInput(
                Code.NOT_FOUND,
                f"--with {name} needs {COMPANIONS[name].package}, which is not on this machine",
                hint=f"install it (Debian: apt install {COMPANIONS[name].package}) or leave it out",
            )


def start_companions(cluster: Cluster, names: Sequence[str]) -> dict[str, str]:
    """Start those that do not run; gives the URL of each by name.

    Raises:
        Unavailable: PORT_IN_USE or NOT_READY.
    """
    observers = [node.rpc for node in cluster.nodes if not node.validator_key]
    found = {EXPLORER: observers[0]} if EXPLORER in names and observers else {}
    for name, port in ports(cluster).items():
        if name in names:
            _start(cluster, name, port)
            found[name] = COMPANIONS[name].url.format(host=HOST, port=port)
    return found


def ports(cluster: Cluster) -> dict[str, int]:
    """Ports of the companions: those behind the last node's."""
    used = [urlsplit(url).port or 0 for node in cluster.nodes for url in (node.rpc, node.peer)]
    return {name: max(used) + 1 + index for index, name in enumerate(COMPANIONS)}


def stop_companions(
    home: Path, children: Mapping[str, subprocess.Popen[bytes]] | None = None
) -> list[str]:
    """Stop all that run; gives their names. `children` are those of this process, to be reaped."""
    run_file = _run_file(home)
    names = sorted(run_file.alive())
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in run_file.alive().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while run_file.alive() and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for name in names:
        if children is not None and name in children:
            children[name].wait(STOP_TIMEOUT_S)
    run_file.path.unlink(missing_ok=True)
    return names


def _start(cluster: Cluster, name: str, port: int) -> None:
    home, run_file = cluster.home, _run_file(cluster.home)
    if name in run_file.alive():
        return
    holders = busy_ports(HOST, [port])
    if holders:
        raise Unavailable(Code.PORT_IN_USE, describe(holders), hint=f"{name} would listen there")
    folder = (home / "companions" / name).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    program = COMPANIONS[name].find()
    assert program is not None, "checked before the network started"
    log_path = folder / f"{name}.log"
    with log_path.open("wb") as log:
        child = subprocess.Popen(
            [program, *COMPANIONS[name].prepare(folder, port, cluster)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    cluster.children[name] = child
    started = Process(pid=child.pid, started=start_time(child.pid))
    run_file.save(Run({**run_file.read().processes, name: started}))
    deadline = time.monotonic() + START_TIMEOUT_S
    while not busy_ports(HOST, [port]):
        if child.poll() is not None or time.monotonic() > deadline:
            end = log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
            raise Unavailable(Code.NOT_READY, f"{name} did not start; its log ends:\n{end}")
        time.sleep(POLL_S)


def _run_file(home: Path) -> RunFile:
    return RunFile(home / RUN_FILE)
