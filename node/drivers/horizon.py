"""How far this node may take the chain: a height at which it halts, and the protocol it speaks."""

from __future__ import annotations

from collections.abc import Collection

from andon.core.block import PROTOCOLS
from andon.core.errors import Code, Unavailable
from consensus.ledger import Parent, StateReader, protocol_at


class Horizon:
    """Refuses blocks beyond what the operator set or this release knows."""

    def __init__(self, halt_at: int = 0, protocols: Collection[int] = PROTOCOLS) -> None:
        self._halt_at = halt_at
        self._protocols = protocols

    def reason(self, height: int, state: StateReader) -> str:
        """Say why the chain ends at this height for this node; empty if it goes on."""
        if 0 < self._halt_at <= height:
            return f"halt_at_height is reached: height {height}"
        protocol = protocol_at(state, height + 1)
        if protocol not in self._protocols:
            return (
                f"from height {height + 1} on the network speaks protocol {protocol}, "
                f"this release speaks {', '.join(map(str, self._protocols))}"
            )
        return ""

    def check(self, parent: Parent) -> None:
        """Check that a child of this block may be built or judged here.

        Raises:
            Unavailable: HALTED.
        """
        reason = self.reason(parent.header.height, parent.state)
        if reason:
            raise Unavailable(Code.HALTED, f"this node halts: {reason}", hint=HINT)


HINT = "install the new release, take halt_at_height out of config.toml, start again"
