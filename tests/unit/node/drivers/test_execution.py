"""The execution driver end to end on disk: genesis, build, validate, commit, restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate, Signer, Vote, VoteKind
from andon.core.codec import decode_value, encode
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Params
from andon.core.merkle import check_merkle_proof, merkle_proof
from andon.core.state_key import state_key
from andon.core.state_proof import check_state_value
from andon.core.transaction import Transaction, make_call
from consensus.ledger import Parent
from node.drivers import dry_run
from node.drivers.block_tree import Committed
from node.drivers.execution import ExecutionDriver
from node.drivers.past_views import PastViews
from node.drivers.predictions import PredictionService, Question
from node.mempool import Mempool, Verifier
from node.phases import (
    ADMISSION,
    COMMIT,
    EXECUTION,
    PROPOSAL,
    RECOMPUTE,
    SIGNATURES,
    STATE_ROOT,
    VOTES,
)
from node.storage import ChainStore
from tests.unit.consensus.ledger.world import (
    NO_SKIPS,
    TableEngine,
    deployer,
    make_genesis,
    model_output,
    predict,
    put,
    signed,
)

MAP_BYTES = 64 * 1024 * 1024


class FakePredictor:
    """Computes the test model in the event loop; can be wrong, slow or absent."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.error = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_down = False

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        await self.gate.wait()
        if self.is_down:
            raise Unavailable(Code.WORKER_DOWN, "down")
        self.batches.append(windows)
        return [(model_output(window)[0] + self.error,) for window in windows]


class Node:
    def __init__(self, folder: Path, params: Params | None = None) -> None:
        self.store = ChainStore(folder, MAP_BYTES)
        self.verifier = Verifier()
        self.predictor = FakePredictor()
        self.predictions = PredictionService(self.predictor)
        self.engine = TableEngine()
        self.phases: list[tuple[str, float]] = []
        self.driver = ExecutionDriver(
            genesis=make_genesis(params),
            engine=self.engine,
            store=self.store,
            predictions=self.predictions,
            verifier=self.verifier,
            observe=self.observe,
        )
        self.views = PastViews(self.store, TableEngine(), self.predictions)
        self.pool = Mempool(self.driver.admission, self.verifier, observe=self.observe)
        self.driver.attach(self.pool)
        self.commits: list[tuple[Header, Committed]] = []
        self.driver.subscribe(lambda header, committed: self.commits.append((header, committed)))

    def observe(self, phase: str, seconds: float) -> None:
        self.phases.append((phase, seconds))

    def close(self) -> None:
        self.views.close()
        self.driver.close()
        self.verifier.close()
        self.store.close()

    async def build(self, parent: bytes | None = None, slot: int | None = None) -> Block:
        head = self.driver.head()
        return await self.driver.build(
            parent or self.driver.head_hash(),
            self.driver.epoch(),
            slot or (1 if head.closes_epoch else head.slot + 1),
            NO_SKIPS,
            head.time_ms + 5,
        )

    async def extend(self, *others: Node) -> Block:
        block = await self.build()
        for node in (self, *others):
            await node.driver.validate(block)
            await node.driver.commit(block_hash(block.header), certificate_of(block))
        return block


def certificate_of(block: Block) -> Certificate:
    header = block.header
    vote = Vote(kind=VoteKind.FINAL, epoch=header.epoch, slot=header.slot, block=block_hash(header))
    return Certificate(vote=vote, signers=(Signer(0, bytes(64)),))


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(node.driver.run()) for node in nodes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
    for node in nodes:
        node.close()


async def test_a_block_goes_from_one_pool_to_two_disks_with_equal_roots(tmp_path: Path) -> None:
    leader, follower = Node(tmp_path / "a"), Node(tmp_path / "b")
    async with running(leader, follower):
        transaction = signed(put("a", 41), predict(b"abcd"))
        await leader.pool.admit(transaction.raw)
        block = await leader.extend(follower)
        assert len(block.transactions) == 1
        assert leader.driver.head() == follower.driver.head() == block.header
        assert len(leader.pool) == 0
        # Each computed the prediction on its own; the leader executed once.
        assert follower.predictor.batches == [[b"abcd"]]
        key = state_key("table", "table", "a")
        for node in (leader, follower):
            read = node.driver.queries.state(key)
            assert read.value is not None
            assert decode_value(read.value) == 41
            check_state_value(block.header.state_root, key, read.value, read.proof)
            index, found = node.driver.queries.prediction(transaction.id + bytes(4))
            leaves = [encode(record) for record in found.predictions]
            proof = merkle_proof(leaves, index)
            check_merkle_proof(block.header.predictions_root, leaves[index], proof)
            assert found.predictions[index].output == model_output(b"abcd")
            receipt = node.driver.queries.receipt(transaction.id)
            assert receipt is not None
            assert receipt[0] == 1
            assert receipt[1].ok
        assert [header.height for header, _ in follower.commits] == [1]
        assert follower.commits[0][1].receipts[0].transaction_id == transaction.id


