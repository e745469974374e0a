import asyncio
from collections.abc import Callable, Sequence

import msgspec
import pytest

from andon.core.block import Block, Header, Justification, block_hash
from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    make_validator_set,
    vote_signing_bytes,
)
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from andon.core.wire import AdoptableBlock, Effects, FinalBlock, Status
from node.drivers import silence, sync, windows
from node.drivers.certified import CertifiedChain, check_final_block
from node.drivers.silence import LAG_NOW
from node.drivers.sync import SyncDriver
from node.drivers.windows import WINDOW_BLOCKS, Offer

CHAIN_ID = "plant-1"
KEYS = sorted((PrivateKey(bytes([n]) * 32) for n in range(1, 5)), key=lambda key: key.public)
SET = make_validator_set(tuple(Validator(key.public, 1) for key in KEYS))
VALIDATORS = dict(zip((b"a", b"b", b"c", b"d"), (key.public for key in KEYS), strict=True))
ZERO = bytes(32)


def make_header(height: int, parent: bytes) -> Header:
    return Header(
        version=1,
        chain_id=CHAIN_ID,
        epoch=0,
        slot=height,
        height=height,
        time_ms=height,
        parent=parent,
        proposer=ZERO,
        justification_digest=ZERO,
        transactions_root=ZERO,
        predictions_root=ZERO,
        receipts_root=ZERO,
        state_root=ZERO,
        validators_hash=ZERO,
        next_validators_hash=ZERO,
        gas_used=0,
    )


def certify(header: Header, signers: int = 3, kind: VoteKind = VoteKind.FINAL) -> Certificate:
    vote = Vote(kind, header.epoch, header.slot, block_hash(header))
    message = vote_signing_bytes(CHAIN_ID, vote)
    return Certificate(
        vote, tuple(Signer(index, KEYS[index].sign(message)) for index in range(signers))
    )


def make_chain(length: int, uncertified: tuple[int, ...] = ()) -> list[FinalBlock]:
    """Blocks 1..length; those in `uncertified` are final through their descendant."""
    headers = [make_header(0, ZERO)]
    for height in range(1, length + 1):
        headers.append(make_header(height, block_hash(headers[-1])))
    finals = []
    for header in headers[1:]:
        path: list[Header] = []
        while header.height + len(path) in uncertified:
            path.append(headers[header.height + len(path) + 1])
        block = Block(header, Justification(None, ()), (), ())
        finals.append(FinalBlock(block, tuple(path), certify((path or [header])[-1])))
    return finals


