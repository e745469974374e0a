"""What the runs of `make demo-fl` are: modes, rules, budgets, deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.codec import Key, Value
from models.federated import privacy, robust
from models.federated.rul import Local
from models.federated.strategies import ServerState, state_digest

SCALE_BITS = 16
FINE_BITS = SCALE_BITS + robust.FINE_BITS
ENCODING: list[Value] = [SCALE_BITS, 1 << 20, 1 << 22, 1]
PATIENCE = 12
DELTA = 1e-5
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

    def rho_budget(self) -> int:
        """The privacy budget of each plant, in micro-rho; 0 is none."""
        return privacy.budget_micro_rho(EPSILON, DELTA) if self.local.mechanism else 0

    def arguments(
        self, members: Sequence[bytes], parameters: int, start: ServerState, blob: bytes
    ) -> dict[str, Value]:
        """The arguments of `create`."""
        rows: list[Value] = [[name, 0, 1] for name in sorted(members)]
        strategy: list[Value] = ["average", 1 << 16, 0, 0, 0]
        recipe: dict[Key, Value] = {
            "rule": self.rule,
            "tolerated": 1 if self.rule == "trimmed" else 0,
            "strategy": strategy,
            "contributions": self.mode == "plain",
        }
        return {
            "run": self.run,
            "members": rows,
            "mode": self.mode,
            "elements": parameters,
            "encoding": ENCODING,
            "recipe": recipe,
            "state": state_digest(start),
            "blob": blob,
            "patience": PATIENCE,
            "rounds_max": self.rounds,
            "rho_budget": self.rho_budget(),
            "tolerance": TOLERANCE,
        }


class PlantKilledError(Exception):
    """Ends a plant where a process that is killed would end: between dealing and sending."""
