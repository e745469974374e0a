"""The liar between a validator's consensus and its links: what it says more, and what less."""

from __future__ import annotations

from andon.core.certificate import SignedVote, Vote, VoteKind, vote_signing_bytes
from andon.core.keys import PrivateKey
from andon.core.wire import BlockWanted, Message, VoteMessage
from node.testing.byzantine import REMEMBERED_MAX, STRIDE, Kind, Liar

CHAIN = "liars"
KEY = PrivateKey(b"l" * 32)
OTHER = PrivateKey(b"o" * 32)


class Wire:
    """A `Transport` that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[Message] = []
        self.to: list[bytes] = []

    def broadcast(self, message: Message) -> None:
        self.said.append(message)

    def send(self, peer_key: bytes, message: Message) -> None:
        self.said.append(message)
        self.to.append(peer_key)


def lying(kind: Kind) -> tuple[Liar, Wire]:
    wire = Wire()
    return Liar(kind, wire, CHAIN, KEY), wire


def vote(kind: VoteKind, slot: int, key: PrivateKey = KEY) -> VoteMessage:
    given = Vote(kind=kind, epoch=0, slot=slot, block=b"" if kind is VoteKind.SKIP else b"b" * 32)
    return VoteMessage(SignedVote(given, 3, key.sign(vote_signing_bytes(CHAIN, given))))


def test_the_silent_one_says_nothing_to_anybody() -> None:
    liar, wire = lying(Kind.SILENT)
    liar.broadcast(vote(VoteKind.NOTAR, 1))
    liar.send(b"p" * 32, BlockWanted(b"b" * 32))
    assert wire.said == []


def test_the_repeater_says_everything_and_something_old_beside_it() -> None:
    liar, wire = lying(Kind.REPLAY)
    count = REMEMBERED_MAX + 2 * STRIDE
    for slot in range(1, count + 1):
        liar.broadcast(vote(VoteKind.SKIP, slot))
    assert len(wire.said) == 2 * count
    slots = [message.vote.vote.slot for message in wire.said if isinstance(message, VoteMessage)]
    assert slots[1::2] == list(range(1, count + 1))
    assert slots[-2] == count - STRIDE
    # Nothing is made up: every word of it was said before, or is said now.
    assert all(old <= new for old, new in zip(slots[::2], slots[1::2], strict=True))
    liar.send(b"p" * 32, vote(VoteKind.SKIP, count + 1))
    assert wire.to == [b"p" * 32] * 2


def test_the_equivocator_contradicts_its_own_votes_and_no_others() -> None:
    liar, wire = lying(Kind.EQUIVOCATE)
    own = vote(VoteKind.FINAL, 7)
    liar.broadcast(own)
    assert len(wire.said) == 2
    lie, truth = wire.said
    assert truth == own
    assert isinstance(lie, VoteMessage)
    assert lie.vote.vote.block != own.vote.vote.block
    message = vote_signing_bytes(CHAIN, lie.vote.vote)
    assert lie.vote.signature == KEY.sign(message)
    liar.broadcast(vote(VoteKind.SKIP, 8))
    liar.broadcast(vote(VoteKind.FINAL, 9, OTHER))
    liar.broadcast(BlockWanted(b"b" * 32))
    assert len(wire.said) == 5
