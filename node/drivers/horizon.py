"""How far this node may take the chain: a height at which it halts, and the protocol it speaks."""

from __future__ import annotations

from andon.core.errors import Code, Unavailable
from consensus.ledger import Parent


class Horizon:
    """Refuses blocks beyond what the operator set."""

    def __init__(self, halt_at: int = 0) -> None:
        self._halt_at = halt_at

    def is_reached(self, height: int) -> bool:
        """Tell whether the chain ends here for this node."""
        return 0 < self._halt_at <= height

    def check(self, parent: Parent) -> None:
        """Check that a child of this block may be built or judged here.

        Raises:
            Unavailable: HALTED.
        """
        if self.is_reached(parent.header.height):
            raise Unavailable(
                Code.HALTED,
                f"this node halts at height {self._halt_at}",
                hint="upgrade it, take halt_at_height out of config.toml, start it again",
            )