class Chain:
    def __init__(self) -> None:
        self.headers = [make_header(0, ZERO)]
        self.validated: dict[bytes, Header] = {}
        self.commits = 0

    def head(self) -> Header:
        return self.headers[-1]

    def validators(self, epoch: int | None = None) -> ValidatorSet:
        return SET

    async def take_over(
        self, run: Sequence[Offer], *, adopts: bool
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        assert adopts
        await asyncio.sleep(0)
        for offer in run:
            assert offer.effects is None
            self.validated[block_hash(offer.header)] = offer.header
        return len(run), None

    async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
        self.commits += 1
        branch = [self.validated[identity]]
        while branch[0].height > self.head().height + 1:
            branch.insert(0, self.validated[branch[0].parent])
        self.headers += branch
        return branch[-1]


class Peers:
    def __init__(self, **chains: list[FinalBlock]) -> None:
        self.chains = {name.encode(): chain for name, chain in chains.items()}
        self.served: list[bytes] = []
        self.asked: list[bytes] = []

    async def adoptable(self, node_key: bytes, first: int, count: int) -> list[AdoptableBlock]:
        return []  # as of an earlier release

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        self.asked.append(node_key)
        await asyncio.sleep(0)
        if node_key not in self.chains:
            raise Unavailable(Code.UNREACHABLE, "gone")
        self.served.append(node_key)
        return self.chains[node_key][first - 1 : first - 1 + min(count, 20)]


class World:
    def __init__(self, peers: Peers) -> None:
        self.chain = Chain()
        self.peers = peers
        self.punished: list[bytes] = []
        self.told: list[str] = []
        self.driver = SyncDriver(
            CHAIN_ID,
            self.chain,
            peers,
            adopts=True,
            punish=lambda key, penalty, reason: self.punished.append(key),
            sync_started=lambda: self.told.append("started"),
            validator_of=VALIDATORS.get,
            sync_ended=lambda: self.told.append(f"ended at {self.chain.head().height}"),
        )

    def claim(self, name: bytes, height: int) -> None:
        self.driver.note_status(name, Status(height, 0, height, ZERO))


async def test_a_node_far_behind_catches_up_from_several_peers() -> None:
    length = 5 * WINDOW_BLOCKS + 7
    chain = make_chain(length)
    peers = Peers(a=chain, b=chain, c=chain)
    world = World(peers)
    for name in (b"a", b"b", b"c"):
        world.claim(name, length)
    await world.driver.catch_up()
    assert world.chain.head() == chain[-1].block.header
    assert world.told == ["started", f"ended at {length}"]
    assert set(peers.served) == {b"a", b"b", b"c"}
    assert not world.driver.is_syncing
    assert world.chain.commits < length / 8  # many blocks a flush of the disk


async def test_blocks_that_are_final_through_a_descendant_are_committed_with_it() -> None:
    chain = make_chain(12, uncertified=(3, 4, 9))
    world = World(Peers(a=chain))
    world.claim(b"a", 12)
    await world.driver.catch_up()
    assert [header.height for header in world.chain.headers] == list(range(13))


class SlowPeers(Peers):
    """`a` gives one valid block at a time, each in time for its request."""

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        if node_key != b"a":
            return await super().blocks(node_key, first, count)
        await asyncio.sleep(0.15)
        return (await super().blocks(node_key, first, count))[:1]


async def test_a_slow_peer_holds_up_few_windows_and_loses_no_trust(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "WINDOW_S", 0.4)
    chain = make_chain(12 * WINDOW_BLOCKS)
    peers = SlowPeers(a=chain, b=chain)
    world = World(peers)
    for name in (b"a", b"b"):
        world.claim(name, len(chain))
    await asyncio.wait_for(world.driver.catch_up(), 60)
    assert world.chain.head() == chain[-1].block.header
    # Two of the first four windows begin with it, and no later one.
    assert peers.asked.count(b"a") <= 2 * 3
    assert world.punished == []


class Silent(Peers):
    """`a` takes what it is asked and never answers; the others take 10 ms."""

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        if node_key == b"a":
            self.asked.append(node_key)
            await asyncio.Event().wait()
        await asyncio.sleep(0.01)
        return await super().blocks(node_key, first, count)


async def test_a_peer_that_never_answers_holds_up_others_no_longer_than_they_make_it_late() -> None:
    chain = make_chain(12 * WINDOW_BLOCKS)
    peers = Silent(a=chain, b=chain, c=chain)
    world = World(peers)
    for name in (b"a", b"b", b"c"):
        world.claim(name, len(chain))
    began_s = asyncio.get_running_loop().time()
    await asyncio.wait_for(world.driver.catch_up(), 60)
    assert world.chain.head() == chain[-1].block.header
    # Not one of the four windows that are under way at first waits for WINDOW_S.
    assert asyncio.get_running_loop().time() - began_s < windows.WINDOW_S
    assert peers.asked.count(b"a") <= windows.WINDOWS_AHEAD_MAX
    assert world.punished == []


async def test_several_windows_are_under_way_at_several_peers_at_a_time() -> None:
    chain = make_chain(8 * WINDOW_BLOCKS)
    under_way: set[tuple[bytes, int]] = set()
    most: list[int] = []

    class Watched(Peers):
        async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
            under_way.add((node_key, first))
            most.append(len({name for name, _ in under_way}))
            await asyncio.sleep(0.01)
            under_way.discard((node_key, first))
            return await super().blocks(node_key, first, count)

    world = World(Watched(a=chain, b=chain, c=chain))
    for name in (b"a", b"b", b"c"):
        world.claim(name, len(chain))
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert max(most) == 3


async def test_a_slow_peer_alone_is_followed_a_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sync, "LAST_WINDOW_S", 0.4)
    monkeypatch.setattr(silence, "STALLED_S", 0.05)
    chain = make_chain(6)
    world = World(SlowPeers(a=chain))
    world.claim(b"a", len(chain))
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run())
        while world.chain.head() != chain[-1].block.header:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.01)
        task.cancel()


