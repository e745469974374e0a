"""Messages that wait for consensus: a queue for each peer, emptied in turns.

Whoever floods fills its own queue and delays itself: a vote of another peer is taken with the next
turn, not behind thousands of the flooder's.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from andon.core.wire import Message

COUNT_MAX = 8192
PER_PEER_MAX = 512
LATER_COUNT_MAX = 2048
LATER_PER_PEER_MAX = 64
"""Messages of the next epoch, which wait until it starts."""


class Inbox:
    """First in, first out for each peer; `dropped` counts what had no room."""

    def __init__(self, count_max: int = COUNT_MAX, per_peer_max: int = PER_PEER_MAX) -> None:
        self._count_max = count_max
        self._per_peer_max = per_peer_max
        self._queues: OrderedDict[bytes, deque[Message]] = OrderedDict()
        self._count = 0
        self.dropped = 0

    def __len__(self) -> int:
        return self._count

    def put(self, peer_key: bytes, message: Message) -> None:
        """Queue a message; drops it if too many wait, of this peer or in all."""
        queue = self._queues.get(peer_key)
        is_flood = queue is not None and len(queue) >= self._per_peer_max
        if is_flood or self._count >= self._count_max:
            self.dropped += 1
            return
        if queue is None:
            queue = self._queues[peer_key] = deque()
        queue.append(message)
        self._count += 1

    def move_to(self, other: Inbox) -> None:
        """Queue all that waits here there."""
        while self._count:
            other.put(*self.take())

    def take(self) -> tuple[bytes, Message]:
        """Take the next message of the peer whose turn it is; there must be one."""
        peer_key, queue = self._queues.popitem(last=False)
        message = queue.popleft()
        self._count -= 1
        if queue:
            self._queues[peer_key] = queue
        return peer_key, message
