"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

ALERTS_SHOWN = 6
ROWS_SHOWN = 16
REFRESH_PER_S = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The last committed prediction of one machine."""

    machine: str
    cycle: int
    rul: float
    truth: float
    votes: int
    validators: int
    height: int
    latency_ms: int


@dataclass(slots=True)
class View:
    """Steps, table and alerts of one run. Use as `with`."""

    console: Console
    rows: dict[str, Row] = field(default_factory=dict)
    alerts: deque[str] = field(default_factory=lambda: deque(maxlen=ALERTS_SHOWN))
    votes: dict[int, int] = field(default_factory=dict)
    """How many predictions have how many votes, as counted a block later."""
    note: str = ""
    committed: int = 0
    _began: float = field(default_factory=time.monotonic)
    _live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(
                self._render(), console=self.console, refresh_per_second=REFRESH_PER_S
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.update(self._render())
            self._live.stop()
            self._live = None

    def step(self, text: str) -> None:
        """Say what happens now."""
        self.note = text
        self.console.print(
            f"[bold cyan]{self._elapsed():>5.1f} s[/]  {text}", highlight=False, soft_wrap=True
        )
        self.refresh()

    def add(self, row: Row) -> None:
        """Show a committed prediction."""
        self.rows.pop(row.machine, None)
        self.rows[row.machine] = row
        while len(self.rows) > ROWS_SHOWN:
            del self.rows[next(iter(self.rows))]
        self.committed += 1
        if self._live is None:
            self.console.print(
                f"         {row.machine:<14} cycle {row.cycle:>4}  RUL {row.rul:>6.1f}  votes "
                f"{row.votes}/{row.validators}  height {row.height:>5}  {row.latency_ms:>5} ms",
                highlight=False,
                soft_wrap=True,
            )
        self.refresh()

    def update(self, row: Row) -> None:
        """Correct the votes of a prediction that is shown already."""
        shown = self.rows.get(row.machine)
        if shown is not None and shown.height == row.height:
            self.rows[row.machine] = row
        self.votes[row.votes] = self.votes.get(row.votes, 0) + 1
        self.refresh()

    def alert(self, text: str) -> None:
        """Show an alert of the contract."""
        self.alerts.append(text)
        if self._live is None:
            self.console.print(
                f"         [bold red]ALERT[/] {text}", highlight=False, soft_wrap=True
            )
        self.refresh()

    def refresh(self) -> None:
        """Draw again."""
        if self._live is not None:
            self._live.update(self._render())

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _render(self) -> Group:
        table = Table(expand=False, pad_edge=False)
        for name in ("machine", "cycle", "predicted RUL", "true", "votes", "height", "latency"):
            table.add_column(name, justify="left" if name == "machine" else "right")
        for row in sorted(self.rows.values(), key=lambda item: item.machine):
            table.add_row(
                row.machine,
                str(row.cycle),
                Text(f"{row.rul:.1f}", style=_colour(row.rul)),
                f"{row.truth:.0f}",
                f"{row.votes}/{row.validators}",
                str(row.height),
                f"{row.latency_ms} ms",
            )
        alerts = Text("\n".join(self.alerts) or "none yet", style="red" if self.alerts else "dim")
        return Group(
            Text(f"{self.committed} predictions committed; {self.note}", style="bold"),
            table,
            Panel(alerts, title="alerts of the contract", expand=False),
        )


def _colour(rul: float) -> str:
    return "bold red" if rul < 30 else "yellow" if rul < 60 else "green"