async def test_a_few_blocks_are_left_to_consensus_while_it_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "STALLED_S", 0.2)
    chain = make_chain(LAG_NOW - 1)
    held: set[int] = set()

    class Watching(Peers):
        async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
            held.add(world.driver.brings_to)
            return await super().blocks(node_key, first, count)

    world = World(Watching(a=chain, b=chain))
    world.claim(b"a", 10**9)
    world.claim(b"b", len(chain))
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert held == {0}
    assert (world.told, world.chain.head().height) == ([], 0)
    # What it claims alone is doubted, and what it may well prove is not.
    assert world.driver.best_claim == len(chain)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run())
        while "ended at 7" not in world.told:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.01)
        task.cancel()
    assert world.chain.head() == chain[-1].block.header


async def test_the_block_that_closes_an_epoch_is_fetched_at_once_if_others_are_beyond_it() -> None:
    for rules, taken in ((ZERO, 0), (bytes([1]) * 32, 1)):
        (plain,) = make_chain(1)
        header = msgspec.structs.replace(plain.block.header, next_validators_hash=rules)
        block = msgspec.structs.replace(plain.block, header=header)
        world = World(Peers(a=[FinalBlock(block, (), certify(header))]))
        world.driver.hurry()
        world.claim(b"a", 1)
        await asyncio.wait_for(world.driver.catch_up(), 10)
        assert world.chain.head().height == taken


async def test_a_claim_that_cannot_be_proved_is_forgotten() -> None:
    chain = make_chain(10)
    world = World(Peers(a=chain))
    world.claim(b"a", 10**9)
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head().height == 10
    assert world.driver.best_claim <= 10


async def test_a_liar_who_repeats_himself_costs_few_catch_ups_and_no_readiness() -> None:
    chain = make_chain(10)
    peers = Peers(a=chain, b=chain, c=chain)
    world = World(peers)
    for name in (b"b", b"c"):
        world.claim(name, 10)
    for _ in range(50):
        world.claim(b"a", 10**9)
        assert world.driver.supported_height == 10
        if world.driver.best_claim > 10:
            await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head().height == 10
    assert len(peers.asked) <= 12
    world.driver.forget(b"b")
    world.driver.forget(b"c")
    assert world.driver.supported_height == 0  # what is left is one voice


async def test_a_peer_that_forges_a_block_is_punished_and_the_true_chain_taken() -> None:
    chain = make_chain(40)
    forged = list(chain)
    bad = msgspec.structs.replace(chain[5].block.header, gas_used=7)
    forged[5] = FinalBlock(
        Block(bad, chain[5].block.justification, (), ()), (), chain[5].certificate
    )
    world = World(Peers(a=forged, b=chain))
    world.claim(b"a", 40)
    world.claim(b"b", 40)
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head() == chain[-1].block.header
    assert world.punished == [b"a"]


async def test_peers_that_vanish_end_the_catch_up_and_not_the_node() -> None:
    world = World(Peers())
    world.claim(b"a", 100)
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head().height == 0
    assert not world.driver.is_syncing
    assert world.told == []  # consensus went on voting all the time


async def test_a_catch_up_that_is_cancelled_tells_nobody_that_it_ended() -> None:
    length = 3 * WINDOW_BLOCKS
    world = World(Peers(a=make_chain(length)))
    world.claim(b"a", length)
    task = asyncio.ensure_future(world.driver.catch_up())  # noqa: TID251
    async with asyncio.timeout(10):
        while not world.driver.is_syncing:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.told == ["started"]
    assert not world.driver.is_syncing


async def test_a_small_lag_waits_for_consensus_and_a_large_one_starts_at_once() -> None:
    chain = make_chain(LAG_NOW)
    world = World(Peers(a=chain))
    task = asyncio.get_running_loop().create_task(world.driver.run())
    await asyncio.sleep(0.01)
    world.claim(b"a", LAG_NOW - 1)
    await asyncio.sleep(0.05)
    assert world.chain.head().height == 0
    world.claim(b"a", LAG_NOW)
    async with asyncio.timeout(2):
        while world.chain.head().height < LAG_NOW:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.01)
    task.cancel()


