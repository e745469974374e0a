"""R4 and R14 as a table: what may stand where."""

from __future__ import annotations

import pytest

from andon.core.block import Justification, block_hash
from andon.core.certificate import Certificate, VoteKind
from andon.core.errors import Code, InvalidInput
from consensus.bft.justification import certificates_of, check_proposal
from tests.unit.consensus.bft.core import certificate, header, replace

NOTAR, SKIP, FINAL = VoteKind.NOTAR, VoteKind.SKIP, VoteKind.FINAL
PARENT = b"p" * 32


def skips(*slots: int) -> tuple[Certificate, ...]:
    return tuple(certificate(SKIP, slot) for slot in slots)


def is_accepted(
    slot: int,
    parent_certificate: Certificate | None,
    between: tuple[Certificate, ...] = (),
    epoch: int = 0,
) -> bool:
    justification = Justification(parent_certificate, between)
    head = header(slot, parent=PARENT, epoch=epoch)
    try:
        check_proposal(head, block_hash(head), justification, slot, None)
    except InvalidInput as error:
        return error.code is not Code.BAD_BLOCK
    return True


@pytest.mark.parametrize(
    ("slot", "parent", "between", "epoch", "expected"),
    [
        (1, None, (), 0, True),
        (3, None, skips(1, 2), 0, True),
        (3, None, skips(2), 0, False),
        (3, None, skips(1, 1), 0, False),
        (3, None, skips(2, 1), 0, False),
        (3, None, skips(1, 2, 3), 0, False),
        (1, None, (), 1, False),
        (3, certificate(NOTAR, 2, PARENT), (), 0, True),
        (3, certificate(FINAL, 2, PARENT), (), 0, True),
        (3, certificate(NOTAR, 1, PARENT), skips(2), 0, True),
        (3, certificate(NOTAR, 1, PARENT), (), 0, False),
        (3, certificate(NOTAR, 1, b"q" * 32), skips(2), 0, False),
        (3, certificate(NOTAR, 3, PARENT), (), 0, False),
        (3, certificate(NOTAR, 4, PARENT), (), 0, False),
        (3, certificate(SKIP, 2), (), 0, False),
        (3, certificate(NOTAR, 1, PARENT), (certificate(NOTAR, 2, PARENT),), 0, False),
        (3, certificate(NOTAR, 1, PARENT), (certificate(SKIP, 2, epoch=1),), 0, False),
        (1, certificate(FINAL, 9, PARENT, epoch=0), (), 1, True),
        (1, certificate(NOTAR, 9, PARENT, epoch=0), (), 1, False),
        (1, certificate(FINAL, 9, PARENT, epoch=0), (), 2, False),
        (2, certificate(FINAL, 9, PARENT, epoch=0), (), 1, False),
    ],
)
def test_a_block_stands_exactly_where_its_justification_leads(
    slot: int,
    parent: Certificate | None,
    between: tuple[Certificate, ...],
    epoch: int,
    *,
    expected: bool,
) -> None:
    assert is_accepted(slot, parent, between, epoch) is expected


def is_accepted_again(*, closes: bool, slot: int, again: Justification) -> bool:
    head = header(2, closes=closes)
    why = Justification(None, skips(1))
    try:
        check_proposal(head, block_hash(head), why, slot, again)
    except InvalidInput:
        return False
    return True


def test_only_a_closing_block_is_proposed_again_with_its_own_certificate() -> None:
    closing, plain = block_hash(header(2, closes=True)), block_hash(header(2))
    own = certificate(NOTAR, 2, closing)
    assert is_accepted_again(closes=True, slot=3, again=Justification(own, ()))
    assert is_accepted_again(closes=True, slot=5, again=Justification(own, skips(3, 4)))
    assert not is_accepted_again(closes=True, slot=2, again=Justification(own, ()))
    assert not is_accepted_again(closes=True, slot=5, again=Justification(own, skips(3)))
    assert not is_accepted_again(closes=True, slot=3, again=Justification(None, skips(1, 2)))
    other = certificate(NOTAR, 2, PARENT)
    assert not is_accepted_again(closes=True, slot=3, again=Justification(other, ()))
    early = certificate(NOTAR, 1, closing)
    assert not is_accepted_again(closes=True, slot=3, again=Justification(early, skips(2)))
    of_plain = certificate(NOTAR, 2, plain)
    assert not is_accepted_again(closes=False, slot=3, again=Justification(of_plain, ()))


def test_a_proposal_for_another_slot_than_the_header_says_is_refused() -> None:
    head = header(1)
    with pytest.raises(InvalidInput, match="slot"):
        check_proposal(head, block_hash(head), Justification(None, ()), 2, None)


def test_certificates_are_listed_oldest_first() -> None:
    parent = certificate(NOTAR, 1, PARENT)
    assert certificates_of(Justification(parent, skips(2, 3))) == (parent, *skips(2, 3))
    assert certificates_of(None) == ()
    assert replace(parent, signers=()) not in certificates_of(Justification(parent, ()))
