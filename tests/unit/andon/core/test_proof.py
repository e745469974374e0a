"""Bundles against tampering; the chains are made by hand."""

import msgspec
import pytest

from andon.core.block import Header, block_hash
from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    VoteKind,
    make_validator_set,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.codec import encode, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, Params, contract_at_genesis, genesis_hash
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from andon.core.merkle import MerkleProof, merkle_proof, merkle_root
from andon.core.proof import (
    EpochChange,
    FinalHeader,
    ProofBundle,
    TransactionSubject,
    decode_bundle,
    encode_bundle,
    genesis_trust,
    verify_bundle,
)
from node.testing.memory_node import certify

LEAVES = (b"first", b"second", b"third")


def keys(seed: int, count: int = 4) -> list[PrivateKey]:
    made = [PrivateKey(bytes([seed * 16 + index + 1]) * 32) for index in range(count)]
    return sorted(made, key=lambda key: key.public)


def set_of(signers: list[PrivateKey]) -> ValidatorSet:
    return make_validator_set(tuple(Validator(key.public, 1) for key in signers))


FIRST, SECOND = keys(1), keys(2)


def genesis() -> Genesis:
    entries = [{"key": key.public, "weight": 1, "org": "a"} for key in FIRST]
    identity = contract_at_genesis("identity", b"", {"validators": entries})
    return Genesis("proof-1", 1, Params(), (identity,))


def header(
    epoch: int, slot: int, height: int, signers: list[PrivateKey], parent: bytes = ZERO_DIGEST
) -> Header:
    own = validators_hash(set_of(signers))
    return Header(
        version=1,
        chain_id="proof-1",
        epoch=epoch,
        slot=slot,
        height=height,
        time_ms=height,
        parent=parent,
        proposer=signers[0].public,
        justification_digest=ZERO_DIGEST,
        transactions_root=merkle_root(LEAVES),
        predictions_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        validators_hash=own,
        next_validators_hash=own,
        gas_used=0,
    )


def final(of: Header, signers: list[PrivateKey], path: tuple[Header, ...] = ()) -> FinalHeader:
    return FinalHeader(of, path, certify(signers, path[-1] if path else of))


def bundle(proved: FinalHeader, changes: tuple[EpochChange, ...] = ()) -> ProofBundle:
    subject = TransactionSubject(LEAVES[1], merkle_proof(LEAVES, 1))
    return ProofBundle(genesis_hash(genesis()), changes, proved, None, subject)


def closing(height: int = 3) -> EpochChange:
    closes = msgspec.structs.replace(
        header(0, 3, height, FIRST), next_validators_hash=validators_hash(set_of(SECOND))
    )
    return EpochChange(final(closes, FIRST), set_of(SECOND))


def refused(given: ProofBundle) -> Code:
    with pytest.raises(InvalidInput) as caught:
        verify_bundle(genesis(), given)
    return caught.value.code


def test_a_bundle_of_the_first_epoch_holds_after_a_round_trip() -> None:
    given = bundle(final(header(0, 5, 5, FIRST), FIRST))
    verified = verify_bundle(genesis(), decode_bundle(encode_bundle(given)))
    assert verified.signed_weight == 4
    assert verified.block == block_hash(given.final.header)


def test_a_later_set_is_reached_over_the_closing_block() -> None:
    proved = final(header(1, 2, 9, SECOND), SECOND)
    assert verify_bundle(genesis(), bundle(proved, (closing(),))).validators == set_of(SECOND)
    assert refused(bundle(proved)) is Code.WRONG_EPOCH


def test_a_header_may_be_final_through_its_descendants() -> None:
    low = header(0, 5, 5, FIRST)
    middle = header(0, 6, 6, FIRST, block_hash(low))
    top = header(0, 8, 7, FIRST, block_hash(middle))
    assert verify_bundle(genesis(), bundle(final(low, FIRST, (middle, top)))).header == low
    assert refused(bundle(final(low, FIRST, (top,)))) is Code.BAD_PROOF


def test_a_descendant_behind_an_epochs_end_proves_nothing() -> None:
    closes = closing().final.header
    child = header(0, 4, 4, FIRST, block_hash(closes))
    assert refused(bundle(final(closes, FIRST, (child,)))) is Code.BAD_PROOF


def test_a_certificate_of_other_validators_is_refused() -> None:
    assert refused(bundle(final(header(0, 5, 5, FIRST), SECOND))) is Code.BAD_SIGNATURE
    assert refused(bundle(final(header(0, 5, 5, SECOND), SECOND))) is Code.BAD_PROOF


