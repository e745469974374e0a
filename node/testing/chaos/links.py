"""What faults make of the links between nodes: one place for plans, verbs and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.testing.chaos.plan import Fault, Verb
from node.testing.proxy import Mode, Proxy

Links = Mapping[tuple[str, str], Proxy]
"""The proxies by (dialling node, dialled node)."""


def shape(links: Links, faults: Sequence[Fault]) -> None:
    """Make every link what all present faults together make of it."""
    for (source, target), proxy in links.items():
        mode = mode_of(source, target, faults)
        # Setting the same mode again would reset what has just connected.
        if proxy.mode is not mode:
            proxy.set_mode(mode)
        touching = [fault for fault in faults if source in fault.nodes or target in fault.nodes]
        proxy.delay_ms = max(
            (fault.amount for fault in touching if fault.verb is Verb.DELAY), default=0
        )
        proxy.reset_per_mille = max(
            (fault.amount for fault in touching if fault.verb is Verb.DROP), default=0
        )


def mode_of(source: str, target: str, faults: Sequence[Fault]) -> Mode:
    """What the faults make of one link; the hardest wins."""
    found = Mode.PASS
    for fault in faults:
        separates = (source in fault.nodes) != (target in fault.nodes)
        if fault.verb is Verb.PARTITION and separates:
            return Mode.CUT
        if fault.verb is Verb.CABLE and separates:
            found = Mode.STALL
        if fault.verb is Verb.ONE_WAY and found is not Mode.STALL:
            if fault.nodes == (source, target):
                found = Mode.STALL if found is Mode.STALL_BACKWARD else Mode.STALL_FORWARD
            elif fault.nodes == (target, source):
                found = Mode.STALL if found is Mode.STALL_FORWARD else Mode.STALL_BACKWARD
    return found
