"""The mutator knows every type of message, and changes each in more than one way."""

from __future__ import annotations

import random

from andon.core.codec import encode
from andon.core.wire import (
    BlockMessage,
    BlockWanted,
    CertificateMessage,
    Proposal,
    Status,
    VoteMessage,
)
from node.testing.sim import World, quiet
from node.testing.sim.actors.mutator import Mutator
from node.testing.sim.messages import Blocks, BlocksWanted, SimMessage

TRIES = 300
SENT = (VoteMessage, CertificateMessage, Proposal, Status, BlockMessage)


class Recorder:
    """A script that changes nothing and keeps one message of each type."""

    def __init__(self) -> None:
        self.seen: dict[type, SimMessage] = {}

    def delay_ms(self, now_ms: int, source: int, target: int, message: SimMessage) -> int:
        """Let everything pass."""
        del now_ms, source, target
        self.seen[type(message)] = message
        return 0


def collect() -> tuple[World, dict[type, SimMessage]]:
    """One message of each type from a network that really runs."""
    recorder = Recorder()
    world = World(quiet(3, heights=80), script=recorder)
    world.run()
    seen = recorder.seen
    finals = tuple(world.disks[0].finals[:3])
    seen[Blocks] = Blocks(finals)
    seen[BlockMessage] = BlockMessage(finals[0].block)
    seen[BlockWanted] = BlockWanted(finals[0].block.header.parent)
    seen[BlocksWanted] = BlocksWanted(5)
    return world, seen


def test_every_type_of_message_is_changed_in_several_ways() -> None:
    world, seen = collect()
    assert set(seen) == {*SENT, Blocks, BlockWanted, BlocksWanted}
    node = world.nodes[0]
    assert node is not None
    mutator = Mutator("sim", random.Random(1))
    for kind, message in seen.items():
        sent = [out for _ in range(TRIES) for out, _ in mutator.send(node, 1, message, None)]
        changed = {repr(out) for out in sent if out != message}
        assert TRIES / 5 < sum(out != message for out in sent) < TRIES / 2, kind
        assert len(changed) >= (1 if kind is BlockWanted else 3), kind
        assert {type(out) for out in sent} == {kind}


def test_bodies_of_proposals_are_changed_under_their_header() -> None:
    world, seen = collect()
    node, proposal = world.nodes[0], seen[Proposal]
    assert node is not None
    block = world.disks[0].finals[0].block
    mutator = Mutator("sim", random.Random(2))
    bodies = [body for _ in range(TRIES) for _, body in mutator.send(node, 1, proposal, block)]
    assert len({encode(body) for body in bodies if body is not None}) >= 4
