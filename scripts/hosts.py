"""Four hosts on one machine: a network namespace each, real interfaces, partitions by cable.

Run by `python -m scripts.hosts`. Needs Linux with user namespaces (no root): the script runs
itself again inside `unshare`, where it may make a switch (a bridge), four hosts (namespaces) and
cables (veth pairs). It starts one validator a host with the homes that the genesis ceremony makes,
and then: all have blocks; one cable is pulled and the other three go on; it is plugged in and the
fourth catches up; two and two hosts are put on separate switches and nobody goes on; they are
joined again and all go on, with the same blocks. Prints what happened; exits 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.core.genesis import Params
from node.config import Config, Home, render_config
from scripts import ceremony

ROOT = Path(__file__).resolve().parent.parent
INSIDE = "ANDON_HOSTS_INSIDE"
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork")
UNSHARE_MORE = ("--kill-child", "--mount-proc")
HOSTS = 4
PEER_PORT = 26656
RPC_PORT = 26657
START_S = 60.0
STEP_S = 45.0
QUIET_S = 4.0
IDLE_BLOCK_MS = 300
POLL_S = 0.5
ASK = (
    "import json, sys, urllib.request as r\n"
    "b = json.dumps({'jsonrpc': '2.0', 'id': 1, 'method': sys.argv[2], "
    "'params': json.loads(sys.argv[3])}).encode()\n"
    "q = r.Request(sys.argv[1], b, {'Content-Type': 'application/json'})\n"
    "print(r.urlopen(q, timeout=4).read().decode())\n"
)


class Unexpected(Exception):
    """The network did something else than it should."""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace with one interface; `index` counts from 0."""

    index: int

    @property
    def name(self) -> str:
        """Name of the namespace."""
        return f"host{self.index}"

    @property
    def address(self) -> str:
        """Its address in the network of the switch."""
        return f"10.77.0.{self.index + 1}"

    @property
    def cable(self) -> str:
        """The end of its cable at the switch."""
        return f"port{self.index}"

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs inside the host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *arguments]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the scenario; 0 if all was as it should be."""
    parser = argparse.ArgumentParser(description="four hosts in network namespaces")
    parser.add_argument("--backend", default="none", help="worker backend of the nodes")
    options = parser.parse_args(arguments)
    if not is_possible():
        print("hosts: this machine has no user namespaces or lacks unshare, nsenter or ip")
        return 2
    if INSIDE not in os.environ:
        again = [sys.executable, "-m", "scripts.hosts", "--backend", options.backend]
        environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(ROOT)}
        command = [*UNSHARE, *UNSHARE_MORE, *again]
        return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="andon-hosts-") as folder:
        world = World(Path(folder), options.backend)
        try:
            world.build()
            scenario(world)
        except Unexpected as error:
            print(f"hosts: FAILED: {error}")
            world.show_logs()
            return 1
        finally:
            world.stop()
    return 0


def is_possible() -> bool:
    """Tell whether namespaces may be made here."""
    if not all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip")):
        return False
    if INSIDE in os.environ:
        return True
    trial = ["ip", "link", "add", "trial", "type", "bridge"]
    return subprocess.run([*UNSHARE, *trial], capture_output=True, check=False).returncode == 0


class World:
    """Two switches, hosts with cables, and the validators on them."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.hosts = [Host(index) for index in range(HOSTS)]
        self._folder = folder
        self._backend = backend
        self._nodes: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        """Make switches, hosts and homes, and start the validators."""
        sh("mount", "-t", "tmpfs", "tmpfs", "/run")
        for switch in ("switch0", "switch1"):
            sh("ip", "link", "add", switch, "type", "bridge")
            sh("ip", "link", "set", switch, "up")
        for host in self.hosts:
            inner = f"eth{host.index}"
            sh("ip", "netns", "add", host.name)
            sh("ip", "link", "add", host.cable, "type", "veth", "peer", "name", inner)
            sh("ip", "link", "set", inner, "netns", host.name)
            sh(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", inner))
            sh(*host.command("ip", "link", "set", inner, "up"))
            sh(*host.command("ip", "link", "set", "lo", "up"))
            self.plug(host, "switch0")
        net = self._folder / "net"
        addresses = [f"{host.address}:{PEER_PORT}" for host in self.hosts]
        params = Params(idle_block_ms=IDLE_BLOCK_MS)
        ceremony.make_trial(net, "andon-hosts", addresses, params)
        config = Config(
            peer_host="0.0.0.0",  # noqa: S104 - the host is a namespace of our own
            peer_port=PEER_PORT,
            rpc_port=RPC_PORT,
            worker_backend=self._backend,
        )
        for host in self.hosts:
            home = Home(net / f"validator-{host.index}")
            home.config.write_text(render_config(config), encoding="utf-8")
            command = host.command(sys.executable, "-m", "node", "--home", str(home.path))
            with (self._folder / f"{host.name}.out").open("wb") as out:
                self._nodes.append(
                    subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
                )

    def plug(self, host: Host, switch: str) -> None:
        """Put a host's cable into a switch."""
        sh("ip", "link", "set", host.cable, "master", switch)
        sh("ip", "link", "set", host.cable, "up")

    def pull(self, host: Host) -> None:
        """Pull a host's cable."""
        sh("ip", "link", "set", host.cable, "down")

    def ask(self, host: Host, method: str, **params: object) -> dict[str, object]:
        """Call a node's RPC from its own host. Raises Unexpected if it does not answer."""
        url = f"http://127.0.0.1:{RPC_PORT}/rpc"
        command = host.command(sys.executable, "-c", ASK, url, method, json.dumps(params))
        done = subprocess.run(command, capture_output=True, check=False)
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
        if "result" not in answer:
            raise Unexpected(f"{host.name}: {method} gives {done.stderr[-200:]!r} {answer}")
        result: dict[str, object] = answer["result"]
        return result

    def height(self, host: Host) -> int:
        """Last final height of a host; -1 if it does not answer."""
        try:
            return int(str(self.ask(host, "status")["height"]))
        except Unexpected:
            return -1

    def stop(self) -> None:
        """End all validators."""
        for process in self._nodes:
            process.terminate()
        for process in self._nodes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()

    def show_logs(self) -> None:
        """Print the last lines of every node."""
        for path in sorted([*self._folder.glob("*.out"), *self._folder.rglob("node.log")]):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
            print(f"--- {path.relative_to(self._folder)}", *lines, sep="\n")


def scenario(world: World) -> None:
    """Pull cables and look. Raises Unexpected."""
    *three, fourth = world.hosts
    all_at(world, world.hosts, 3, START_S)
    note(world, "all four have blocks")

    world.pull(fourth)
    alone = world.height(fourth)
    all_at(world, three, max(map(world.height, three)) + 5, STEP_S)
    note(world, "cable of host3 pulled: the others go on")
    if world.height(fourth) > alone + 2:
        raise Unexpected("host3 goes on without a cable")

    world.plug(fourth, "switch0")
    all_at(world, [fourth], max(map(world.height, three)), STEP_S)
    note(world, "cable plugged in: host3 has caught up")

    for host in world.hosts[2:]:
        world.plug(host, "switch1")
    time.sleep(2.0)
    before = [world.height(host) for host in world.hosts]
    time.sleep(QUIET_S)
    after = [world.height(host) for host in world.hosts]
    if max(after) > max(before) + 1:
        raise Unexpected(f"two of four go on: {before} to {after}")
    note(world, "two and two on separate switches: nobody goes on")

    for host in world.hosts[2:]:
        world.plug(host, "switch0")
    target = max(after) + 5
    all_at(world, world.hosts, target, STEP_S)
    hashes = {str(world.ask(host, "block", height=str(target))["hash"]) for host in world.hosts}
    if len(hashes) != 1:
        raise Unexpected(f"different blocks at height {target}: {sorted(hashes)}")
    note(world, f"joined again: all go on, one block at height {target}")


def all_at(world: World, hosts: Sequence[Host], height: int, limit_s: float) -> None:
    """Wait until all hosts have a height. Raises Unexpected."""
    wait_for(
        lambda: all(world.height(host) >= height for host in hosts),
        limit_s,
        f"{', '.join(host.name for host in hosts)} at height {height}",
    )


def wait_for(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Poll a condition. Raises Unexpected when the time is over."""
    end_s = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end_s:
            raise Unexpected(f"not within {limit_s:.0f} s: {what}")
        time.sleep(POLL_S)


def note(world: World, text: str) -> None:
    """Print what was seen, with the heights."""
    heights = ", ".join(str(world.height(host)) for host in world.hosts)
    print(f"hosts: {text} (heights {heights})", flush=True)


def sh(*command: str) -> None:
    """Run a command of the system. Raises Unexpected if it fails."""
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise Unexpected(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-300:]}")


if __name__ == "__main__":
    sys.exit(main())
