"""What the processes of a network use: processor, memory, disk, wire, and time by phase."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from node.testing.vitals import processes


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals at one moment; subtract two for what a run used."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    """By process, such as `node-1 worker`."""
    rss_bytes: dict[str, int] = field(default_factory=dict)
    disk_bytes: int = 0
    """Of all homes: what the file system has allocated."""
    wire_bytes: int = 0
    """Sent between nodes, all links."""
    phase_s: dict[str, float] = field(default_factory=dict)
    """Wall seconds by phase, over all nodes."""
    phase_count: dict[str, float] = field(default_factory=dict)
    lag_count: dict[float, float] = field(default_factory=dict)
    """Looks at all event loops that were at most so many seconds late."""

    def since(self, before: Usage) -> Usage:
        """What was used since `before`; memory is what it is now."""
        return Usage(
            cpu_s=_less(self.cpu_s, before.cpu_s),
            rss_bytes=self.rss_bytes,
            disk_bytes=self.disk_bytes - before.disk_bytes,
            wire_bytes=self.wire_bytes - before.wire_bytes,
            phase_s=_less(self.phase_s, before.phase_s),
            phase_count=_less(self.phase_count, before.phase_count),
            lag_count={
                bound: count - before.lag_count.get(bound, 0.0)
                for bound, count in self.lag_count.items()
            },
        )

    def lag_ms(self, share: float) -> float:
        """Upper bound of the event loops' lag in a share of all looks, by the histogram."""
        counts = sorted(self.lag_count.items())
        if not counts or not counts[-1][1]:
            return float("nan")
        wanted = share * counts[-1][1]
        return 1000 * next(bound for bound, count in counts if count >= wanted)

    @property
    def cpu_total_s(self) -> float:
        """Processor seconds of all processes."""
        return sum(self.cpu_s.values())


def measure(home: Path, urls: Iterable[str]) -> Usage:
    """Look at all processes whose command names a home below `home`, and at their metrics."""
    cpu: dict[str, float] = {}
    rss: dict[str, int] = {}
    for name, pid in processes(home):
        with_stat = _stat(pid)
        if with_stat is not None:
            cpu[name], rss[name] = with_stat
    phase_s: dict[str, float] = {}
    phase_count: dict[str, float] = {}
    lag_count: dict[float, float] = {}
    wire = 0
    for url in urls:
        wire += _scrape(url, phase_s, phase_count, lag_count)
    return Usage(cpu, rss, _disk(home), wire, phase_s, phase_count, lag_count)


def _stat(pid: int) -> tuple[float, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    numbers = text.rsplit(")", 1)[1].split()
    seconds = (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(numbers[21]) * os.sysconf("SC_PAGE_SIZE")


def _disk(home: Path) -> int:
    total = 0
    for path in home.glob("*/data/**/*"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue  # a file that was renamed or removed meanwhile
    return total


def _scrape(
    url: str,
    phase_s: dict[str, float],
    phase_count: dict[str, float],
    lag_count: dict[float, float],
) -> int:
    try:
        with urllib.request.urlopen(url + "/metrics", timeout=5) as reply:  # noqa: S310 - loopback
            text = reply.read().decode()
    except OSError:
        return 0  # a node that the scenario has killed
    sent = 0.0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            phase = sample.labels.get("phase", "")
            if sample.name == "andon_phase_seconds_sum":
                phase_s[phase] = phase_s.get(phase, 0.0) + sample.value
            elif sample.name == "andon_phase_seconds_count":
                phase_count[phase] = phase_count.get(phase, 0.0) + sample.value
            elif sample.name == "andon_event_loop_lag_seconds_bucket":
                bound = float(sample.labels["le"])
                lag_count[bound] = lag_count.get(bound, 0.0) + sample.value
            elif sample.name == "cometbft_p2p_peer_send_bytes_total":
                sent += sample.value
    return int(sent)


def _less(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}
