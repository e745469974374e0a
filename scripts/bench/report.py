"""Figures of the network benchmark: lines to read, JSON to keep, a plot of phases."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from node.phases import PHASES
from scripts.bench.conditions import conditions
from scripts.bench.load import Result, percentile
from scripts.bench.usage import Usage

FOLDER = Path("out") / "bench"
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One run of one size at one rate."""

    scenario: str
    workload: str
    unit: str
    operations: int
    offered_per_s: float
    result: Result
    usage: Usage
    limit_per_s: float
    """The limit line around this run, in transactions a second."""

    @property
    def operations_per_s(self) -> float:
        """Committed calls or predictions a second."""
        return self.operations * self.result.committed_per_s

    def as_json(self) -> dict[str, object]:
        """Everything that was seen, without the single transactions."""
        result, usage = self.result, self.usage
        done = max(1, len(result.committed))
        latencies = {
            stage: {
                f"p{round(100 * share)}": percentile(result.latencies_ms(reached), share)
                for share in (0.5, 0.95, 0.99)
            }
            for stage, reached in (
                ("accepted_ms", result.accepted),
                ("final_ms", result.committed),
            )
        }
        return {
            "scenario": self.scenario,
            "workload": self.workload,
            "offered_per_s": self.offered_per_s,
            "offered": result.offered,
            "accepted": len(result.accepted),
            "committed": len(result.committed),
            "committed_per_s": result.committed_per_s,
            "limit_per_s": self.limit_per_s,
            f"{self.unit}_per_s": self.operations_per_s,
            "refused": result.refused,
            "latency": latencies,
            "blocks": result.blocks,
            "proposal_to_final_ms_p50": percentile(result.proposed_ms, 0.5),
            "block_bytes": result.block_bytes,
            "wire_bytes_per_transaction": usage.wire_bytes / done,
            "disk_bytes_per_transaction": usage.disk_bytes / done,
            "cpu_ms_per_transaction": 1000 * usage.cpu_total_s / done,
            "cpu_s": usage.cpu_s,
            "loop_lag_ms_p99": usage.lag_ms(0.99),
            "rss_mib": {name: size / MEBIBYTE for name, size in usage.rss_bytes.items()},
            "phase_ms_per_block": {
                phase: 1000 * usage.phase_s.get(phase, 0.0) / max(1, result.blocks)
                for phase in PHASES
            },
        }

    def print(self) -> None:
        """Two lines for a reader."""
        result, usage = self.result, self.usage
        final = result.latencies_ms(result.committed)
        accepted = result.latencies_ms(result.accepted)
        done = max(1, len(result.committed))
        refused = " ".join(f"{name} {count}" for name, count in sorted(result.refused.items()))
        print(
            f"  {self.scenario:<12} {self.workload:<13} offered {self.offered_per_s:7.1f}/s  "
            f"accepted {len(result.accepted)}/{result.offered}  "
            f"committed {result.committed_per_s:7.1f} tx/s = "
            f"{self.operations_per_s:8.0f} {self.unit}/s, "
            f"{result.committed_per_s / self.limit_per_s:.3f} of the limit line "
            f"{self.limit_per_s:.0f}/s"
        )
        print(
            f"  {'':<25} final p50 {percentile(final, 0.5):.0f} p95 {percentile(final, 0.95):.0f} "
            f"p99 {percentile(final, 0.99):.0f} ms, accepted p50 {percentile(accepted, 0.5):.0f} "
            f"p99 {percentile(accepted, 0.99):.0f} ms; "
            f"cpu {1000 * usage.cpu_total_s / done:.2f} ms/tx; "
            f"wire {usage.wire_bytes / done:.0f} B/tx, "
            f"disk {usage.disk_bytes / done:.0f} B/tx; {result.blocks} blocks, "
            f"{percentile(result.proposed_ms, 0.5):.0f} ms old when final; "
            f"loop lag p99 {usage.lag_ms(0.99):.0f} ms; "
            f"rss at most node {_of_kind(usage, ' node')} worker {_of_kind(usage, ' worker')} MiB; "
            f"refused: {refused or 'none'}",
            flush=True,
        )


def _of_kind(usage: Usage, ending: str) -> int:
    """Largest memory of the processes of one kind, in MiB."""
    sizes = [size for name, size in usage.rss_bytes.items() if name.endswith(ending)]
    return int(max(sizes, default=0) / MEBIBYTE)


@dataclass(slots=True)
class Report:
    """All figures of one run of the benchmark."""

    figures: list[Figure] = field(default_factory=list)
    extra: dict[str, object] = field(default_factory=dict)

    def add(self, figure: Figure) -> Figure:
        """Keep and print a figure."""
        self.figures.append(figure)
        figure.print()
        return figure

    def save(self) -> None:
        """Write JSON and the plot below `out/bench`."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        document = {
            "conditions": conditions(),
            "figures": [figure.as_json() for figure in self.figures],
            **self.extra,
        }
        (FOLDER / "network.json").write_text(json.dumps(document, indent=2) + "\n")
        plot_phases(self.figures, FOLDER / "network-phases.svg")
        print(f"  written: {FOLDER}/network.json, {FOLDER}/network-phases.svg")


def plot_phases(figures: list[Figure], path: Path) -> None:
    """Stacked bars: wall milliseconds a block by phase, summed over all nodes."""
    import matplotlib as mpl  # noqa: PLC0415 - only who plots needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    names = [
        f"{figure.scenario}\n{figure.workload}\n{figure.offered_per_s:.0f}/s" for figure in figures
    ]
    plot, axes = plt.subplots(figsize=(max(6, 1.1 * len(figures)), 5))
    bottom = [0.0] * len(figures)
    for phase in PHASES:
        heights = [
            1000 * figure.usage.phase_s.get(phase, 0.0) / max(1, figure.result.blocks)
            for figure in figures
        ]
        axes.bar(names, heights, bottom=bottom, label=phase)
        bottom = [low + high for low, high in zip(bottom, heights, strict=True)]
    axes.set_ylabel("wall ms a block, all nodes")
    axes.tick_params(axis="x", labelsize=6)
    axes.legend(fontsize=7)
    plot.tight_layout()
    plot.savefig(path)
    plt.close(plot)