async def test_a_catch_up_follows_claims_that_grow_and_is_entered_again_later() -> None:
    chain = make_chain(150)
    world = World(Peers(a=chain, b=chain))
    take_over = world.chain.take_over

    async def grown(
        run: Sequence[Offer], *, adopts: bool
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        for name in (b"a", b"b"):
            if world.driver.claimed(name) < 100:
                world.claim(name, 100)
        return await take_over(run, adopts=adopts)

    world.chain.take_over = grown  # type: ignore[method-assign] # the chain grows meanwhile

    async def reach(height: int) -> None:
        async with asyncio.timeout(10):
            while world.chain.head().height < height or world.driver.is_syncing:  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run())
        world.claim(b"a", 40)
        world.claim(b"b", 40)
        await reach(100)
        for name in (b"a", b"b"):
            world.claim(name, 150)
        await reach(150)
        task.cancel()
    assert world.told[-1] == "ended at 150"
    assert world.told.count("started") == len(world.told) / 2


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("below the quorum", lambda f: with_certificate(f, certify(f.block.header, 2))),
        (
            "another kind of vote",
            lambda f: with_certificate(f, certify(f.block.header, 3, VoteKind.NOTAR)),
        ),
        ("another block", lambda f: with_certificate(f, certify(make_header(9, ZERO)))),
        ("a broken path", lambda f: FinalBlock(f.block, (make_header(2, ZERO),), f.certificate)),
    ],
)
def test_a_wrong_certificate_is_refused(
    name: str, make: Callable[[FinalBlock], FinalBlock]
) -> None:
    final = make_chain(1)[0]
    check_final_block(CHAIN_ID, SET, final)
    with pytest.raises(InvalidInput) as error:
        check_final_block(CHAIN_ID, SET, make(final))
    assert error.value.code is Code.BAD_CERTIFICATE


def with_certificate(final: FinalBlock, certificate: Certificate) -> FinalBlock:
    return FinalBlock(final.block, final.path, certificate)


class Hanging(Peers):
    """`a` gives what there is and then never answers."""

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        if node_key == b"a" and first > len(self.chains[b"a"]):
            self.asked.append(node_key)
            await asyncio.Event().wait()
        return await super().blocks(node_key, first, count)


async def test_a_liar_who_claims_too_much_and_hangs_silences_nobody_at_the_tip() -> None:
    chain = make_chain(40)
    peers = Hanging(a=chain[:41], b=chain[:39], c=chain[:39])
    world = World(peers)
    world.claim(b"a", 10**9)
    for name in (b"b", b"c"):
        world.claim(name, 39)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.catch_up())
        async with asyncio.timeout(10):
            while len(world.told) < 2:  # noqa: ASYNC110 - polls
                await asyncio.sleep(0.01)
        # What more weight than may lie claims is here: the rest is followed without silence.
        assert world.told == ["started", "ended at 39"]
        assert not world.driver.is_syncing
        assert not task.done()
        task.cancel()
    assert world.chain.head().height == 39


async def test_one_peer_alone_ahead_is_followed_beyond_what_the_others_claim() -> None:
    chain = make_chain(100)
    world = World(Peers(a=chain, b=chain[:10], c=chain[:10]))
    world.claim(b"a", 100)
    for name in (b"b", b"c"):
        world.claim(name, 10)
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head().height == 100
    assert world.told == ["started", "ended at 10", "started", "ended at 100"]


async def test_the_sign_state_is_advanced_before_blocks_are_stored() -> None:
    events: list[str] = []

    class Executor(Chain):
        async def validate(self, block: Block, *, is_certified: bool = False) -> None:
            raise AssertionError("it adopts")

        async def adopt(
            self, blocks: Sequence[tuple[Block, Effects | None]]
        ) -> tuple[int, InvalidInput | Unavailable | None]:
            assert blocks == [(final.block, None)]
            return await self.take_over([Offer(b"a", final, None)], adopts=True)

        async def commit(self, identity: bytes, *certificates: Certificate) -> Header:
            events.append("stored")
            return await super().commit(identity, *certificates)

    async def advance(vote: Vote) -> None:
        events.append(f"advanced to {vote.slot}")

    final = make_chain(1)[0]
    chain = CertifiedChain(Executor(), advance)
    assert await chain.take_over([Offer(b"a", final, None)], adopts=True) == (1, None)
    await chain.commit(final.certificate.vote.block, final.certificate)
    assert events == ["advanced to 1", "stored"]


async def test_the_lag_is_that_of_a_catch_up_and_of_no_claim_alone() -> None:
    chain = make_chain(3 * WINDOW_BLOCKS)
    world = World(Peers(a=chain))
    world.claim(b"a", 3 * WINDOW_BLOCKS)
    assert world.driver.lag == 0
    lags: list[int] = []
    commit = world.chain.commit

    async def noted(identity: bytes, *certificates: Certificate) -> Header:
        lags.append(world.driver.lag)
        return await commit(identity, *certificates)

    world.chain.commit = noted  # type: ignore[method-assign] # listens
    await world.driver.catch_up()
    assert lags[0] == 3 * WINDOW_BLOCKS
    assert lags == sorted(lags, reverse=True)
    assert world.driver.lag == 0