async def test_a_block_is_timed_in_every_phase_of_both_roles(tmp_path: Path) -> None:
    leader, follower = Node(tmp_path / "a"), Node(tmp_path / "b")
    async with running(leader, follower):
        await leader.pool.admit(signed(put("a", 1), predict(b"abcd")).raw)
        await leader.extend(follower)
    assert {phase for phase, _ in leader.phases} == {
        ADMISSION,
        PROPOSAL,
        EXECUTION,
        STATE_ROOT,
        VOTES,
        COMMIT,
    }
    assert [phase for phase, _ in follower.phases] == [
        SIGNATURES,
        EXECUTION,
        STATE_ROOT,
        RECOMPUTE,
        VOTES,
        COMMIT,
    ]
    assert all(seconds >= 0 for _, seconds in leader.phases + follower.phases)


async def test_the_own_block_is_not_executed_again(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(signed(put("a", 1)).raw)
        await asyncio.sleep(0.05)  # Let the dry run of the admission pass.
        calls = node.engine.calls
        block = await node.build()
        await node.driver.validate(block)
        assert node.engine.calls == calls + 1


async def test_a_block_waits_for_one_dry_run_and_all_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "GAS_PER_JOB", 1)
    jobs: list[int] = []
    run = dry_run.DryRunner.run

    def counted(
        self: dry_run.DryRunner, parent: Parent, transactions: Sequence[Transaction]
    ) -> tuple[list[Question], Sequence[Transaction]]:
        questions, left = run(self, parent, transactions)
        jobs.append(len(transactions) - len(left))
        return questions, left

    monkeypatch.setattr(dry_run.DryRunner, "run", counted)
    node = Node(tmp_path)
    async with running(node):
        windows = [bytes([number] * 4) for number in range(6)]
        for window in windows:
            await node.pool.admit(signed(predict(window)).raw)
        async with asyncio.timeout(10):
            while len(node.predictions.cache) < len(windows):  # noqa: ASYNC110 - computed apart
                await asyncio.sleep(0.01)
    assert set(jobs) == {1}


