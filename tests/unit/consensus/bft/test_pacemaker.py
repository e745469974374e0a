"""Timers, standstill and silent leaders: rules R8, R10 to R12."""

from __future__ import annotations

from andon.core.block import Justification, block_hash
from andon.core.certificate import VoteKind
from andon.core.hashing import ZERO_DIGEST
from consensus import bft
from consensus.bft.pacemaker import INACTIVE_SLOTS
from tests.unit.consensus.bft.core import (
    PARAMS,
    SET,
    Core,
    certificate,
    header,
    position,
    signed,
)

NOTAR, SKIP, FINAL, PROPOSE = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL, VoteKind.PROPOSE


def test_the_timer_of_an_old_slot_or_epoch_is_ignored() -> None:
    core = Core()
    core.certify(SKIP, 1)
    assert core.fire(bft.Timer.SKIP, 1) == []
    assert core.feed(bft.TimerFired(bft.Timer.SKIP, 9, 2)) == []
    core.fire(bft.Timer.SKIP, 2)
    assert core.casts() == [(SKIP, 2, ZERO_DIGEST)]


def test_a_standstill_says_everything_again_and_a_moving_network_does_not() -> None:
    core = Core(position(index=0, slot=5, height=5, epoch=1))
    core.fire(bft.Timer.SKIP, 6)
    core.feed(bft.VoteReceived(signed(0, SKIP, 6, epoch=1)))
    core.certify(SKIP, 6)
    core.fire(bft.Timer.STANDSTILL, 0)
    assert core.of(bft.SendCertificate) == []
    core.fire(bft.Timer.STANDSTILL, 0)
    sent = [
        (item.certificate.vote.kind, item.certificate.vote.slot)
        for item in core.of(bft.SendCertificate)
    ]
    assert sent == [(FINAL, 5), (SKIP, 6)]
    assert [item.vote.vote.slot for item in core.of(bft.SendVote)] == [6]
    assert any(timer.timer is bft.Timer.STANDSTILL for timer in core.of(bft.SetTimer))


def test_timeouts_grow_to_a_cap_and_a_final_block_resets_them() -> None:
    core = Core()
    delays = []
    for slot in range(1, 12):
        # All speak, so that no leader counts as silent.
        core.feed(bft.CertificateReceived(certificate(SKIP, slot, signers=(1, 2, 3))))
        delays.append(core.of(bft.SetTimer)[0].delay_ms)
    assert delays[:2] == [1000, 1000]
    assert delays == sorted(delays)
    assert delays[-1] == PARAMS.skip_timeout_max_ms
    head = header(12, justification=None)
    core.feed(
        bft.BlockReceived(
            block=block_hash(head), header=head, justification=Justification(None, ())
        )
    )
    core.certify(FINAL, 12, block_hash(head))
    core.certify(SKIP, 13)
    assert core.of(bft.SetTimer)[0].delay_ms == 1000


def test_a_silent_leader_is_skipped_fast_and_one_that_speaks_again_is_not() -> None:
    core = Core()
    # Validator 3 never signs; slots 3, 7, 11, 15 are its turns.
    delays = {}
    for slot in range(1, 16):
        core.feed(bft.CertificateReceived(certificate(SKIP, slot, signers=(0, 1, 2))))
        delays[slot + 1] = core.of(bft.SetTimer)[0].delay_ms
    assert delays[7] >= 1000
    assert delays[11] < 200
    assert delays[10] >= 1000
    assert delays[12] >= 1000
    core.vote(3, SKIP, 16)
    for slot in range(16, 19):
        core.feed(bft.CertificateReceived(certificate(SKIP, slot, signers=(0, 1, 2))))
    assert core.of(bft.SetTimer)[0].delay_ms >= 1000
    assert len(SET.validators) <= INACTIVE_SLOTS
