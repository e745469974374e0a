"""What the processes of a local network hold: memory, open files, and whether it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NODE, WORKER = "node", "worker"
WARM_UP_S = 2 * 3600.0
"""A soak sends some ten transactions a second: its state's 65,536 entries fill in 112 minutes."""
SETTLED_S_MIN = 15 * 60.0
"""Over less than this, what allocators do decides the slope."""
_COMPANIONS = "companions"
"""A broker or a Prometheus beside the network."""


def processes(home: Path) -> list[tuple[str, int]]:
    """Names, such as `node-1 worker`, and numbers of processes with a home below `home`."""
    found: list[tuple[str, int]] = []
    prefix = str(home.resolve())
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except (OSError, UnicodeDecodeError):
            continue  # the process ended while we looked
        place = next((word for word in words if word.startswith(prefix + "/")), None)
        if place is None:
            continue
        name = place.removeprefix(prefix + "/").split("/")[0]
        if name == _COMPANIONS:
            continue
        kind = WORKER if "models.worker" in words else NODE
        found.append((f"{name} {kind}", int(entry.name)))
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Held:
    """What one process has at one moment."""

    name: str
    pid: int
    anonymous_bytes: int
    """Memory that no file stands behind: without the pages of the database."""
    files: int
    """Open descriptors: files, sockets, pipes."""


def look(home: Path) -> list[Held]:
    """What all processes of a network hold now, by name."""
    found = []
    for name, pid in processes(home):
        try:
            files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
            found.append(Held(name, pid, _anonymous_bytes(pid), files))
        except OSError:
            continue  # the process ended while we looked
    return found


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares growth an hour of (seconds, amount) over the later half of the points.

    The first half is when caches fill.
    """
    return _fit_per_hour(points[len(points) // 2 :])


def settled_slope_per_hour(points: Sequence[tuple[float, float]]) -> float | None:
    """Growth an hour once caches are full: after WARM_UP_S of a process's life.

    None if less than SETTLED_S_MIN of it is left: what still fills and what leaks look alike then.
    """
    begun_s = points[0][0] if points else 0.0
    settled = [(at, amount) for at, amount in points if at - begun_s >= WARM_UP_S]
    if not settled or settled[-1][0] - settled[0][0] < SETTLED_S_MIN:
        return None
    return _fit_per_hour(settled)


def _fit_per_hour(points: Sequence[tuple[float, float]]) -> float:
    mean_x = sum(at for at, _ in points) / max(1, len(points))
    mean_y = sum(amount for _, amount in points) / max(1, len(points))
    spread = sum((at - mean_x) ** 2 for at, _ in points)
    if not spread:
        return 0.0
    return 3600 * sum((at - mean_x) * (amount - mean_y) for at, amount in points) / spread


def _anonymous_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next((row for row in text.splitlines() if row.startswith("RssAnon:")), None)
    return 1024 * int(line.split()[1]) if line is not None else 0
