"""What the runs of `make demo-fl` are: modes, rules, budgets, deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.codec import Value
from models.federated.command import Terms, run_arguments
from models.federated.rul import Local

PATIENCE = 12
EPSILON = 8.0
# Worse by more than this many thousandths of a cycle on the public set: rolled back.
TOLERANCE = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One run of the contract."""

    run: str
    mode: str
    rule: str
    rounds: int
    local: Local
    poisoner: int | None = None
    dropper: int | None = None

    @property
    def contributions(self) -> bool:
        """Whether each plant's update can be valued: single updates are in the open."""
        return self.mode == "plain"

    def arguments(
        self, members: Sequence[bytes], parameters: int, blobs: tuple[bytes, bytes, bytes]
    ) -> dict[str, Value]:
        """The arguments of `create`; `blobs` as `run_arguments` takes them."""
        terms = Terms(
            mode=self.mode,
            rule=self.rule,
            tolerated=1 if self.rule == "trimmed" else 0,
            rounds=self.rounds,
            patience=PATIENCE,
            epsilon=EPSILON if self.local.mechanism else 0.0,
            tolerance=TOLERANCE,
            contributions=self.contributions,
        )
        return run_arguments(self.run, members, parameters, blobs, terms)


class PlantKilledError(Exception):
    """Ends a plant where a process that is killed would end: between dealing and sending."""
