"""The checks of `andon doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import stat
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from andon.cli.status import Row

FREE_BYTES_MIN = 2 * 1024**3
FREE_SHARE_MIN = 0.1
MEMORY_BYTES_MIN = 2 * 1024**3
FILES_MIN = 1024
CPUS_MIN = 2
WRITES = 7
WRITE_MS_MAX = 50
CLOCK_OFF_S_MAX = 1
"""Between whole seconds of two clocks that agree."""
BEHIND_MAX = 20
TIP_AGE_S_MAX = 60
PACKAGES = ("andon", "aiohttp", "msgspec", "msgpack", "pynacl", "lmdb", "jax", "jaxlib", "numpy")
PRIVATE_FILES = ("keys/*", "sign_state*", "config.toml")
_PRIVATE = stat.S_IRWXG | stat.S_IRWXO
_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; `advice` says what to do if it is not ok."""

    name: str
    is_ok: bool
    seen: str
    advice: str = ""


def check_machine(folder: Path) -> list[Finding]:
    """Look at this machine; `folder` is where the data shall lie."""
    disk = shutil.disk_usage(folder)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = _memory_available()
    return [
        Finding(
            "python",
            (3, 11) <= sys.version_info[:2] < (3, 14),
            python_build(),
            "use Python 3.11 to 3.13",
        ),
        Finding(
            "disk",
            disk.free >= max(FREE_BYTES_MIN, int(FREE_SHARE_MIN * disk.total)),
            f"{disk.free // 2**20} MiB free of {disk.total // 2**20}",
            f"free 2 GiB and {FREE_SHARE_MIN:.0%}: below it a node counts as not ready",
        ),
        _durable_write(folder),
        Finding(
            "memory",
            memory is None or memory >= MEMORY_BYTES_MIN,
            "unknown" if memory is None else f"{memory // 2**20} MiB available",
            "a node with its worker wants 2 GiB",
        ),
        Finding("open files", files >= FILES_MIN, str(files), f"ulimit -n {FILES_MIN}"),
        Finding("processors", cpus >= CPUS_MIN, str(cpus), "a node with its worker wants two"),
        _clock(),
        Finding("packages", is_ok=True, seen=_versions()),
    ]


def python_build() -> str:
    """Version of the interpreter, and whether its build was optimised.

    One built from source without it, as `pyenv install` does unless told, takes up to twice as
    long for everything that a node does.
    """
    version = platform.python_version()
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    # Distributions optimise by their own means and say nothing of it.
    if "--enable-optimizations" in arguments or "--prefix=/usr'" in arguments:
        return version
    return f"{version}, built without --enable-optimizations: slow"


def check_home(home: Path) -> list[Finding]:
    """Look at the files of one node, running or not."""
    found = [path for pattern in PRIVATE_FILES for path in sorted(home.glob(pattern))]
    wide = [path.name for path in found if path.stat().st_mode & _PRIVATE]
    missing = [
        name for name in ("config.toml", "genesis.json", "keys") if not (home / name).exists()
    ]
    kind = _file_system(home)
    has_voted = (home / "keys" / "validator.key").exists() and (home / "data" / "chain").exists()
    return [
        Finding(
            f"{home.name}: files",
            not missing,
            f"no {', '.join(missing)}" if missing else "all there",
            "this is no home of a node, or somebody deleted from it",
        ),
        Finding(
            f"{home.name}: modes",
            not wide,
            f"open to others: {', '.join(wide)}" if wide else "private",
            f"chmod -R go= {home}",
        ),
        Finding(
            f"{home.name}: sign state",
            not has_voted or (home / "sign_state").exists(),
            "there" if (home / "sign_state").exists() else "missing",
            "do not start it: docs/operator.md, The signer refuses",
        ),
        Finding(
            f"{home.name}: file system",
            kind not in _NETWORK_FILE_SYSTEMS,
            kind or "unknown",
            "LMDB's locks and memory maps need a local disk",
        ),
        Finding(
            f"{home.name}: left behind",
            not any((home / name).exists() for name in ("suspect", "crash")),
            ", ".join(name for name in ("suspect", "crash") if (home / name).exists()) or "nothing",
            "the last process ended over damage or crashed: see logs/, the next start checks",
        ),
    ]


