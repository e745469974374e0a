"""How long a node spends in each phase of its work: sums and counts, for metrics and benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable

ADMISSION = "admission"
"""From a transaction's bytes to its place in the mempool, the wait for its signature included."""
PROPOSAL = "proposal"
"""Choosing transactions and making the block, without executing it."""
SIGNATURES = "signatures"
"""Parsing and verifying a proposal's transactions."""
EXECUTION = "execution"
STATE_ROOT = "state_root"
RECOMPUTE = "recompute"
"""Getting our own outputs for a proposal; usually they are in the cache."""
VOTES = "votes"
"""From a checked block to the certificate that makes it final."""
COMMIT = "commit"
"""Writing a final branch to disk."""
PHASES = (ADMISSION, PROPOSAL, SIGNATURES, EXECUTION, STATE_ROOT, RECOMPUTE, VOTES, COMMIT)

Observe = Callable[[str, float], None]
"""Takes a phase and its seconds; called from any thread."""


def unobserved(_phase: str, _seconds: float) -> None:
    """Be an `Observe` that forgets."""


class Lap:
    """Measures phases that follow each other: a call ends one and begins the next."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._began_s = time.perf_counter()

    def __call__(self, phase: str) -> None:
        """End a phase."""
        now_s = time.perf_counter()
        self._observe(phase, now_s - self._began_s)
        self._began_s = now_s
