"""Budgets of a peer, without I/O or clock: token buckets, misbehaviour score, bans.

Times are seconds of any monotonic clock that the caller reads. A peer that is merely fast is
slowed (its socket is not read); a peer that sends what the rules refuse loses score and is banned
for a while that doubles with every further ban.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

SCORE_BAN = 100
SCORE_DECAY_PER_S = 1.0
BAN_S = 30.0
BAN_MAX_S = 3600.0
BAN_MEMORY_S = 7 * 86_400.0
"""How long after its end a ban makes the next one longer, also over restarts."""
BANS_COUNTED_MAX = 16
"""Further bans are as long as this one: BAN_MAX_S."""
PENALTY_MALFORMED = 50
PENALTY_INVALID = 10
PENALTY_RATE = 1
RECORDS_MAX = 1024
FETCHES_PER_S = 200.0
FETCHES_BURST = 1000.0
FETCH_BYTES_PER_S = 64.0 * 1024 * 1024
FETCH_BYTES_BURST = 256.0 * 1024 * 1024
FETCHES_AT_ONCE_MAX = 32
"""Of one peer; a node that catches up from a snapshot has a dozen."""


class TokenBucket:
    """Allow `rate_per_s` on average and `burst` at once; debts delay the next take."""

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._last_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take `amount`; returns how many seconds to pause before taking more (0 if none)."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._last_s) * self._rate_per_s)
        self._last_s = now_s
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate_per_s)

    def allows(self, now_s: float) -> bool:
        """Take one if it is there, and nothing otherwise: for what is refused and not delayed."""
        if self.take(0, now_s) > 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class FetchBudgets:
    """What each peer may fetch: requests and bytes on average, and so many at a time."""

    def __init__(self) -> None:
        self._peers: OrderedDict[bytes, _Fetching] = OrderedDict()

    def begin(self, peer: bytes, now_s: float) -> float | None:
        """Begin a request: how long to wait first; None if too many are open. Else, `end` it."""
        found = self._peers.pop(peer, None)
        if found is None:
            found = _Fetching(
                TokenBucket(FETCHES_PER_S, FETCHES_BURST, now_s),
                TokenBucket(FETCH_BYTES_PER_S, FETCH_BYTES_BURST, now_s),
            )
            if len(self._peers) >= RECORDS_MAX:
                self._peers.popitem(last=False)
        self._peers[peer] = found
        if found.open_count >= FETCHES_AT_ONCE_MAX:
            return None
        found.open_count += 1
        return max(found.requests.take(1, now_s), found.bytes.take(0, now_s))

    def end(self, peer: bytes, size: int, now_s: float) -> None:
        """A request is answered with so many bytes."""
        found = self._peers.get(peer)
        if found is not None:
            found.open_count = max(0, found.open_count - 1)
            found.bytes.take(size, now_s)


@dataclass(slots=True)
class _Fetching:
    requests: TokenBucket
    bytes: TokenBucket
    open_count: int = 0


@dataclass(slots=True)
class _Record:
    score: float = 0.0
    at_s: float = 0.0
    bans: int = 0
    banned_until_s: float = 0.0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """A ban; `count` is how many this peer has had, which sets the next one's length."""

    peer: bytes
    until_s: float
    count: int


class PeerScores:
    """Scores and bans by node key; at most RECORDS_MAX peers are remembered."""

    def __init__(self) -> None:
        self._records: dict[bytes, _Record] = {}

    def punish(self, peer: bytes, penalty: float, reason: str, now_s: float) -> bool:
        """Add to a peer's score; True if this bans it."""
        record = self._records.pop(peer, None)
        if record is None:
            if len(self._records) >= RECORDS_MAX:
                self._records.pop(next(iter(self._records)))
            record = _Record(at_s=now_s)
        self._records[peer] = record  # most recently punished last
        if now_s < record.banned_until_s:
            return False  # What came before the link was cut is judged once.
        decayed = record.score - (now_s - record.at_s) * SCORE_DECAY_PER_S
        record.score = max(0.0, decayed) + penalty
        record.at_s = now_s
        record.reasons[reason] = record.reasons.get(reason, 0) + 1
        if record.score < SCORE_BAN:
            return False
        record.banned_until_s = now_s + min(BAN_MAX_S, BAN_S * 2**record.bans)
        record.bans = min(record.bans + 1, BANS_COUNTED_MAX)
        record.score = 0.0
        return True

    def is_banned(self, peer: bytes, now_s: float) -> bool:
        """Tell whether a peer is banned now."""
        record = self._records.get(peer)
        return record is not None and now_s < record.banned_until_s

    def bans(self, now_s: float) -> list[Ban]:
        """Bans that hold now, or ended so lately that the next one will be longer."""
        return [
            Ban(peer=peer, until_s=record.banned_until_s, count=record.bans)
            for peer, record in self._records.items()
            if record.bans and now_s < record.banned_until_s + BAN_MEMORY_S
        ]

    def restore(self, ban: Ban) -> None:
        """Put a ban of an earlier run back; ignored when the table is full."""
        if len(self._records) < RECORDS_MAX:
            self._records[ban.peer] = _Record(
                bans=min(ban.count, BANS_COUNTED_MAX), banned_until_s=ban.until_s
            )

    def score(self, peer: bytes, now_s: float) -> float:
        """Current score, decayed."""
        record = self._records.get(peer)
        if record is None:
            return 0.0
        return max(0.0, record.score - (now_s - record.at_s) * SCORE_DECAY_PER_S)


@dataclass(slots=True)
class Backoff:
    """Delays for re-dialling: doubling from `first_s` to `max_s`; `jitter` in 0..1 is given."""

    first_s: float = 0.05
    max_s: float = 2.0
    attempts: int = 0

    def next_s(self, jitter: float) -> float:
        """Delay before the next attempt: between half and all of the doubled step."""
        step = min(self.max_s, self.first_s * 2.0 ** min(self.attempts, 16))
        self.attempts += 1
        return step * (0.5 + 0.5 * jitter)

    def reset(self) -> None:
        """Forget failures after a link that worked."""
        self.attempts = 0
