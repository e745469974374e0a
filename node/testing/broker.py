"""A real Mosquitto for tests and campaigns: a process of its own with its files in a folder."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Self

from node.testing.local_net import free_ports

BINARIES = ("/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto")
START_S = 10.0
POLL_S = 0.05
AUTOSAVE_S = 1
"""What the broker has acknowledged and not yet saved is lost when it is killed."""


def find_mosquitto() -> str | None:
    """Path of the broker's program; None if it is not installed."""
    found = shutil.which("mosquitto")
    if found is not None:
        return found
    return next((path for path in BINARIES if Path(path).exists()), None)


class Broker:
    """A broker on a free port that queues without limit and keeps sessions on disk.

    `listener` are lines of its configuration that belong to the listener, as for TLS.
    """

    def __init__(self, folder: Path, seed: int, listener: str = "allow_anonymous true\n") -> None:
        self._folder = folder
        self._listener = listener
        self.port = free_ports(1, seed)
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and wait until it listens."""
        program = find_mosquitto()
        assert program is not None, "mosquitto is not installed"
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            f"{self._listener}"
            "max_queued_messages 0\n"
            "max_inflight_messages 4000\n"
            "persistence true\n"
            f"persistence_location {self._folder}/\n"
            f"autosave_interval {AUTOSAVE_S}\n"
            "user root\n"
        )
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(config), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(POLL_S)
                    continue
                writer.close()
                await writer.wait_closed()
                return

    async def kill(self) -> None:
        """End it with SIGKILL: what it has not saved is lost."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End it; sessions and queued messages stay on disk."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