def check_nodes(rows: list[Row]) -> list[Finding]:
    """Compare what nodes say of themselves with each other and with this machine's clock."""
    answers = [(row, row.reply) for row in rows if row.reply is not None]
    findings = [
        Finding(
            row.url,
            is_ok=False,
            seen=f"no answer: {row.reason}",
            advice="is it started, is the port open?",
        )
        for row in rows
        if row.reply is None
    ]
    top = max((int(str(reply["height"])) for _, reply in answers), default=0)
    for row, reply in answers:
        reasons = reply.get("not_ready")
        why = "; ".join(map(str, reasons)) if isinstance(reasons, list) else ""
        findings.append(Finding(f"{row.url} ready", not why, why or "yes", "docs/operator.md"))
        behind = top - int(str(reply["height"]))
        findings.append(
            Finding(
                f"{row.url} height",
                behind <= BEHIND_MAX,
                f"{reply['height']}, {behind} behind",
                "see: A node does not catch up",
            )
        )
        if row.clock_off_s is not None:
            findings.append(
                Finding(
                    f"{row.url} clock",
                    abs(row.clock_off_s) <= CLOCK_OFF_S_MAX,
                    f"{row.clock_off_s:+.0f} s",
                    "run chrony or the like on both: a block with a wrong time is refused",
                )
            )
    for field, advice in (
        ("genesis_hash", "these are different networks"),
        ("version", "upgrade one after the other, then all are the same"),
    ):
        said = sorted({str(reply.get(field)) for _, reply in answers})
        if said:
            findings.append(
                Finding(field.replace("_", " "), len(said) == 1, ", ".join(said)[:100], advice)
            )
    if answers:
        newest = max(int(str(reply["time_ms"])) for _, reply in answers) / 1000
        age = time.time_ns() / 1e9 - newest
        findings.append(
            Finding(
                "last block",
                age <= TIP_AGE_S_MAX,
                f"{age:.0f} s ago",
                "see: The chain stands still",
            )
        )
    return findings


def _durable_write(folder: Path) -> Finding:
    """How long a small durable write takes: every block and every vote waits for one."""
    times: list[float] = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".andon-doctor-") as file:
            for _ in range(WRITES):
                began = time.perf_counter()
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
                times.append(1000 * (time.perf_counter() - began))
    except OSError as error:
        return Finding(
            "durable write", is_ok=False, seen=str(error), advice="the folder has to be writable"
        )
    middle = statistics.median(times)
    return Finding(
        "durable write",
        middle <= WRITE_MS_MAX,
        f"{middle:.1f} ms (median of {WRITES})",
        "every vote waits for one: use a local solid-state disk",
    )


def _clock() -> Finding:
    """Whether somebody keeps the clock: blocks with a time too far off are refused."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    said = _ask("timedatectl", "show", "--property=NTPSynchronized", "--value")
    if said is None:
        said = "yes" if "Normal" in (_ask("chronyc", "tracking") or "") else None
    if said is None:
        return Finding("clock", is_ok=True, seen=f"{now}; nothing here says whether it is kept")
    kept = said == "yes"
    return Finding("clock", kept, f"{now}, {'kept' if kept else 'not kept'}", "run chrony")


def _ask(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - commands of this file
            command, capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _memory_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = (line.split() for line in lines if line.startswith("MemAvailable:"))
    return next((1024 * int(words[1]) for words in found), None)


def _file_system(folder: Path) -> str:
    """Type of the file system below a folder, as the kernel names it."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    resolved = folder.resolve()
    points = [line.split()[1:3] for line in mounts]
    below = [(point, kind) for point, kind in points if resolved.is_relative_to(point)]
    return max(below, key=lambda item: len(item[0]), default=("", ""))[1]


def _versions() -> str:
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} -")
    return ", ".join(versions)
