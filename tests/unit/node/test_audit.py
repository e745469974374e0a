"""Audits of a real chain: equal, different, out of time, forged; inputs come from replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from andon.core.block import Block, PredictionOutput, block_hash
from andon.core.certificate import Certificate, Signer, Vote, VoteKind, vote_signing_bytes
from andon.core.errors import AndonError, Misuse
from andon.core.wire import FinalBlock
from andon.core.worker import Explained
from node import audit as audit_module
from node.audit import Auditor, Range
from tests.unit.node.drivers.test_contract_engine import (
    CHAIN,
    MODEL,
    WINDOW_BYTES,
    RealNode,
    activate,
    assess,
    commit,
    make_genesis,
    operator,
    signed,
    validators,
)
from tests.unit.node.drivers.test_execution import running

BLOB = b"package"


class Worker:
    """The model of that chain, off by `error` for windows that begin with `marked`."""

    def __init__(self, marked: int = -1, error: int = 7) -> None:
        self.marked, self.error = marked, error
        self.loaded: list[bytes] = []
        self.batches: list[int] = []

    def has_model(self, model_id: bytes) -> bool:
        return bool(self.loaded)

    async def load(self, blob: bytes, reread: Callable[[], bytes]) -> object:
        self.loaded.append(blob)
        return None

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        assert model_id == MODEL
        self.batches.append(len(windows))
        return [
            (10 * sum(window) + (self.error if window[0] == self.marked else 0),)
            for window in windows
        ]

    async def explain(
        self, model_id: bytes, window: bytes, committed: tuple[int, ...]
    ) -> Explained:
        (found,) = await self.predict(model_id, [window])
        return Explained(0, committed[0], committed[0], found[0], 4, "dense", "backend")


def certified(final: FinalBlock) -> FinalBlock:
    """The block with a Final certificate of three of four validators, as real chains have it."""
    header = final.block.header
    vote = Vote(kind=VoteKind.FINAL, epoch=header.epoch, slot=header.slot, block=block_hash(header))
    message = vote_signing_bytes(CHAIN, vote)
    signers = tuple(Signer(i, key.sign(message)) for i, key in enumerate(validators[:3]))
    return FinalBlock(final.block, (), Certificate(vote=vote, signers=signers))


class Source:
    """Blocks of a node's store."""

    def __init__(self, node: RealNode) -> None:
        self.node = node
        self.asked: list[int] = []
        self.changed: dict[int, FinalBlock] = {}

    async def final_block(self, height: int) -> FinalBlock:
        self.asked.append(height)
        found = self.changed.get(height) or self.node.driver.final_block(height)
        assert found is not None
        return certified(found) if height not in self.changed else found

    async def blob(self, identity: bytes) -> bytes:
        assert identity == bytes(32)
        return BLOB


async def grown(node: RealNode) -> int:
    """A chain with predictions in its last five blocks; gives the first of these heights."""
    await activate(node)
    first = node.driver.head().height + 1
    for number in range(5):
        window = bytes([10 + number] * WINDOW_BYTES)
        await commit(node, raws=[signed(operator, assess(f"m{number}", window))])
    return first


def nothing(_height: int) -> None:
    """No progress bar."""


async def test_a_sound_chain_is_recomputed_with_the_inputs_of_the_replay(tmp_path: Path) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        worker, seen = Worker(), list[int]()
        auditor = Auditor(make_genesis(), Source(node), worker)
        result = await auditor.run(Range(first=first, last=first + 4, seconds=60), seen.append)
        assert result.is_complete
        assert (result.predictions, result.reached) == (5, first + 4)
        assert worker.loaded == [BLOB]
        assert worker.batches == [5]
        assert seen == list(range(1, first + 5))


async def test_a_range_leaves_the_predictions_before_it_out(tmp_path: Path) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        auditor = Auditor(make_genesis(), Source(node), Worker(marked=10))
        result = await auditor.run(Range(first=first + 1, last=first + 2, seconds=60), nothing)
        assert result.is_complete
        assert result.predictions == 2


async def test_the_first_difference_is_reported_with_height_input_and_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        for batch in (1, 1024):
            monkeypatch.setattr(audit_module, "BATCH_WINDOWS_MAX", batch)
            auditor = Auditor(make_genesis(), Source(node), Worker(marked=12))
            result = await auditor.run(Range(first=1, last=first + 4, seconds=60), nothing)
            found = result.difference
            assert found is not None
            assert not result.is_complete
            assert (found.height, result.reached, result.predictions) == (first + 2, first + 1, 2)
            assert (found.report.operation, found.report.name) == (4, "dense")
            assert found.report.found - found.report.committed == 7


async def test_an_audit_that_runs_out_of_time_says_how_far_it_came(tmp_path: Path) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        clock = iter(range(1000))
        auditor = Auditor(make_genesis(), Source(node), Worker(), lambda: next(clock))
        result = await auditor.run(Range(first=1, last=first + 4, seconds=first + 2), nothing)
        assert result.difference is None
        assert not result.is_complete
        assert (result.reached, result.predictions) == (first + 1, 2)


async def test_memory_is_bounded_by_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "BATCH_BYTES_MAX", 2 * WINDOW_BYTES)
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        worker = Worker()
        auditor = Auditor(make_genesis(), Source(node), worker)
        result = await auditor.run(Range(first=1, last=first + 4, seconds=60), nothing)
        assert result.is_complete
        assert worker.batches == [2, 2, 1]


async def test_a_block_whose_outputs_or_certificate_were_changed_is_refused(
    tmp_path: Path,
) -> None:
    node = RealNode(tmp_path)
    async with running(node):
        first = await grown(node)
        found = node.driver.final_block(first)
        assert found is not None
        final = certified(found)
        (claim,) = final.block.predictions
        lie = PredictionOutput(claim.model_id, claim.input_digest, (claim.output[0] + 1,))
        parts = final.block
        forged = Block(parts.header, parts.justification, parts.transactions, (lie,))
        other = node.driver.final_block(first + 1)
        assert other is not None
        for changed in (
            FinalBlock(forged, final.path, final.certificate),
            FinalBlock(final.block, (), certified(other).certificate),
            FinalBlock(final.block, (), found.certificate),
            certified(other),
        ):
            source = Source(node)
            source.changed[first] = changed
            auditor = Auditor(make_genesis(), source, Worker())
            with pytest.raises(AndonError):
                await auditor.run(Range(first=1, last=first + 4, seconds=60), nothing)


async def test_a_range_the_wrong_way_round_is_refused() -> None:
    for first, last in ((0, 3), (4, 3)):
        auditor = Auditor(make_genesis(), Source.__new__(Source), Worker())
        with pytest.raises(Misuse):
            await auditor.run(Range(first=first, last=last, seconds=1), nothing)
