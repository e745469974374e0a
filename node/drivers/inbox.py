"""Messages that wait for consensus: a queue for each peer, emptied in turns.

Whoever floods fills its own queue and delays itself: a vote of another peer is taken with the next
turn, not behind thousands of the flooder's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

from andon.core.wire import Message

COUNT_MAX = 8192
PER_PEER_MAX = 512


class Inbox:
    """First in, first out for each peer; `dropped` counts what had no room."""

    def __init__(self) -> None:
        self._queues: OrderedDict[bytes, deque[Message]] = OrderedDict()
        self._count = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._count

    def put(self, peer_key: bytes, message: Message) -> None:
        """Queue a message; drops it if too many wait, of this peer or in all."""
        queue = self._queues.get(peer_key)
        if self._count >= COUNT_MAX or (queue is not None and len(queue) >= PER_PEER_MAX):
            self.dropped += 1
            return
        if queue is None:
            queue = self._queues[peer_key] = deque()
        queue.append(message)
        self._count += 1

    def extend(self, items: Iterable[tuple[bytes, Message]]) -> None:
        """Queue several."""
        for peer_key, message in items:
            self.put(peer_key, message)

    def take(self) -> tuple[bytes, Message]:
        """Take the next message of the peer whose turn it is; there must be one."""
        peer_key, queue = self._queues.popitem(last=False)
        message = queue.popleft()
        self._count -= 1
        if queue:
            self._queues[peer_key] = queue
        return peer_key, message
