import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from andon.core.wire import TRANSACTIONS_WANTED_MAX, Message, Transactions, TransactionsWanted
from node import gossip
from node.gossip import BATCH_BYTES_MAX, Gossip
from node.mempool import Admitted, Refusal

KEY = PrivateKey(bytes(32))


def make(number: int, size: int = 10) -> Transaction:
    body = TransactionBody(
        chain_id="c",
        sender=KEY.public,
        nonce=number.to_bytes(8, "big"),
        expires_height=10,
        gas_limit=10,
        calls=(make_call("c", "m", {"x": b"x" * size}),),
    )
    return parse_transaction(sign_transaction(body, KEY))


class Pool:
    def __init__(self) -> None:
        self.held: dict[bytes, Transaction] = {}
        self.error: Refusal | None = None

    async def admit_all(self, raws: Sequence[bytes]) -> list[Admitted | Refusal]:
        await asyncio.sleep(0)
        if self.error is not None:
            return [self.error] * len(raws)
        transactions = [parse_transaction(raw) for raw in raws]
        self.held.update((item.id, item) for item in transactions)
        return [Admitted(item.id, is_new=True) for item in transactions]

    def get(self, identity: bytes) -> Transaction | None:
        return self.held.get(identity)


class Outlet:
    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Message]] = []

    def broadcast(self, message: Message) -> None:
        self.sent.append((b"all", message))

    def send(self, peer_key: bytes, message: Message) -> None:
        self.sent.append((peer_key, message))


class World:
    def __init__(self) -> None:
        self.pool, self.outlet = Pool(), Outlet()
        self.punished: list[bytes] = []
        self.gossip = Gossip(
            self.pool, self.outlet, lambda key, penalty, reason: self.punished.append(key)
        )


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.gossip.run())
        yield
        await asyncio.sleep(0.02)
        task.cancel()


async def test_transactions_of_one_moment_leave_in_one_message() -> None:
    world = World()
    raws = [make(n).raw for n in range(3)]
    for raw in raws:
        world.gossip.spread(raw)
    assert world.outlet.sent == []
    await asyncio.sleep(5 * gossip.FLUSH_S)
    assert world.outlet.sent == [(b"all", Transactions(tuple(raws)))]


async def test_a_full_batch_leaves_at_once() -> None:
    world = World()
    world.gossip.spread(make(1, BATCH_BYTES_MAX).raw)
    assert len(world.outlet.sent) == 1


async def test_what_a_peer_sends_is_admitted() -> None:
    world = World()
    async with running(world):
        world.gossip.receive(b"n", Transactions(tuple(make(n).raw for n in range(50))))
    assert len(world.pool.held) == 50
    assert world.outlet.sent == []


@pytest.mark.parametrize(
    ("error", "is_punished"),
    [
        (InvalidInput(Code.BAD_SIGNATURE, ""), True),
        (InvalidInput(Code.MALFORMED, ""), True),
        (InvalidInput(Code.EXPIRED, ""), False),
        (InvalidInput(Code.DUPLICATE, ""), False),
        (Unavailable(Code.MEMPOOL_FULL, ""), False),
    ],
)
async def test_only_what_no_honest_node_sends_costs_score(
    error: Refusal,
    is_punished: bool,  # noqa: FBT001 - a table
) -> None:
    world = World()
    world.pool.error = error
    async with running(world):
        world.gossip.receive(b"n", Transactions((b"raw",)))
    assert bool(world.punished) is is_punished


async def test_the_queue_of_arrivals_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossip, "INCOMING_COUNT_MAX", 2)
    world = World()
    world.gossip.receive(b"n", Transactions(tuple(make(n).raw for n in range(5))))
    assert world.gossip.dropped == 3


async def test_who_lacks_transactions_gets_those_that_are_held_in_bounded_messages() -> None:
    world = World()
    held = [make(n, BATCH_BYTES_MAX // 3) for n in range(4)]
    world.pool.held = {item.id: item for item in held}
    wanted = (*(item.id for item in held), b"unknown" + bytes(25))
    world.gossip.answer(b"v", TransactionsWanted(wanted))
    messages = [message for _, message in world.outlet.sent]
    assert [len(m.raws) for m in messages if isinstance(m, Transactions)] == [2, 2]


async def test_too_many_wanted_ids_are_refused() -> None:
    world = World()
    with pytest.raises(InvalidInput) as error:
        world.gossip.answer(
            b"v", TransactionsWanted(tuple(bytes(32) for _ in range(TRANSACTIONS_WANTED_MAX + 1)))
        )
    assert error.value.code is Code.TOO_MANY


async def test_a_node_far_behind_takes_no_transactions_until_it_is_near() -> None:
    pool, lag = Pool(), gossip.LAG_DEAF
    near = Gossip(pool, Outlet(), lambda *_: None, lambda: lag)
    near.receive(b"p", Transactions((make(1).raw, make(2).raw)))
    assert near.dropped == 2
    lag -= 1
    async with asyncio.TaskGroup() as group:
        task = group.create_task(near.run())
        near.receive(b"p", Transactions((make(3).raw,)))
        while not pool.held:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.001)
        task.cancel()
    assert list(pool.held) == [make(3).id]
