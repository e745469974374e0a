"""A real PostgreSQL for tests: a cluster of its own in a folder of its own, not run by root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from node.testing.local_net import free_ports

VERSIONS = Path("/usr/lib/postgresql")
USER = "postgres"
TIMEOUT_S = 120


def find_postgres() -> Path | None:
    """Folder of the server's programs; None if it is not installed, or only root is there."""
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(USER)
        except KeyError:
            return None
        if shutil.which("runuser") is None:
            return None
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    folders = sorted(VERSIONS.glob("*/bin/initdb"), key=lambda path: path.parts[-3])
    return folders[-1].parent if folders else None


class Database:
    """A cluster on a free port; `with` starts and stops it."""

    def __init__(self, seed: int) -> None:
        programs = find_postgres()
        assert programs is not None, "postgresql is not installed"
        self._programs = programs
        self._folder = Path()
        self.port = free_ports(1, seed)

    @property
    def dsn(self) -> str:
        """How a client connects."""
        return f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"

    def __enter__(self) -> Self:
        # The server's user may not look into the folders that pytest makes for root.
        self._folder = Path(tempfile.mkdtemp(prefix="andon-postgres-"))
        if os.geteuid() == 0:
            shutil.chown(self._folder, USER)
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        log = str(self._folder / "log")
        data = str(self._folder / "data")
        self._run("pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", USER, "--", *command]
        subprocess.run(  # noqa: S603 - our own arguments
            command,
            cwd=self._folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
        )
