"""The asyncio driver of consensus: four of them agree, also after restarts and lies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from andon.core.block import Header, Justification, block_hash
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    Vote,
    VoteKind,
    make_validator_set,
)
from andon.core.codec import encode
from andon.core.errors import Corrupt
from andon.core.hashing import ZERO_DIGEST
from andon.core.wire import BlockMessage, CertificateMessage, VoteMessage
from consensus.ledger import Turn
from node.drivers import consensus
from node.drivers.consensus import ConsensusDriver
from node.drivers.inbox import LATER_PER_PEER_MAX, PER_PEER_MAX
from node.signer import SignState, SignStateFile
from node.testing.sim.chain import SET
from tests.unit.node.drivers.consensus_net import Net


def restore_sign_state(folder: Path, key: bytes, state: SignState) -> None:
    path = folder / f"sign_state_{key.hex()[:8]}"
    path.unlink()
    with SignStateFile(path, may_create=True) as file:
        file.write(state)


async def test_four_drivers_commit_the_same_blocks(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(5)
        await net.stop_all()
    chains = [[block_hash(f.block.header) for f in disk.finals[:5]] for disk in net.disks.values()]
    assert all(chain == chains[0] for chain in chains)
    assert (net.evidence, net.refused, net.punished) == ([], [], [])


async def test_one_of_four_may_be_down_and_comes_back(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(2)
        gone = net.keys[0].public
        await net.stop(gone)
        await net.reach(4)
        net.start(net.keys[0], group)
        # It is only a few blocks behind: certificates and fetches by hash bring them.
        await net.reach(max(len(disk.finals) for disk in net.disks.values()) + 2)
        await net.stop_all()
    assert net.evidence == []


async def test_beside_a_catch_up_nothing_is_fetched_or_executed_and_after_it_all(
    tmp_path: Path,
) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(2)
        late = net.keys[0].public
        await net.stop(late)
        missed = max(len(disk.finals) for disk in net.disks.values()) + 4
        await net.reach(missed)
        net.fetches.clear()
        net.brings_to[late] = 10**6  # more than there is: a catch-up that stalls
        net.start(net.keys[0], group)
        await net.reach(missed + 3, [key.public for key in net.keys[1:]])
        assert net.chains[late].validated == []
        assert late not in net.fetches
        net.brings_to[late] = 0
        await net.reach(max(len(disk.finals) for disk in net.disks.values()) + 2)
        await net.stop_all()
    assert net.evidence == []


async def test_a_signer_that_refuses_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(2)
        silent = net.keys[0].public
        await net.stop(silent)
        # As if a second process with the same key had signed further.
        restore_sign_state(tmp_path, silent, SignState(epoch=0, floor=10_000, entries=()))
        net.start(net.keys[0], group)
        await net.reach(5, [key.public for key in net.keys[1:]])
        await net.stop_all()
    assert set(net.unsigned) == {silent}
    assert net.evidence == []


async def test_a_restart_of_all_goes_on_without_contradiction(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for round_number in range(3):
            for key in net.keys:
                net.start(key, group)
            await net.reach(3 * (round_number + 1))
            await net.stop_all()
    assert net.evidence == []
    assert min(len(disk.finals) for disk in net.disks.values()) >= 9


async def test_without_a_quorum_nothing_becomes_final(tmp_path: Path) -> None:
    net = Net(tmp_path)
    net.cut = [net.keys[0].public, net.keys[1].public]
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await asyncio.sleep(0.5)
        assert all(not disk.finals for disk in net.disks.values())
        net.cut = []
        await net.reach(2)
        await net.stop_all()


async def test_a_sign_state_older_than_the_chain_refuses_to_start(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(2)
        old = net.files[net.keys[0].public].state
        # A height is at most its slot: from here on the chain is beyond all that `old` knows.
        await net.reach(old.position[1] + 1)
        await net.stop_all()
        restore_sign_state(tmp_path, net.keys[0].public, old)
        with pytest.raises(Corrupt, match="sign state ends"):
            net.start(net.keys[0], group)
        for file in net.files.values():
            file.close()


async def test_forged_and_unasked_messages_change_nothing_and_are_punished(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        for key in net.keys:
            net.start(key, group)
        await net.reach(1)
        victim, liar = net.drivers[net.keys[0].public], net.keys[1].public
        slot = victim.status().slot + 1
        vote = Vote(VoteKind.SKIP, 0, slot, ZERO_DIGEST)
        signers = tuple(Signer(index, bytes(64)) for index in range(3))
        victim.receive(liar, CertificateMessage(Certificate(vote, signers)))
        victim.receive(liar, CertificateMessage(Certificate(vote, signers[:2])))
        real = net.disks[liar].finals[0].block
        victim.receive(liar, BlockMessage(real))
        await net.reach(3)
        await net.stop_all()
    assert any("BAD_SIGNATURE" in reason for reason in net.punished)
    assert any("BAD_CERTIFICATE" in reason for reason in net.punished)
    assert net.evidence == []


async def test_the_queue_of_messages_is_bounded(tmp_path: Path) -> None:
    net = Net(tmp_path)
    async with asyncio.TaskGroup() as group:
        net.start(net.keys[0], group)
        await asyncio.sleep(0)
        driver = net.drivers[net.keys[0].public]
        vote = Vote(VoteKind.SKIP, 0, 1, ZERO_DIGEST)
        message = CertificateMessage(Certificate(vote, ()))
        for _ in range(PER_PEER_MAX + 7):
            driver.receive(net.keys[1].public, message)
        assert driver.status().queued_count <= PER_PEER_MAX
        assert driver.status().dropped_count >= 7
        await net.stop_all()


def close_epoch(net: Net, key: bytes) -> tuple[Header, Certificate]:
    """Commit a block that changes the set, as a catch-up does: beside consensus."""
    model = net.chains[key].model
    weight = model.epoch + 2
    changed = make_validator_set(tuple(Validator(item.public, weight) for item in net.keys))
    turn = Turn(slot=1, justification=Justification(None, ()), time_ms=model.head.time_ms + 1)
    block = model.build(block_hash(model.head), turn, [SET + encode(changed)])
    identity = block_hash(block.header)
    certificate = Certificate(Vote(VoteKind.FINAL, block.header.epoch, 1, identity), ())
    model.commit(identity, certificate)
    return model.head, certificate


async def test_a_catch_up_that_begins_before_the_last_ones_end_is_digested_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consensus, "SYNC_QUIET_S", 0.3)
    net = Net(tmp_path)
    key = net.keys[0].public

    async def syncing(driver: ConsensusDriver, *, expected: bool) -> None:
        async with asyncio.timeout(10):
            while driver.status().is_syncing is not expected:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        net.start(net.keys[0], group)
        await asyncio.sleep(0)
        driver = net.drivers[key]
        driver.sync_started()
        await syncing(driver, expected=True)
        driver.synced_to(*close_epoch(net, key))
        driver.sync_started()
        async with asyncio.timeout(10):
            while driver.status().epoch == 0:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        await syncing(driver, expected=True)
        await asyncio.sleep(0.1)
        assert driver.status().is_syncing
        await syncing(driver, expected=False)  # it brought nothing for SYNC_QUIET_S
        await net.stop_all()


async def test_what_waited_for_an_epoch_that_came_by_catching_up_keeps_no_newer_out(
    tmp_path: Path,
) -> None:
    net = Net(tmp_path)
    key, peer = net.keys[0].public, net.keys[1].public

    async def taken(driver: ConsensusDriver, epoch: int) -> None:
        async with asyncio.timeout(10):
            while driver.status().epoch != epoch or driver.status().queued_count:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)

    def forged(epoch: int) -> VoteMessage:
        return VoteMessage(SignedVote(Vote(VoteKind.SKIP, epoch, 9, ZERO_DIGEST), 1, bytes(64)))

    async with asyncio.TaskGroup() as group:
        net.start(net.keys[0], group)
        driver = net.drivers[key]
        for _ in range(LATER_PER_PEER_MAX):
            driver.receive(peer, forged(1))
        await taken(driver, 0)
        close_epoch(net, key)
        driver.synced_to(*close_epoch(net, key))
        await taken(driver, 2)
        assert net.punished == []  # of an epoch that is over
        driver.receive(peer, forged(3))
        await taken(driver, 2)
        driver.synced_to(*close_epoch(net, key))
        await taken(driver, 3)
        await net.stop_all()
    assert net.punished == ["consensus BAD_SIGNATURE"]
