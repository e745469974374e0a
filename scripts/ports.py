"""Who holds a TCP port: told before a network starts, not guessed after it failed."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """A busy port; `pid` is 0 where the owner cannot be seen (another user's process)."""

    port: int
    pid: int
    command: str

    def __str__(self) -> str:
        who = (
            f"pid {self.pid} ({self.command})"
            if self.pid
            else "a process that this user cannot see"
        )
        return f"port {self.port} is held by {who}"


def describe(holders: list[Holder]) -> str:
    """One line a process, with all ports that it holds."""
    ports: dict[tuple[int, str], list[int]] = {}
    for holder in holders:
        ports.setdefault((holder.pid, holder.command), []).append(holder.port)
    lines = []
    for (pid, command), held in ports.items():
        who = f"pid {pid} ({command})" if pid else "a process that this user cannot see"
        plural = "ports" if len(held) > 1 else "port"
        verb = "are" if len(held) > 1 else "is"
        lines.append(f"{plural} {', '.join(map(str, sorted(held)))} {verb} held by {who}")
    return "\n  ".join(lines)


def busy_ports(host: str, ports: list[int]) -> list[Holder]:
    """Holders of those `ports` that cannot be listened on."""
    busy = [port for port in ports if not _is_free(host, port)]
    if not busy:
        return []
    owners = _owners(_inodes(busy))
    return [Holder(port, *owners.get(port, (0, ""))) for port in busy]


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _inodes(ports: list[int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == _LISTEN and port in ports:
                found[f"socket:[{fields[9]}]"] = port
    return found


def _owners(inodes: dict[str, int]) -> dict[int, tuple[int, str]]:
    owners: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        for link in _links(folder / "fd"):
            if link in inodes:
                owners[inodes[link]] = (int(folder.name), _command(folder))
    return owners


def _links(folder: Path) -> list[str]:
    links: list[str] = []
    try:
        for entry in folder.iterdir():
            # Descriptors come and go while we look.
            with contextlib.suppress(OSError):
                links.append(str(entry.readlink()))
    except OSError:
        return []
    return links


def _command(folder: Path) -> str:
    try:
        raw = (folder / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:80]
