"""The verifier remembers headers that are final, and believes nothing more for it."""

import msgspec
import pytest

from andon.client.verifier import KNOWN_MAX, Verifier
from andon.core.certificate import Certificate
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import ZERO_DIGEST
from andon.core.proof import (
    FinalHeader,
    ProofBundle,
    TransactionSubject,
    encode_bundle,
    verify_bundle,
)
from tests.unit.andon.core.test_proof import FIRST, bundle, final, genesis, header


def asked(verifier: Verifier, given: ProofBundle) -> Code | None:
    """What the verifier says of a bundle as it comes from a node; None if it holds."""
    try:
        verifier.transaction("0x" + encode_bundle(given).hex(), ZERO_DIGEST)
    except InvalidInput as error:
        return error.code
    return None


def test_a_known_header_proves_only_what_its_roots_hold() -> None:
    verifier = Verifier(genesis())
    honest = bundle(final(header(0, 5, 5, FIRST), FIRST))
    # LEAVES are no transactions: what is malformed was proved before.
    assert asked(verifier, honest) is Code.MALFORMED
    assert len(verifier._known) == 1
    assert asked(verifier, honest) is Code.MALFORMED
    assert len(verifier._known) == 1
    assert isinstance(honest.subject, TransactionSubject)
    forged = TransactionSubject(b"forged", honest.subject.path)
    assert asked(verifier, msgspec.structs.replace(honest, subject=forged)) is Code.BAD_PROOF
    other = msgspec.structs.replace(honest, genesis_hash=ZERO_DIGEST)
    assert asked(verifier, other) is Code.WRONG_CHAIN


def test_a_known_header_under_another_certificate_is_checked_anew() -> None:
    verifier = Verifier(genesis())
    proved = final(header(0, 5, 5, FIRST), FIRST)
    assert asked(verifier, bundle(proved)) is Code.MALFORMED
    fewer = Certificate(proved.certificate.vote, proved.certificate.signers[:2])
    weak = bundle(FinalHeader(proved.header, (), fewer))
    assert asked(verifier, weak) is Code.BAD_CERTIFICATE
    changed = msgspec.structs.replace(proved.header, transactions_root=ZERO_DIGEST)
    moved = bundle(msgspec.structs.replace(proved, header=changed))
    assert asked(verifier, moved) is Code.BAD_PROOF
    with pytest.raises(InvalidInput):
        verify_bundle(genesis(), moved)


def test_only_the_last_headers_are_remembered() -> None:
    verifier = Verifier(genesis())
    for height in range(5, 5 + KNOWN_MAX + 2):
        asked(verifier, bundle(final(header(0, height, height, FIRST), FIRST)))
    assert len(verifier._known) == KNOWN_MAX
