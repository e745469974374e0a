"""Heights that peers claim: hints, until enough weight says the same or blocks arrive.

One peer may claim anything, as often as it likes. So a claim that was tried and not proved is not
followed for a while that doubles, and readiness looks only at heights for which more weight stands
than may lie. Time comes in; there is no I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from andon.core.certificate import ValidatorSet

CLAIMS_MAX = 256
DOUBT_S = 2.0
"""How long the claims of a peer that could not prove one are not followed; doubles each time."""
DOUBT_S_MAX = 120.0
SLOW_FOR_S = 60.0
"""How long a peer that was slow is asked after all others."""


@dataclass(slots=True)
class _Doubt:
    until_s: float
    length_s: float


class Claims:
    """What each peer claimed last, and whose claims are not followed now."""

    def __init__(self, validator_of: Callable[[bytes], bytes | None]) -> None:
        """`validator_of` gives the validator key of a node key; None if it is no validator's."""
        self._validator_of = validator_of
        self._heights: dict[bytes, int] = {}
        self._doubts: dict[bytes, _Doubt] = {}
        self._slow_until_s: dict[bytes, float] = {}

    def note(self, node_key: bytes, height: int) -> None:
        """Remember a claim."""
        if node_key in self._heights or len(self._heights) < CLAIMS_MAX:
            self._heights[node_key] = height

    def forget(self, node_key: bytes) -> None:
        """A peer is gone; doubts about it stay, or a new link would end them."""
        self._heights.pop(node_key, None)

    def height(self, node_key: bytes) -> int:
        """Height a peer claimed last; 0 if none."""
        return self._heights.get(node_key, 0)

    def best(self, now_s: float) -> int:
        """The highest claim worth a try."""
        heights = [height for key, height in self._heights.items() if self._follows(key, now_s)]
        return max(heights, default=0)

    def supported(self, validators: ValidatorSet) -> int:
        """The highest height that validators claim whose weight is more than may lie."""
        weights = {item.key: item.weight for item in validators.validators}
        heights: dict[bytes, int] = {}
        for node_key, height in self._heights.items():
            validator = self._validator_of(node_key)
            if validator is not None and validator in weights:
                heights[validator] = height
        lying_max, weight = validators.total_weight - validators.quorum, 0
        for key in sorted(heights, key=lambda key: heights[key], reverse=True):
            weight += weights[key]
            if weight > lying_max:
                return heights[key]
        return 0

    def peers_at(self, height: int, now_s: float) -> list[bytes]:
        """Peers, in order, that claim at least this height and are followed."""
        return sorted(
            key
            for key, claim in self._heights.items()
            if claim >= height and self._follows(key, now_s)
        )

    def in_turn(self, height: int, turn: int, now_s: float) -> list[bytes]:
        """`peers_at` in the order to ask: each turn begins with another, slow ones are last."""
        fast: list[bytes] = []
        slow: list[bytes] = []
        for key in self.peers_at(height, now_s):
            (slow if now_s < self._slow_until_s.get(key, now_s) else fast).append(key)
        return _rotated(fast, turn) + _rotated(slow, turn)

    def note_slow(self, node_key: bytes, now_s: float) -> None:
        """Ask this peer last for a while. Slow is no lie: it is followed and not punished."""
        self._slow_until_s.pop(node_key, None)
        while len(self._slow_until_s) >= CLAIMS_MAX:
            del self._slow_until_s[next(iter(self._slow_until_s))]
        self._slow_until_s[node_key] = now_s + SLOW_FOR_S

    def drop_above(self, height: int, validators: ValidatorSet, now_s: float) -> None:
        """Forget claims that nobody proved; doubt those for which too little weight stands."""
        supported = self.supported(validators)
        for key, claim in list(self._heights.items()):
            if claim <= height or not self._follows(key, now_s):
                continue
            if claim > supported:
                self.doubt(key, now_s)
            self.forget(key)

    def doubt(self, node_key: bytes, now_s: float) -> None:
        """Do not follow this peer for a while."""
        former = self._doubts.pop(node_key, None)
        length_s = DOUBT_S if former is None else min(2 * former.length_s, DOUBT_S_MAX)
        while len(self._doubts) >= CLAIMS_MAX:
            del self._doubts[next(iter(self._doubts))]
        self._doubts[node_key] = _Doubt(now_s + length_s, length_s)

    def trust(self, node_key: bytes) -> None:
        """A peer gave a block that holds: end the doubts about it."""
        self._doubts.pop(node_key, None)

    def _follows(self, node_key: bytes, now_s: float) -> bool:
        doubt = self._doubts.get(node_key)
        return doubt is None or now_s >= doubt.until_s


def _rotated(keys: list[bytes], turn: int) -> list[bytes]:
    start = turn % len(keys) if keys else 0
    return keys[start:] + keys[:start]
