"""Bounds of the public faces: sizes, counts and a token bucket a client (no I/O, time comes in)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

BODY_BYTES_MAX = 4 * 1024 * 1024
"""A transaction of 1 MiB in hex, in JSON, with room to spare."""

BLOB_REQUEST_BYTES_MAX = 48 * 1024 * 1024
"""Of a blob in one request; a larger one comes in parts."""

BLOB_PART_BYTES_MAX = 8 * 1024 * 1024
BATCH_MAX = 64
BODY_TIMEOUT_S = 20.0
FIRST_REQUEST_S = 10.0
STRANGERS_MAX = 2048
"""Connections at a time that have not made a request yet; beyond it, the oldest goes."""
STRANGERS_PER_ADDRESS_MAX = 512

CONNECTIONS_MAX = 4096
"""Beside event streams and WebSockets."""
KEEPALIVE_S = 75.0
REQUESTS_AT_ONCE_MAX = 512
"""Requests that are worked on; probes and metrics answer at once and need no place."""

WAITS_AT_ONCE_MAX = 512
"""Requests that wait for a block, beside those that are worked on."""

STREAMS_MAX = 1024
"""Event streams and WebSockets at a time, unless the configuration says otherwise."""

CLIENTS_MAX = 4096


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: int


class RateLimiter:
    """One token bucket a client; the least recently seen client is forgotten first."""

    def __init__(self, rate_per_s: int, burst: int, clients_max: int = CLIENTS_MAX) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, client: str, cost: int, now_ms: int) -> int:
        """Take `cost` tokens; 0 if they were there, else how many ms until they will be."""
        bucket = self._buckets.pop(client, None)
        if bucket is None:
            bucket = _Bucket(float(self._burst), now_ms)
            while len(self._buckets) >= self._clients_max:
                self._buckets.popitem(last=False)
        self._buckets[client] = bucket
        refill = max(0, now_ms - bucket.at_ms) * self._rate_per_s / 1000
        bucket.tokens = min(float(self._burst), bucket.tokens + refill)
        bucket.at_ms = now_ms
        if bucket.tokens < cost:
            return int((cost - bucket.tokens) * 1000 / self._rate_per_s) + 1
        bucket.tokens -= cost
        return 0

    def __len__(self) -> int:
        return len(self._buckets)
