"""Tallies, certificates, evidence, bounds: rules R1, R2, R9, R15, R16."""

from __future__ import annotations

import pytest

from andon.core.certificate import SignedVote, VoteKind
from consensus import bft
from tests.unit.consensus.bft.core import (
    PARAMS,
    Core,
    certificate,
    position,
    signed,
)

NOTAR, SKIP, FINAL, PROPOSE = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL, VoteKind.PROPOSE


def test_a_quorum_of_votes_makes_a_certificate_that_is_sent_and_opens_the_next_slot() -> None:
    core = Core()
    core.vote(1, SKIP, 1)
    core.vote(2, SKIP, 1)
    assert core.of(bft.SendCertificate) == []
    core.vote(3, SKIP, 1)
    (sent,) = core.of(bft.SendCertificate)
    assert [signer.validator for signer in sent.certificate.signers] == [1, 2, 3]
    assert core.of(bft.KeepCertificate) == [bft.KeepCertificate(sent.certificate)]
    assert core.state.slot == 2


def test_a_validator_counts_once() -> None:
    core = Core()
    for _ in range(3):
        core.vote(1, SKIP, 1)
    core.vote(2, SKIP, 1)
    assert core.state.slot == 1


def test_every_new_certificate_is_sent_on_once() -> None:
    core = Core()
    core.certify(SKIP, 1)
    assert len(core.of(bft.SendCertificate)) == 1
    core.certify(SKIP, 1)
    assert core.effects == []


def test_a_certificate_of_a_far_slot_brings_us_there() -> None:
    core = Core()
    core.certify(SKIP, 5000)
    assert core.state.slot == 5001


def test_votes_and_certificates_of_other_epochs_change_nothing() -> None:
    core = Core(position(epoch=3, index=0))
    for epoch in (2, 4):
        core.feed(bft.VoteReceived(signed(1, SKIP, 1, epoch=epoch)))
        core.feed(bft.CertificateReceived(certificate(SKIP, 1, epoch=epoch)))
        assert core.state.slot == 1
        assert core.state.tables.get(1) is None or not core.state.tables[1].votes
    assert core.of(bft.CatchUp) == [bft.CatchUp(4, 1)]


@pytest.mark.parametrize(
    ("first", "second", "is_reported"),
    [
        (signed(1, NOTAR, 1, b"a" * 32), signed(1, NOTAR, 1, b"b" * 32), True),
        (signed(1, FINAL, 1, b"a" * 32), signed(1, FINAL, 1, b"b" * 32), True),
        (signed(1, FINAL, 1, b"a" * 32), signed(1, SKIP, 1), True),
        (signed(1, SKIP, 1), signed(1, FINAL, 1, b"a" * 32), True),
        (signed(1, NOTAR, 1, b"a" * 32), signed(1, FINAL, 1, b"b" * 32), False),
        (signed(1, FINAL, 1, b"b" * 32), signed(1, NOTAR, 1, b"a" * 32), False),
        (signed(1, NOTAR, 1, b"a" * 32), signed(1, SKIP, 1), False),
        (signed(1, NOTAR, 1, b"a" * 32), signed(1, NOTAR, 2, b"b" * 32), False),
        (signed(1, NOTAR, 1, b"a" * 32), signed(2, NOTAR, 1, b"b" * 32), False),
    ],
)
def test_exactly_the_three_pairs_are_evidence(
    first: SignedVote, second: SignedVote, *, is_reported: bool
) -> None:
    core = Core()
    core.feed(bft.VoteReceived(first))
    core.feed(bft.VoteReceived(second))
    assert bool(core.of(bft.Report)) is is_reported
    assert bft.is_evidence(first, second) is is_reported


def test_signatures_inside_certificates_are_evidence_too() -> None:
    core = Core()
    core.vote(1, FINAL, 1, b"a" * 32)
    core.certify(SKIP, 1)
    (report,) = core.of(bft.Report)
    assert report.first.validator == 1


def test_tables_stay_bounded_under_votes_of_all_slots() -> None:
    core = Core()
    for slot in range(1, 3000, 7):
        core.vote(2, SKIP, slot)
    assert len(core.state.tables) <= PARAMS.slots_ahead_max + 1
