"""What a figure was measured on: printed with every benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from andon.cli.diagnosis import python_build

PACKAGES = ("aiohttp", "jax", "jaxlib", "lmdb", "msgpack", "msgspec", "numpy", "pynacl")


def conditions() -> dict[str, str]:
    """Processor, cores, memory, Python, package versions, commit, load at the start."""
    found = {
        "processor": processor(),
        "cores": str(os.cpu_count()),
        "memory": memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": python_build(),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "commit": commit(),
    }
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def processor() -> str:
    """The processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def memory() -> str:
    """Total memory in GiB."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.1f} GiB"


def commit() -> str:
    """Short commit id of the checkout, with a plus sign if it has changes."""
    root = Path(__file__).resolve().parent
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return head.stdout.strip()


def print_conditions() -> None:
    """Print the block."""
    print("conditions:")
    for name, value in conditions().items():
        print(f"  {name:10} {value}")
