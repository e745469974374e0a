"""Whole nodes on a disk that refuses: EIO and ENOSPC of single system calls, and a full disk.

A node that is a network by itself runs under strace, which lets the nth write or flush fail, or
on a small tmpfs that fills up. It must end by itself and name the storage, and a start on a disk
that works again must have every block that it showed and go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.client import AsyncClient
from andon.core.errors import AndonError
from andon.core.genesis import Params
from node.checkout import CHECKOUT
from node.config import Home, load_config
from node.local_network import LOOPBACK, Plan, prepare
from node.testing.local_net import free_ports

CALLS = {"pwrite64": (3, 220), "writev": (1, 60), "fdatasync": (3, 80), "fsync": (1, 10)}
"""System calls that make things durable, and which of them may fail: from the start to blocks.

strace counts them by thread, and the one that opens a home makes ten `fsync`."""
ERRORS = ("EIO", "ENOSPC")
END_S = 30.0
AGAIN_S = 30.0
WATCH_S = 0.02
MORE_BLOCKS = 3
STATUS_STORAGE = 3
DISK_MIB, LARGER_MIB, ROOM_BYTES = 16, 64, 128 * 1024


@dataclass(frozen=True, slots=True)
class Refusal:
    """The nth call, or also all after it, fails with an error."""

    call: str
    error: str
    nth: int
    is_lasting: bool

    def command(self) -> tuple[str, ...]:
        """What to put before the node's command."""
        when = f"{self.nth}{'+' if self.is_lasting else ''}"
        inject = f"inject={self.call}:error={self.error}:when={when}"
        quiet = ("strace", "-f", "-qq", "-o", "/dev/null", "--seccomp-bpf")
        return (*quiet, "-e", f"trace={self.call}", "-e", inject)

    def __str__(self) -> str:
        return f"{self.error} of {self.call} {self.nth}{' and after' if self.is_lasting else ''}"


def draw_refusal(draw: random.Random) -> Refusal:
    """Draw a call, an error and a moment."""
    call = draw.choice(sorted(CALLS))
    return Refusal(call, draw.choice(ERRORS), draw.randint(*CALLS[call]), draw.random() < 0.5)


async def run_refusal(refusal: Refusal, folder: Path, seed: int) -> list[str]:
    """Let one call of one node fail; gives what should not have been."""
    home = make_node(folder, seed)
    return await _end_and_go_on(home, str(refusal), under=refusal.command())


def can_mount() -> bool:
    """Tell whether a small disk can be had: only root may mount one."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


async def run_full_disk(folder: Path, seed: int) -> list[str]:
    """Run a node on a disk that fills up, then make the disk larger."""
    with _small_disk(folder) as grow:
        home = make_node(folder / "net", seed, idle_block_ms=20)
        return await _end_and_go_on(
            home, "a full disk", code="STORAGE_FULL", harm=lambda: _fill(folder), repair=grow
        )


def make_node(folder: Path, seed: int, idle_block_ms: int = 50) -> Home:
    """Make the home of one validator that is a network by itself."""
    prepare(
        Plan(
            home=folder,
            validators=1,
            seed=seed,
            base_port=free_ports(2, seed),
            worker_backend="none",
            params=Params(idle_block_ms=idle_block_ms),
        )
    )
    return Home(folder / "node-1")


async def _end_and_go_on(
    home: Home,
    name: str,
    *,
    code: str = "STORAGE_",
    under: Sequence[str] = (),
    harm: Callable[[], object] | None = None,
    repair: Callable[[], object] | None = None,
) -> list[str]:
    found: list[str] = []
    process = await _start(home, under)
    async with _watching(home) as seen:
        if harm is not None:
            await _until(lambda: seen.last >= MORE_BLOCKS or process.returncode is not None)
            harm()
        output = await _ended(process)
    if process.returncode != STATUS_STORAGE or code not in output or "Traceback" in output:
        found.append(f"{name}: ended with {process.returncode}: {output[-500:]}")
    if repair is not None:
        repair()
    process = await _start(home)
    async with _watching(home) as again:
        wanted = seen.last + MORE_BLOCKS
        await _until(lambda: again.last >= wanted or process.returncode is not None)
    if process.returncode is None:
        process.terminate()
    output = await _ended(process)
    if process.returncode != 0 or again.last < wanted:
        found.append(f"{name}: then at {again.last} of {wanted}, {process.returncode}: {output}")
    if again.first is not None and again.first < seen.last:
        found.append(f"{name}: block {seen.last} was shown, then the chain stood at {again.first}")
    return found


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + AGAIN_S
    while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110 - a process is watched
        await asyncio.sleep(WATCH_S)


async def _start(home: Home, under: Sequence[str] = ()) -> asyncio.subprocess.Process:
    command = (*under, sys.executable, "-m", "node", "--home", str(home.path))
    return await asyncio.create_subprocess_exec(
        *command,
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        start_new_session=True,
    )


async def _ended(process: asyncio.subprocess.Process) -> str:
    try:
        async with asyncio.timeout(END_S):
            output, _ = await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # strace and the node below it
        await process.wait()
        return f"it did not end within {END_S} s"
    return output.decode(errors="replace")


@dataclass(slots=True)
class _Heights:
    first: int | None = None
    last: int = 0


@contextlib.asynccontextmanager
async def _watching(home: Home) -> AsyncIterator[_Heights]:
    """Note the heights that a node shows: what it shows, it has to keep."""
    seen = _Heights()

    async def watch() -> None:
        async with AsyncClient(
            f"http://{LOOPBACK}:{load_config(home).rpc_port}", timeout_ms=2000
        ) as client:
            while True:
                with contextlib.suppress(AndonError):
                    seen.last = int((await client.status()).height)
                    seen.first = seen.last if seen.first is None else seen.first
                await asyncio.sleep(WATCH_S)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        try:
            yield seen
        finally:
            watching.cancel()


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[Callable[[], object]]:
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder))
    try:
        yield lambda: _run("mount", "-o", f"remount,size={LARGER_MIB}m", str(folder))
    finally:
        _run("umount", "-l", str(folder))


def _fill(folder: Path) -> None:
    """Leave little room: some more blocks fit."""
    free = shutil.disk_usage(folder).free
    (folder / "filler").write_bytes(bytes(max(0, free - ROOM_BYTES)))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ours
