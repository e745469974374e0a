"""Bodies of blocks: assembled from the mempool, asked for, answered; all of it bounded."""

from __future__ import annotations

import msgspec
import pytest

from andon.core.block import Block, Justification, block_hash
from andon.core.certificate import SignedVote, Vote, VoteKind
from andon.core.codec import encode_arguments
from andon.core.keys import PrivateKey
from andon.core.merkle import merkle_root
from andon.core.transaction import (
    Call,
    Transaction,
    TransactionBody,
    parse_transaction,
    sign_transaction,
)
from andon.core.wire import BlockMessage, BlockWanted, Message, Proposal, TransactionsWanted
from node.drivers import bodies as module
from node.drivers.bodies import ANSWERS_PER_TICK_MAX, BLOCKS_MAX, WANTED_MAX, Bodies
from node.testing.sim.chain import genesis_header
from tests.unit.node.drivers.consensus_net import AsyncChain, Net

replace = msgspec.structs.replace
LEADER = b"l" * 32
PEERS = [b"p" * 32, b"q" * 32]


class Pool:
    """A mempool that others fill."""

    def __init__(self) -> None:
        self.held: dict[bytes, Transaction] = {}

    def get(self, identity: bytes) -> Transaction | None:
        return self.held.get(identity)


class Outbox:
    """Remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Message]] = []

    def broadcast(self, message: Message) -> None:
        raise AssertionError("bodies are asked for one by one")

    def send(self, peer_key: bytes, message: Message) -> None:
        self.sent.append((peer_key, message))


class Desk:
    """Bodies with everything around them."""

    def __init__(self, net: Net) -> None:
        self.pool = Pool()
        self.outbox = Outbox()
        disk = next(iter(net.disks.values()))
        self.chain = AsyncChain(net.set, disk, [])
        self.bodies = Bodies(self.chain, self.pool, self.outbox, lambda: PEERS)


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(Net(tmp_path_factory.mktemp("bodies")))


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ASSEMBLE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "BODY_WAIT_S", 0.01)


def make_transaction(number: int) -> Transaction:
    body = TransactionBody(
        chain_id="bodies",
        sender=PrivateKey(b"s" * 32).public,
        nonce=number.to_bytes(8, "big"),
        expires_height=9,
        gas_limit=1,
        calls=(Call(contract="c", method="m", args=encode_arguments({})),),
    )
    return parse_transaction(sign_transaction(body, PrivateKey(b"s" * 32)))


def make_block(desk: Desk, transactions: list[Transaction], height: int = 1) -> Block:
    raws = tuple(item.raw for item in transactions)
    header = genesis_header("bodies", desk.chain.validators())
    changed = replace(header, height=height, slot=height, transactions_root=merkle_root(raws))
    return Block(changed, Justification(None, ()), raws, ())


def make_proposal(block: Block) -> Proposal:
    vote = Vote(VoteKind.PROPOSE, 0, block.header.slot, block_hash(block.header))
    return Proposal(
        vote=SignedVote(vote, 0, b""),
        header=block.header,
        justification=block.justification,
        slot_justification=None,
        transaction_ids=tuple(parse_transaction(raw).id for raw in block.transactions),
        predictions=(),
    )


async def test_a_proposal_is_filled_from_the_mempool(desk: Desk) -> None:
    items = [make_transaction(n) for n in range(3)]
    desk.pool.held = {item.id: item for item in items}
    block = make_block(desk, items)
    desk.bodies.add_proposal(LEADER, make_proposal(block))
    assert await desk.bodies.obtain(block_hash(block.header)) == block
    assert desk.outbox.sent == []


@pytest.mark.usefixtures("no_waiting")
async def test_what_is_missing_is_asked_of_the_leader_first_alone_then_as_a_block(
    desk: Desk,
) -> None:
    items = [make_transaction(n) for n in range(3)]
    desk.pool.held = {item.id: item for item in items[:2]}
    block = make_block(desk, items)
    identity = block_hash(block.header)
    desk.bodies.add_proposal(LEADER, make_proposal(block))
    assert await desk.bodies.obtain(identity) is None
    assert desk.outbox.sent == [
        (LEADER, TransactionsWanted((items[2].id,))),
        (LEADER, BlockWanted(identity)),
    ]


@pytest.mark.usefixtures("no_waiting")
async def test_a_mempool_that_holds_other_bytes_of_an_id_does_not_spoil_the_block(
    desk: Desk,
) -> None:
    good, other = make_transaction(1), make_transaction(2)
    desk.pool.held = {good.id: other}
    block = make_block(desk, [good])
    identity = block_hash(block.header)
    desk.bodies.add_proposal(LEADER, make_proposal(block))
    assert await desk.bodies.obtain(identity) is None
    assert desk.outbox.sent[-1][1] == BlockWanted(identity)
    assert desk.bodies.take_answer(block) == identity
    assert await desk.bodies.obtain(identity) == block


def test_only_an_asked_block_that_fits_together_is_taken(desk: Desk) -> None:
    block = make_block(desk, [make_transaction(1)])
    identity = block_hash(block.header)
    header = replace(block.header, justification_digest=b"j" * 32)
    assert desk.bodies.take_answer(block) is None
    desk.bodies.want(identity)
    desk.bodies.want(block_hash(header))
    assert desk.bodies.take_answer(replace(block, transactions=())) is None
    assert desk.bodies.take_answer(replace(block, header=header)) is None


def test_a_fitting_answer_is_taken_and_known_to_come_from_others(desk: Desk) -> None:
    block = make_block(desk, [])
    identity = block_hash(block.header)
    desk.bodies.want(identity)
    assert desk.bodies.take_answer(block) == identity
    assert desk.bodies.is_fetched(identity)
    assert desk.bodies.get(identity) == block
    desk.bodies.drop(identity)
    assert desk.bodies.get(identity) is None


def test_asking_and_keeping_are_bounded(desk: Desk) -> None:
    for number in range(WANTED_MAX + 10):
        desk.bodies.want(number.to_bytes(32, "big"))
    assert len(desk.outbox.sent) == WANTED_MAX
    blocks = [make_block(desk, [], height=height) for height in range(1, BLOCKS_MAX + 10)]
    for block in blocks:
        desk.bodies.add_block(block_hash(block.header), block)
    assert desk.bodies.get(block_hash(blocks[0].header)) is None
    assert desk.bodies.get(block_hash(blocks[-1].header)) == blocks[-1]
    desk.bodies.prune(blocks[-1].header.height)
    assert desk.bodies.get(block_hash(blocks[-1].header)) is None


def test_a_peer_gets_a_bounded_number_of_answers_at_a_time(desk: Desk) -> None:
    block = make_block(desk, [])
    identity = block_hash(block.header)
    desk.bodies.answer(PEERS[0], identity)
    assert desk.outbox.sent == []
    desk.bodies.add_block(identity, block)
    for _ in range(ANSWERS_PER_TICK_MAX + 5):
        desk.bodies.answer(PEERS[0], identity)
    assert desk.outbox.sent == [(PEERS[0], BlockMessage(block))] * ANSWERS_PER_TICK_MAX
    desk.bodies.answer(PEERS[1], identity)
    assert desk.outbox.sent[-1][0] == PEERS[1]
