"""`andon doctor`: what of this machine would keep a network from running well."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import shutil
import sys
import time
from dataclasses import dataclass

import click

from andon.cli.context import EXIT_ERROR, Context, end
from andon.core.json_value import Json

FREE_BYTES_MIN = 2 * 1024**3
FILES_MIN = 1024
CPUS_MIN = 2
PACKAGES = ("andon", "aiohttp", "msgspec", "msgpack", "pynacl", "lmdb", "jax", "jaxlib", "numpy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check; `advice` says what to do if it is not ok."""

    name: str
    is_ok: bool
    seen: str
    advice: str = ""


@click.command("doctor")
@click.pass_obj
def doctor_command(context: Context) -> None:
    """Check versions, disk, limits; exit 1 if something is wrong."""
    findings = check()
    rows: list[Json] = [
        {"name": f.name, "ok": f.is_ok, "seen": f.seen, "advice": f.advice} for f in findings
    ]
    lines = [
        f"{'ok  ' if f.is_ok else 'BAD '}{f.name:<14}{f.seen}"
        + ("" if f.is_ok else f"\n      {f.advice}")
        for f in findings
    ]
    context.show({"findings": rows}, "\n".join(lines))
    if not all(finding.is_ok for finding in findings):
        end(EXIT_ERROR)


def check() -> list[Finding]:
    """Look at this machine."""
    free = shutil.disk_usage(".").free
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    cpus = os.cpu_count() or 1
    now = time.gmtime()
    findings = [
        Finding(
            "python",
            (3, 11) <= sys.version_info[:2] < (3, 14),
            platform.python_version(),
            "use Python 3.11 to 3.13",
        ),
        Finding("disk", free >= FREE_BYTES_MIN, f"{free // 2**20} MiB free", "free 2 GiB"),
        Finding("open files", files >= FILES_MIN, str(files), f"ulimit -n {FILES_MIN}"),
        Finding("processors", cpus >= CPUS_MIN, str(cpus), "a network of four wants two or more"),
        Finding(
            "clock", now.tm_year >= 2025, time.strftime("%Y-%m-%d %H:%M:%S UTC", now), "set it"
        ),
    ]
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} -")
    findings.append(Finding("packages", True, ", ".join(versions)))  # noqa: FBT003 - a report
    return findings
