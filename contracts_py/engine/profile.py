"""Where gas goes: a count for each line of each contract, for authors; nodes never profile.

A block pays for its straight run when it is entered: that cost is given to the lines of its
statements. What a statement spends while it runs is given to its line, without what the statements
inside it were given. So the lines and what entering costs add up to the gas of the receipt.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts_py.engine.run import Locals, Run, Statement


@dataclass(slots=True)
class LineGas:
    """Gas of a line and how often it was reached."""

    gas: int = 0
    count: int = 0


@dataclass(slots=True)
class Profile:
    """Gas by contract and line; given to an `Engine`, it grows with every call."""

    lines: dict[tuple[str, int], LineGas] = field(default_factory=dict)
    _inner: int = 0

    def total(self) -> int:
        """Gas of all lines; entering a contract and checking its arguments come on top."""
        return sum(line.gas for line in self.lines.values())

    def enter(self, contract: str, costs: tuple[tuple[int, int], ...]) -> None:
        """Give the cost of a straight run to its lines: pairs of line and cost."""
        for number, cost in costs:
            self._line(contract, number).gas += cost
            self._inner += cost

    def traced(self, line: int, statement: Statement) -> Statement:
        """Wrap a statement so that what it spends is counted."""

        def execute(run: Run, local: Locals) -> int:
            outside, before = self._inner, run.gas
            self._inner = 0
            try:
                return statement(run, local)
            finally:
                spent = before - run.gas
                found = self._line(run.name, line)
                found.gas += spent - self._inner
                found.count += 1
                self._inner = outside + spent

        return execute

    def _line(self, contract: str, number: int) -> LineGas:
        return self.lines.setdefault((contract, number), LineGas())