def test_too_little_weight_is_refused() -> None:
    proved = final(header(0, 5, 5, FIRST), FIRST)
    fewer = Certificate(proved.certificate.vote, proved.certificate.signers[:2])
    assert refused(bundle(FinalHeader(proved.header, (), fewer))) is Code.BAD_CERTIFICATE


def test_a_notar_certificate_adds_voters_but_must_be_of_the_block() -> None:
    proved = final(header(0, 5, 5, FIRST), FIRST)
    fewer = Certificate(proved.certificate.vote, proved.certificate.signers[:3])
    given = bundle(FinalHeader(proved.header, (), fewer))
    assert len(verify_bundle(genesis(), given).voters) == 3
    vote = msgspec.structs.replace(fewer.vote, kind=VoteKind.NOTAR)
    message = vote_signing_bytes("proof-1", vote)
    others = tuple(Signer(index, FIRST[index].sign(message)) for index in (1, 2, 3))
    more = msgspec.structs.replace(given, notar=Certificate(vote, others))
    verified = verify_bundle(genesis(), more)
    assert (len(verified.signers), len(verified.voters)) == (3, 4)
    assert refused(msgspec.structs.replace(given, notar=fewer)) is Code.BAD_PROOF
    forged = (*others[:2], Signer(3, others[0].signature))
    lying = msgspec.structs.replace(given, notar=Certificate(vote, forged))
    assert refused(lying) is Code.BAD_SIGNATURE


def test_a_notar_certificate_is_no_finality() -> None:
    proved = final(header(0, 5, 5, FIRST), FIRST)
    vote = msgspec.structs.replace(proved.certificate.vote, kind=VoteKind.NOTAR)
    notar = Certificate(vote, proved.certificate.signers)
    assert refused(bundle(FinalHeader(proved.header, (), notar))) is Code.BAD_PROOF


def test_another_next_set_than_the_headers_is_refused() -> None:
    proved = final(header(1, 2, 9, SECOND), SECOND)
    change = EpochChange(closing().final, set_of(keys(3)))
    assert refused(bundle(proved, (change,))) is Code.BAD_PROOF
    plain = EpochChange(final(header(0, 3, 3, FIRST), FIRST), set_of(FIRST))
    assert refused(bundle(proved, (plain,))) is Code.BAD_PROOF


def test_another_leaf_or_place_is_refused() -> None:
    proved = final(header(0, 5, 5, FIRST), FIRST)
    honest = merkle_proof(LEAVES, 1)
    for subject in (
        TransactionSubject(b"forged", honest),
        TransactionSubject(LEAVES[1], MerkleProof(0, honest.size, honest.siblings)),
        TransactionSubject(LEAVES[1], MerkleProof(1, 2, honest.siblings)),
    ):
        assert (
            refused(ProofBundle(genesis_hash(genesis()), (), proved, None, subject))
            is Code.BAD_PROOF
        )


def test_a_bundle_of_another_network_is_refused() -> None:
    given = bundle(final(header(0, 5, 5, FIRST), FIRST))
    assert refused(msgspec.structs.replace(given, genesis_hash=ZERO_DIGEST)) is Code.WRONG_CHAIN


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_cut_bytes_are_malformed(cut: int) -> None:
    data = encode_bundle(bundle(final(header(0, 5, 5, FIRST), FIRST)))
    with pytest.raises(InvalidInput):
        decode_bundle(data[:cut])


def test_every_changed_byte_of_a_bundle_is_noticed() -> None:
    given = genesis()
    data = encode_bundle(bundle(final(header(0, 5, 5, FIRST), FIRST)))
    for place in range(0, len(data), 7):
        forged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(InvalidInput):
            verify_bundle(given, decode_bundle(forged))


@pytest.mark.parametrize(
    "validators", [None, [], [1], [{"key": b"x", "weight": 1}], [{"key": FIRST[0].public}]]
)
def test_a_genesis_without_a_sound_set_is_refused(validators: object) -> None:
    arguments = encode_value({"validators": validators})  # type: ignore[dict-item]
    identity = msgspec.structs.replace(genesis().contracts[0], args=arguments)
    with pytest.raises(InvalidInput):
        genesis_trust(msgspec.structs.replace(genesis(), contracts=(identity,)))
    assert encode(genesis()) != encode(msgspec.structs.replace(genesis(), contracts=(identity,)))