async def test_a_chain_goes_on_after_restart(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        for number in range(3):
            await node.pool.admit(signed(put("a", number)).raw)
            last = await node.extend()
    node = Node(tmp_path)
    async with running(node):
        assert node.driver.head() == last.header
        await node.pool.admit(signed(put("a", 9)).raw)
        block = await node.extend()
        assert block.header.height == 4
        assert node.driver.final_block(2) is not None


async def test_a_transaction_is_refused_for_ever_once_final(tmp_path: Path) -> None:
    transaction = signed(put("a", 1))
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(transaction.raw)
        await node.pool.admit(transaction.raw)
        await node.extend()
    node = Node(tmp_path)
    async with running(node):
        with pytest.raises(InvalidInput) as caught:
            await node.pool.admit(transaction.raw)
        assert caught.value.code is Code.DUPLICATE


async def test_a_final_transaction_is_known_as_such_when_its_expiry_is_over(tmp_path: Path) -> None:
    transaction = signed(put("a", 1), expires_height=2)
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(transaction.raw)
        for number in range(3):
            await node.pool.admit(signed(put("b", number)).raw)
            await node.extend()
        with pytest.raises(InvalidInput) as caught:
            await node.pool.admit(transaction.raw)
        assert caught.value.code is Code.DUPLICATE


async def test_blocks_stack_before_they_are_final_and_flush_together(tmp_path: Path) -> None:
    leader, follower = Node(tmp_path / "a"), Node(tmp_path / "b")
    async with running(leader, follower):
        blocks, parent = [], leader.driver.head_hash()
        for slot in range(1, 5):
            await leader.pool.admit(signed(put(f"k{slot}", slot)).raw)
            block = await leader.build(parent, slot)
            assert len(block.transactions) == 1
            await follower.driver.validate(block)
            parent = block_hash(block.header)
            blocks.append(block)
        for node in (leader, follower):
            # A certificate of the third block makes three final; the fourth stands on them.
            head = await node.driver.commit(block_hash(blocks[2].header), certificate_of(blocks[2]))
            assert head == blocks[2].header
            assert [header.height for header, _ in node.commits] == [1, 2, 3]
            final = node.driver.final_block(1)
            assert final is not None
            assert len(final.path) == 2
            await node.driver.commit(parent, certificate_of(blocks[3]))
            assert node.driver.head() == blocks[3].header
            # Once more does nothing.
            await node.driver.commit(parent, certificate_of(blocks[3]))
            await node.driver.commit(block_hash(blocks[1].header), certificate_of(blocks[1]))
            assert node.driver.head().height == 4


async def test_a_cancelled_commit_still_counts(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(signed(put("a", 1)).raw)
        block = await node.build()
        identity = block_hash(block.header)
        task = asyncio.ensure_future(node.driver.commit(identity, certificate_of(block)))  # noqa: TID251
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await node.driver.commit(identity, certificate_of(block))
        assert node.driver.head() == block.header
        assert [header.height for header, _ in node.commits] == [1]
        assert len(node.pool) == 0


async def test_concurrent_commits_of_one_branch_are_one_commit(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        first = await node.build(slot=1)
        second = await node.build(block_hash(first.header), 2)
        await asyncio.gather(
            *(
                node.driver.commit(block_hash(block.header), certificate_of(block))
                for block in (first, second, second, first)
            )
        )
        assert [header.height for header, _ in node.commits] == [1, 2]


async def test_a_fork_is_cut_when_the_other_branch_is_final(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(signed(put("a", 1)).raw)
        genesis = node.driver.head_hash()
        kept, lost = await node.build(genesis, 1), await node.build(genesis, 2)
        await node.driver.commit(block_hash(kept.header), certificate_of(kept))
        assert not node.driver.known(block_hash(lost.header))
        with pytest.raises(Unavailable):
            await node.build(block_hash(lost.header), 3)
        with pytest.raises(Unavailable):
            await node.driver.commit(block_hash(lost.header), certificate_of(lost))


async def test_a_wrong_output_is_named_by_model_input_and_element(tmp_path: Path) -> None:
    honest, wrong = Node(tmp_path / "a"), Node(tmp_path / "b")
    wrong.predictor.error = 7
    async with running(honest, wrong):
        await honest.pool.admit(signed(predict(b"abcd")).raw)
        block = await honest.build()
        with pytest.raises(InvalidInput) as caught:
            await wrong.driver.validate(block)
        assert caught.value.code is Code.PREDICTION_MISMATCH
        fields = caught.value.fields
        assert fields["model_id"] == block.predictions[0].model_id
        assert fields["input_digest"] == block.predictions[0].input_digest
        assert (fields["element"], fields["expected"], fields["computed"]) == (0, 294, 301)
        identity = block_hash(block.header)
        assert not wrong.driver.known(identity)
        with pytest.raises(Unavailable):
            await wrong.driver.commit(identity, certificate_of(block))
        # With a certificate in hand it follows the quorum, as a node without a worker does.
        await wrong.driver.validate(block, is_certified=True)
        await wrong.driver.commit(identity, certificate_of(block))
        assert wrong.driver.head() == block.header


async def test_a_block_with_an_altered_body_does_not_poison_the_true_one(tmp_path: Path) -> None:
    leader, follower = Node(tmp_path / "a"), Node(tmp_path / "b")
    async with running(leader, follower):
        await leader.pool.admit(signed(predict(b"abcd")).raw)
        block = await leader.build()
        (output,) = block.predictions
        altered = msgspec.structs.replace(
            block, predictions=(msgspec.structs.replace(output, output=(1,)),)
        )
        for bad in (altered, msgspec.structs.replace(block, transactions=())):
            with pytest.raises(InvalidInput):
                await follower.driver.validate(bad)
        await follower.driver.validate(block)
        assert follower.driver.known(block_hash(block.header))


async def test_admission_has_the_prediction_computed_before_the_block(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        windows = [b"abc%d" % number for number in range(8)]
        await node.pool.admit(signed(predict(*windows)).raw)
        for _ in range(100):
            if node.predictor.batches:
                break
            await asyncio.sleep(0.01)
        assert sorted(node.predictor.batches[0]) == sorted(windows)
        block = await node.build()
        assert len(block.predictions) == 8
        assert len(node.predictor.batches) == 1


async def test_a_leader_waits_for_a_cold_worker_but_not_for_a_dead_one(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        node.predictor.gate.clear()
        await node.pool.admit(signed(predict(b"abcd")).raw)
        await node.pool.admit(signed(put("a", 1)).raw)
        asyncio.get_running_loop().call_later(0.1, node.predictor.gate.set)
        assert len((await node.build()).transactions) == 2
        node.predictor.is_down = True
        await node.pool.admit(signed(predict(b"abce")).raw)
        assert len((await node.build()).transactions) == 2
        # What was left out waits for a better time.
        assert len(node.pool) == 3


async def test_a_block_does_not_wait_for_a_few_late_outputs(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        node.predictor.gate.clear()
        await node.pool.admit(signed(predict(b"abcd")).raw)
        for key in ("a", "b", "c"):
            await node.pool.admit(signed(put(key, 1)).raw)
        assert len((await node.build()).transactions) == 3
        node.predictor.gate.set()
        while not len(node.predictions.cache):  # noqa: ASYNC110 - nothing else tells of it
            await asyncio.sleep(0.01)
        assert len((await node.build()).transactions) == 4


async def test_a_dead_worker_means_no_verdict(tmp_path: Path) -> None:
    leader, follower = Node(tmp_path / "a"), Node(tmp_path / "b")
    follower.predictor.is_down = True
    async with running(leader, follower):
        await leader.pool.admit(signed(predict(b"abcd")).raw)
        block = await leader.build()
        with pytest.raises(Unavailable):
            await follower.driver.validate(block)
        follower.predictor.is_down = False
        await follower.driver.validate(block)


async def test_views_read_and_predict_without_keeping(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        await node.pool.admit(signed(put("a", 5)).raw)
        await node.extend()
        nobody = bytes(32)
        height, outcome = await node.views.view(
            None, make_call("table", "get", {"key": "a"}), nobody
        )
        assert (height, decode_value(outcome.result)) == (1, 5)
        _, outcome = await node.views.view(None, predict(b"abcd"), nobody)
        assert decode_value(outcome.result) == [294]
        assert node.driver.head().height == 1
        _, outcome = await node.views.view(None, make_call("table", "fail", {}), nobody)
        assert not outcome.ok


async def test_an_epoch_closes_and_the_next_set_is_known_after_restart(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        value = {"height": 1, "validators": [{"key": deployer.public, "weight": 3, "org": "x"}]}
        call = make_call("identity", "set", {"name": "next", "value": value})
        await node.pool.admit(signed(call).raw)
        await node.extend()
        assert node.driver.epoch() == 1
        await node.pool.admit(signed(put("a", 5)).raw)
        block = await node.extend()
        assert (block.header.epoch, block.header.slot) == (1, 1)
        assert block.header.proposer == deployer.public
    node = Node(tmp_path)
    async with running(node):
        assert node.driver.validators().total_weight == 3
        assert len(node.driver.validators(0).validators) == 4
        with pytest.raises(InvalidInput):
            node.driver.validators(2)
        (closing,) = node.driver.queries.epoch_closings()
        assert closing.header.height == 1


async def test_the_height_at_which_a_validator_lost_its_vote_is_found(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        leaving = node.driver.validators().validators[0].key
        assert leaving != deployer.public
        for height, keys in ((2, [deployer.public]), (4, [deployer.public, leaving])):
            entries = [{"key": key, "weight": 3, "org": "x"} for key in sorted(keys)]
            value = {"height": height, "validators": entries}
            call = make_call("identity", "set", {"name": "next", "value": value})
            await node.pool.admit(signed(call).raw)
            assert node.driver.queries.removed_at(leaving) == (None if height == 2 else 2)
            assert node.driver.queries.removed_at(bytes(32)) is None
            await node.extend()
            await node.pool.admit(signed(put("a", height)).raw)
            await node.extend()
        # It has a vote again.
        assert node.driver.queries.removed_at(leaving) is None
        assert node.driver.queries.removed_at(deployer.public) is None


async def test_unknown_things_are_said_to_be_unknown(tmp_path: Path) -> None:
    node = Node(tmp_path)
    async with running(node):
        queries = node.driver.queries
        assert node.driver.block(bytes(32)) is None
        assert node.driver.final_block(7) is None
        assert queries.receipt(bytes(32)) is None
        for ask in (
            lambda: queries.block(7),
            lambda: queries.block(-1),
            lambda: queries.prediction(b""),
            lambda: queries.prediction(bytes(36)),
            lambda: queries.prediction(bytes(9000)),
        ):
            with pytest.raises(InvalidInput):
                ask()


async def test_what_was_admissible_is_looked_up_again_after_a_final_block(tmp_path: Path) -> None:
    node = Node(tmp_path / "chain")
    async with running(node):
        transaction = signed(put("a", 1))
        node.driver.admission.check_admission(transaction)
        await node.pool.admit(transaction.raw)
        node.driver.admission.check_admission(transaction)
        await node.extend()
        with pytest.raises(InvalidInput) as caught:
            node.driver.admission.check_admission(transaction)
        assert caught.value.code is Code.DUPLICATE
    node.close()
