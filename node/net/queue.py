"""What waits to be sent to one peer, without I/O: two classes, byte bounds, batched frames.

URGENT (votes, certificates, proposals, blocks, status) is never dropped: a peer that lets more
than URGENT_BYTES_MAX pile up is disconnected, and consensus re-sends after the standstill. GOSSIP
(transactions) is best effort: the oldest is dropped (policy `drop-oldest-gossip`), because a
compact proposal lets the peer ask for what it lacks.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

from andon.core.wire import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    CertificateMessage,
    Message,
    Transactions,
)

URGENT_BYTES_MAX = 32 * 1024 * 1024
GOSSIP_BYTES_MAX = 16 * 1024 * 1024
FRAME_BYTES_AIM = 256 * 1024
"""A frame is closed once it holds this much, so that votes never wait behind megabytes."""
_FRAME_HEADER_BYTES_MAX = 8

_encoder = msgspec.msgpack.Encoder()


class Class(Enum):
    """Service class of a message."""

    URGENT = "urgent"
    GOSSIP = "gossip"


class Put(Enum):
    """Outcome of a put."""

    QUEUED = "queued"
    DROPPED = "dropped"
    OVERFLOW = "overflow"


def class_of(message: Message) -> Class:
    """Service class by type."""
    return Class.GOSSIP if isinstance(message, Transactions) else Class.URGENT


def may_wait(message: Message) -> bool:
    """Tell whether a message may wait for company on its way out.

    Nobody waits for a certificate who got its votes; who did not has it a little later.
    """
    return isinstance(message, CertificateMessage)


def encode_message(message: Message) -> bytes:
    """Encode one message as it stands inside a frame; broadcast encodes once for all peers."""
    return _encoder.encode(message)


def join_frame(encoded: list[bytes]) -> bytes:
    """Make the frame of already encoded messages; equals `encode_frame` of the messages."""
    count = len(encoded)
    short = count < 16
    header = bytes((0x91, 0x90 | count)) if short else b"\x91\xdc" + count.to_bytes(2, "big")
    return header + b"".join(encoded)


class OutgoingQueue:
    """Messages for one peer in order of class, then of arrival."""

    def __init__(
        self, urgent_bytes_max: int = URGENT_BYTES_MAX, gossip_bytes_max: int = GOSSIP_BYTES_MAX
    ) -> None:
        self._urgent: deque[bytes] = deque()
        self._gossip: deque[bytes] = deque()
        self._urgent_bytes_max = urgent_bytes_max
        self._gossip_bytes_max = gossip_bytes_max
        self.urgent_bytes = 0
        self.gossip_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._urgent or self._gossip)

    def put(self, encoded: bytes, kind: Class) -> Put:
        """Queue one encoded message; OVERFLOW means: disconnect this peer."""
        size = len(encoded)
        if size + _FRAME_HEADER_BYTES_MAX > FRAME_BYTES_MAX:
            return Put.DROPPED
        if kind is Class.URGENT:
            if self.urgent_bytes + size > self._urgent_bytes_max:
                return Put.OVERFLOW
            self._urgent.append(encoded)
            self.urgent_bytes += size
            return Put.QUEUED
        if size > self._gossip_bytes_max:
            return Put.DROPPED
        outcome = Put.QUEUED
        while self.gossip_bytes + size > self._gossip_bytes_max:
            self.gossip_bytes -= len(self._gossip.popleft())
            outcome = Put.DROPPED
        self._gossip.append(encoded)
        self.gossip_bytes += size
        return outcome

    def take_frame(self) -> bytes | None:
        """Make the next frame of what is queued now, urgent first; None if nothing is."""
        taken: list[bytes] = []
        size = 0
        while self and len(taken) < FRAME_MESSAGES_MAX and size < FRAME_BYTES_AIM:
            source = self._urgent or self._gossip
            if taken and size + len(source[0]) + _FRAME_HEADER_BYTES_MAX > FRAME_BYTES_MAX:
                break
            encoded = source.popleft()
            if source is self._urgent:
                self.urgent_bytes -= len(encoded)
            else:
                self.gossip_bytes -= len(encoded)
            taken.append(encoded)
            size += len(encoded)
        return join_frame(taken) if taken else None
