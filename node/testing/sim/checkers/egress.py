"""Egress stays bounded: no storm of answers to answers, however long the network was cut."""

from __future__ import annotations

from collections import Counter

MESSAGES_MAX = 1_500
"""An honest instance sends at most so many messages in a virtual second, all receivers together.

In quiet worlds it is about a hundred; under faults several hundred have been seen.
"""


class Egress:
    """Counts messages of each instance second by second."""

    def __init__(self) -> None:
        self._second = -1
        self._sent: Counter[int] = Counter()
        self.most = 0

    def sent(self, instance: int, now_ms: int) -> None:
        """An honest instance sends one message to one receiver."""
        if now_ms // 1000 != self._second:
            self._second = now_ms // 1000
            self._sent.clear()
        self._sent[instance] += 1
        count = self._sent[instance]
        self.most = max(self.most, count)
        assert count <= MESSAGES_MAX, f"egress: node {instance} sends {count} messages in a second"
