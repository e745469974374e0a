"""A network on this machine as its launcher left it: nodes, accounts, process ids.

`network.json` says what the network is (written once, by `node.local_network`), `run.json` which
processes run now. Process ids carry their start time, so that a reused id is never signalled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from andon.core.errors import Code, InvalidInput

MANIFEST_FILE = "network.json"
RUN_FILE = "run.json"
GENESIS_FILE = "genesis.json"
_PROC = Path("/proc/self/stat")


class NodeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One node; `home` is relative to the network's folder."""

    name: str
    home: str
    organisation: str
    rpc: str
    peer: str
    validator_key: str


class AccountEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One member account; `key_file` is relative to the network's folder."""

    name: str
    organisation: str
    roles: list[str]
    key_file: str
    public: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the network is."""

    chain_id: str
    genesis_hash: str
    nodes: list[NodeEntry]
    accounts: list[AccountEntry]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A running node; `started` is the kernel's start time in ticks."""

    pid: int
    started: int


class Run(msgspec.Struct, frozen=True):
    """Processes by name."""

    processes: dict[str, Process] = {}


@dataclass(frozen=True, slots=True)
class RunFile:
    """Which processes a launcher has started."""

    path: Path

    def read(self) -> Run:
        """Processes as last written."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Run)
        except (OSError, msgspec.MsgspecError):
            return Run()

    def save(self, run: Run) -> None:
        """Write the processes, whole or not at all."""
        part = self.path.with_name(self.path.name + ".part")
        part.write_bytes(msgspec.json.encode(run) + b"\n")
        part.replace(self.path)

    def alive(self) -> dict[str, int]:
        """Process ids of those that run now, by name."""
        return {
            name: process.pid
            for name, process in self.read().processes.items()
            if start_time(process.pid) == process.started
        }


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A prepared network in a folder."""

    home: Path
    manifest: Manifest

    def node(self, name: str) -> NodeEntry:
        """Find a node by name or number.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        for number, node in enumerate(self.manifest.nodes, start=1):
            if name in (node.name, str(number)):
                return node
        names = ", ".join(node.name for node in self.manifest.nodes)
        raise InvalidInput(Code.NOT_FOUND, f"there is no node {name!r}", hint=f"nodes: {names}")

    def run(self) -> Run:
        """Processes as last written."""
        return self._run_file().read()

    def save_run(self, run: Run) -> None:
        """Write the processes, whole or not at all."""
        self._run_file().save(run)

    def alive(self) -> dict[str, int]:
        """Process ids of the nodes that run now, by name."""
        return self._run_file().alive()

    def _run_file(self) -> RunFile:
        return RunFile(self.home / RUN_FILE)

    def account(self, name: str) -> AccountEntry:
        """Find an account by name, or the first one with that role.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        for account in self.manifest.accounts:
            if account.name == name:
                return account
        for account in self.manifest.accounts:
            if name in account.roles:
                return account
        raise InvalidInput(
            Code.NOT_FOUND, f"there is no account or role {name!r}", hint="see `andon keys list`"
        )


def load_network(home: Path) -> LocalNetwork:
    """Read a prepared network.

    Raises:
        InvalidInput: NOT_FOUND if there is none, BAD_CONFIG if its file is damaged.
    """
    path = home / MANIFEST_FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise InvalidInput(
            Code.NOT_FOUND,
            f"there is no network in {home}",
            hint="`andon up` makes one; --home or --node URL name another",
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"cannot read {path}: {error}") from None
    return LocalNetwork(home, manifest)


def start_time(pid: int) -> int:
    """Start time of a process in ticks since boot; 0 if it does not run.

    Without /proc (macOS) it is 1 for every process that runs: a reused id is then not told apart.
    """
    if not _PROC.exists():
        try:
            os.kill(pid, 0)
        except OSError:
            return 0
        return 1
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The command in parentheses may hold spaces; fields count from behind it.
    fields = stat.rsplit(")", 1)[-1].split()
    return 0 if fields[0] == "Z" else int(fields[19])