async def test_a_peer_that_claims_too_much_alone_makes_no_lag() -> None:
    chain = make_chain(40)
    world = World(Peers(a=chain, b=chain[:10], c=chain[:10]))
    world.claim(b"a", 10**9)
    for name in (b"b", b"c"):
        world.claim(name, 10)
    lags: dict[int, int] = {}
    commit = world.chain.commit

    async def noted(identity: bytes, *certificates: Certificate) -> Header:
        lags[world.chain.head().height] = world.driver.lag
        return await commit(identity, *certificates)

    world.chain.commit = noted  # type: ignore[method-assign] # listens
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head().height == 40
    assert lags.pop(0) == 10
    assert lags
    assert set(lags.values()) == {0}


async def test_a_commit_that_cannot_be_made_ends_the_round_and_not_the_node() -> None:
    chain = make_chain(2 * WINDOW_BLOCKS)
    world = World(Peers(a=chain))
    world.claim(b"a", 2 * WINDOW_BLOCKS)
    commit, refusals = world.chain.commit, [True, False]

    async def failing(identity: bytes, *certificates: Certificate) -> Header:
        await asyncio.sleep(0)
        if refusals and refusals.pop():
            raise Unavailable(Code.NOT_FOUND, "the branch is gone")
        return await commit(identity, *certificates)

    world.chain.commit = failing  # type: ignore[method-assign] # the second one fails
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.chain.head() == chain[-1].block.header
    assert not refusals


async def test_a_catch_up_brings_what_enough_weight_claims_and_says_so_while_it_runs() -> None:
    length = 3 * WINDOW_BLOCKS
    chain = make_chain(length)
    world = World(Peers(a=chain, b=chain))
    world.claim(b"a", 10**9)
    world.claim(b"b", length)
    assert world.driver.brings_to == 0  # nothing runs
    targets: list[int] = []
    take_over = world.chain.take_over

    async def noted(
        run: Sequence[Offer], *, adopts: bool
    ) -> tuple[int, InvalidInput | Unavailable | None]:
        targets.append(world.driver.brings_to)
        return await take_over(run, adopts=adopts)

    world.chain.take_over = noted  # type: ignore[method-assign] # listens
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert set(targets) == {length}  # what one peer alone claims counts for nothing
    assert world.driver.brings_to == 0


class HangingPeers(Peers):
    """Nobody answers until told to."""

    def __init__(self, **chains: list[FinalBlock]) -> None:
        super().__init__(**chains)
        self.may_answer = asyncio.Event()

    async def blocks(self, node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        await self.may_answer.wait()
        return await super().blocks(node_key, first, count)


async def test_a_catch_up_that_stalls_brings_nothing_until_it_moves_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "BRINGS_S", 0.1)
    chain = make_chain(40)
    peers = HangingPeers(a=chain, b=chain)
    world = World(peers)
    world.claim(b"a", 40)
    world.claim(b"b", 40)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.catch_up())
        await asyncio.sleep(0.02)
        assert world.driver.brings_to == 40
        await asyncio.sleep(0.15)
        assert world.driver.brings_to == 0
        peers.may_answer.set()
        await asyncio.wait_for(task, 10)
    assert world.chain.head().height == 40


async def test_catch_ups_that_bring_nothing_hold_up_consensus_once() -> None:
    world = World(Peers())
    asked: list[int] = []

    async def gone(node_key: bytes, first: int, count: int) -> list[FinalBlock]:
        asked.append(world.driver.brings_to)
        raise Unavailable(Code.UNREACHABLE, "gone")

    world.peers.blocks = gone  # type: ignore[method-assign] # listens
    for _ in range(3):
        for name in (b"a", b"b", b"c"):
            world.claim(name, 40)
        await asyncio.wait_for(world.driver.catch_up(), 10)
    assert 40 in asked
    assert 0 in asked
    assert asked == sorted(asked, reverse=True)


async def test_a_block_without_a_good_certificate_silences_nobody() -> None:
    chain = make_chain(40)
    forged = [with_certificate(final, certify(final.block.header, 2)) for final in chain]
    world = World(Peers(a=forged))
    world.claim(b"a", 40)
    await asyncio.wait_for(world.driver.catch_up(), 10)
    assert world.punished == [b"a"]
    assert world.told == []
