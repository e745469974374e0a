import pytest

from andon.core.wire import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    BlockWanted,
    Message,
    Status,
    Transactions,
    decode_frame,
    encode_frame,
)
from node.net.queue import Class, OutgoingQueue, Put, class_of, encode_message, join_frame


@pytest.mark.parametrize("count", [1, 15, 16, FRAME_MESSAGES_MAX])
def test_a_joined_frame_equals_the_encoded_one(count: int) -> None:
    messages: tuple[Message, ...] = tuple(Status(n, 0, n, b"h" * 32) for n in range(count))
    joined = join_frame([encode_message(message) for message in messages])
    assert joined == encode_frame(messages)
    assert decode_frame(joined) == messages


def test_only_transactions_are_gossip() -> None:
    assert class_of(Transactions((b"t",))) is Class.GOSSIP
    assert class_of(BlockWanted(b"b" * 32)) is Class.URGENT


def test_urgent_messages_overtake_gossip() -> None:
    queue = OutgoingQueue()
    gossip, urgent = Transactions((b"t",)), BlockWanted(b"b" * 32)
    queue.put(encode_message(gossip), Class.GOSSIP)
    queue.put(encode_message(urgent), Class.URGENT)
    frame = queue.take_frame()
    assert frame is not None
    assert decode_frame(frame) == (urgent, gossip)
    assert queue.take_frame() is None


def test_full_gossip_drops_the_oldest() -> None:
    queue = OutgoingQueue(gossip_bytes_max=20)
    outcomes = [queue.put(bytes([n]) * 8, Class.GOSSIP) for n in range(3)]
    assert outcomes == [Put.QUEUED, Put.QUEUED, Put.DROPPED]
    assert queue.gossip_bytes == 16
    assert queue.take_frame() == join_frame([b"\x01" * 8, b"\x02" * 8])


def test_full_urgent_overflows_and_drops_nothing() -> None:
    queue = OutgoingQueue(urgent_bytes_max=20)
    outcomes = [queue.put(bytes([n]) * 8, Class.URGENT) for n in range(3)]
    assert outcomes == [Put.QUEUED, Put.QUEUED, Put.OVERFLOW]
    assert queue.take_frame() == join_frame([b"\x00" * 8, b"\x01" * 8])


def test_a_message_larger_than_a_frame_is_never_queued() -> None:
    queue = OutgoingQueue()
    assert queue.put(b"x" * FRAME_BYTES_MAX, Class.URGENT) is Put.DROPPED
    assert not queue


def test_a_frame_never_holds_more_than_its_maximum_of_messages() -> None:
    queue = OutgoingQueue()
    for _ in range(FRAME_MESSAGES_MAX + 1):
        queue.put(encode_message(BlockWanted(b"b" * 32)), Class.URGENT)
    first, second = queue.take_frame(), queue.take_frame()
    assert first is not None
    assert second is not None
    assert len(decode_frame(first)) == FRAME_MESSAGES_MAX
    assert len(decode_frame(second)) == 1
    assert queue.urgent_bytes == 0
