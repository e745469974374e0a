"""When a node catches up, how long it is silent for it, and what consensus leaves to it (S8, S9).

Rules alone: time comes in, there is no I/O. `node/drivers/sync.py` fetches and commits by them, and
so does the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from andon.core.block import Header
from andon.core.certificate import ValidatorSet
from node.drivers.claims import Claims

LAG_NOW = 8
"""Behind by this many blocks: catch up at once. Fewer are left to consensus while it goes on."""
LAG_STALLED = 1
STALLED_S = 1.5
"""Behind by at least LAG_STALLED without a commit for this long: catch up too."""
LAST_MILE_S = 0.5
"""So long a validator that is nearly there stays silent for the last blocks."""
BRINGS_S = 2.0
"""So long consensus leaves blocks to a catch-up that brings none."""


class Outcome(Enum):
    """What a round came to."""

    NOTHING = 0
    LEFT = 1
    """Consensus brings the few blocks that are missing as fast."""
    BLOCKS = 2


class Silence:
    """Follows one node's head and what peers claim."""

    def __init__(
        self, claims: Claims, head: Callable[[], Header], validators: Callable[[], ValidatorSet]
    ) -> None:
        self._claims = claims
        self._head = head
        self._validators = validators
        self._seen_height = -1
        self._behind_since_s: float | None = None
        self._near_since_s: float | None = None
        self._is_urgent = False
        self._is_fruitful = True
        self._moved_s = -BRINGS_S
        self.is_silent = False
        """From the first certified block of a catch-up until `is_near`."""

    @property
    def supported_height(self) -> int:
        """The highest height for which more weight stands than may lie."""
        return self._claims.supported(self._validators())

    # -- when to catch up -------------------------------------------------------------------

    def hurry(self) -> None:
        """Consensus sees that others are ahead: the smallest lag is reason enough now."""
        self._is_urgent = True

    def watch(self, now_s: float) -> None:
        """Note since when we have been behind without a commit."""
        height = self._head().height
        if height != self._seen_height or self._claims.best(now_s) < height + LAG_STALLED:
            self._seen_height, self._behind_since_s = height, None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s

    def is_behind(self, now_s: float) -> bool:
        """Tell whether a catch-up, or another round of it, is due."""
        lag = self._claims.best(now_s) - self._head().height
        if lag >= LAG_NOW or (lag >= LAG_STALLED and (self._is_urgent or self.is_silent)):
            return True
        return self._is_stalled(now_s)

    def _is_stalled(self, now_s: float) -> bool:
        since_s = self._behind_since_s
        return since_s is not None and now_s - since_s >= STALLED_S

    # -- while one runs -----------------------------------------------------------------------

    def begin(self, now_s: float) -> None:
        """A catch-up begins."""
        if self._is_fruitful:
            self._is_fruitful, self._moved_s = False, now_s

    def is_worth(self, headers: Sequence[Header], now_s: float) -> bool:
        """Tell whether blocks come faster this way, for which the node is silent meanwhile.

        Whoever hears of each block first could otherwise silence a validator for each (S8).
        """
        self.watch(now_s)  # consensus may have gone on while they were fetched
        head = self._head().height
        reach = max(headers[-1].height, self.supported_height)
        if self.is_silent or reach >= head + LAG_NOW or self._is_stalled(now_s):
            return True
        # Consensus can go on only in the next epoch.
        closes_epoch = any(item.closes_epoch for item in headers if item.height > head)
        return self._is_urgent and closes_epoch

    def starts(self) -> bool:
        """A block's certificate is good; tells whether silence begins with it."""
        if self.is_silent:
            return False
        self.is_silent, self._near_since_s = True, None
        return True

    def moved(self, now_s: float) -> None:
        """A certified block came this way."""
        self._is_fruitful, self._moved_s = True, now_s

    def end_round(self, outcome: Outcome, now_s: float) -> bool:
        """Judge what was claimed by what came; tells whether silence ends."""
        self._is_urgent = False
        self.watch(now_s)
        ends = self.is_silent and self._is_near(now_s)
        if outcome is not Outcome.BLOCKS:
            # Nobody proved more than our head, or as much more that it counts.
            least = LAG_NOW if outcome is Outcome.LEFT else LAG_STALLED
            self._claims.drop_above(self._head().height + least - 1, self._validators(), now_s)
        self.is_silent = self.is_silent and not ends
        return ends

    def end(self) -> bool:
        """The catch-up ends; tells whether silence ends with it."""
        was_silent = self.is_silent
        self.is_silent = self._is_urgent = False
        self._moved_s, self._behind_since_s = -BRINGS_S, None
        return was_silent

    def brings_to(self, now_s: float) -> int:
        """Height up to which certified blocks come this way now; 0 if they do not.

        Enough weight claims it that honest nodes have it. A catch-up that brought no block for
        BRINGS_S brings none, and so does one after another that brought none at all (S9). What is
        nearer than LAG_NOW consensus brings as fast itself.
        """
        if not now_s - self._moved_s < BRINGS_S:
            return 0
        supported = self.supported_height
        return supported if supported >= self._head().height + LAG_NOW else 0

    def _is_near(self, now_s: float) -> bool:
        """Tell whether silence ends: here is what enough weight claims, or nearly for a while.

        Else a peer that gives each window late could keep a validator a few blocks behind.
        """
        lag = self.supported_height - self._head().height
        if lag >= LAG_NOW:
            self._near_since_s = None
            return False
        if self._near_since_s is None:
            self._near_since_s = now_s
        return lag <= 0 or now_s - self._near_since_s >= LAST_MILE_S
