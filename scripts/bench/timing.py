"""How long an action takes. Imports nothing of Andon: the peers' environment lacks it."""

from __future__ import annotations

import time
from collections.abc import Callable


def best(action: Callable[[], object], count: int, repeats: int) -> float:
    """Nanoseconds of one action: the best mean of several runs."""
    found = float("inf")
    for _ in range(repeats):
        began = time.perf_counter_ns()
        for _ in range(count):
            action()
        found = min(found, (time.perf_counter_ns() - began) / count)
    return found
