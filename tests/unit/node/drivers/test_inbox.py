"""What waits for consensus: a flood fills the flooder's queue."""

from __future__ import annotations

from andon.core.wire import BlockWanted
from node.drivers.inbox import COUNT_MAX, PER_PEER_MAX, Inbox


def wish(number: int) -> BlockWanted:
    return BlockWanted(number.to_bytes(32, "big"))


def test_a_flood_delays_its_sender_alone() -> None:
    inbox = Inbox()
    for number in range(10 * PER_PEER_MAX):
        inbox.put(b"flooder", wish(number))
    for number in range(3):
        inbox.put(b"honest", wish(number))
    assert inbox.dropped == 9 * PER_PEER_MAX
    taken = [inbox.take() for _ in range(6)]
    assert [item for item in taken if item[0] == b"honest"] == [
        (b"honest", wish(number)) for number in range(3)
    ]


def test_the_messages_of_a_peer_stay_in_order_and_nothing_is_lost() -> None:
    inbox, later = Inbox(), Inbox(100, 10)
    for number in range(30):
        later.put(bytes([number % 3]), wish(number))
    later.move_to(inbox)
    assert (len(later), later.dropped) == (0, 0)
    taken = [inbox.take() for _ in range(len(inbox))]
    assert len(inbox) == 0
    for peer in range(3):
        own = [message for key, message in taken if key == bytes([peer])]
        assert own == [wish(number) for number in range(30) if number % 3 == peer]


def test_all_queues_together_are_bounded() -> None:
    inbox = Inbox()
    for number in range(2 * COUNT_MAX):
        inbox.put((number % 64).to_bytes(1, "big"), wish(number))
    assert len(inbox) == COUNT_MAX
    assert inbox.dropped == COUNT_MAX
