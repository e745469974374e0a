"""Offline proofs: one bundle shows that a block did something, with only the genesis at hand.

Trust starts at the genesis document: its identity contract names the validators of epoch 0. Every
later set is reached over the final block that closed an epoch, certified by the set before it.
Then one header, certified Final itself or over the headers of its descendants, carries the roots
under which the subject is shown. Source: architecture §2 ("one node's answer is provable").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from andon.core.block import Header, PredictionRecord, Receipt, block_hash
from andon.core.certificate import (
    Certificate,
    Validator,
    ValidatorSet,
    VoteKind,
    check_certificate,
    make_validator_set,
    validators_hash,
)
from andon.core.codec import Record, Value, decode, decode_value, encode
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, genesis_hash
from andon.core.hashing import Digest
from andon.core.merkle import MerkleProof, check_merkle_proof
from andon.core.state_proof import StateProof, check_state_value
from andon.core.transaction import TransactionId, parse_transaction
from andon.core.wire import FinalBlock

BUNDLE_BYTES_MAX = 8 * 1024 * 1024
CLOSINGS_MAX = 4096
PATH_HEADERS_MAX = 256


class FinalHeader(Record, frozen=True):
    """A header with the Final certificate of itself or of the last header of `path`."""

    header: Header
    path: tuple[Header, ...]
    certificate: Certificate


class EpochChange(Record, frozen=True):
    """The block that closed an epoch, and the validators that its header names for the next."""

    final: FinalHeader
    next_validators: ValidatorSet


class PredictionSubject(Record, frozen=True, tag=1):
    """A committed prediction: a leaf of the predictions root."""

    record: PredictionRecord
    path: MerkleProof


class ReceiptSubject(Record, frozen=True, tag=2):
    """The outcome of a transaction: a leaf of the receipts root."""

    receipt: Receipt
    path: MerkleProof


class TransactionSubject(Record, frozen=True, tag=3):
    """A transaction as it was submitted: a leaf of the transactions root."""

    raw: bytes
    path: MerkleProof


class StateSubject(Record, frozen=True, tag=4):
    """The value of a state key after the block; None proves that the key is absent."""

    key: bytes
    value: bytes | None
    path: StateProof


Subject = Union[PredictionSubject, ReceiptSubject, TransactionSubject, StateSubject]


class ProofBundle(Record, frozen=True):
    """Everything that `verify_bundle` needs beside the genesis document.

    `notar` may add the block's Notar certificate: it proves no more, but names further validators
    who checked the block, since a certificate holds only the first signatures that are enough.
    """

    genesis_hash: bytes
    changes: tuple[EpochChange, ...]
    final: FinalHeader
    notar: Certificate | None
    subject: Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a bundle proved.

    `signers` are the keys under the Final certificate; `voters` also those under the Notar
    certificate, if the bundle has one: all of them checked the block and recomputed its outputs.
    """

    header: Header
    block: Digest
    validators: ValidatorSet
    signers: tuple[bytes, ...]
    voters: tuple[bytes, ...]
    subject: Subject

    @property
    def signed_weight(self) -> int:
        """Weight of the validators whose signatures the certificate carries."""
        return sum(v.weight for v in self.validators.validators if v.key in self.signers)


@dataclass(frozen=True, slots=True)
class TrustedSet:
    """An epoch and the validators that are known to hold it."""

    epoch: int
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class Finality:
    """What was checked of a bundle but for its subject: it holds for all subjects of the header."""

    genesis_hash: bytes
    changes: tuple[EpochChange, ...]
    final: FinalHeader
    trust: TrustedSet
    block: Digest

    def covers(self, bundle: ProofBundle) -> bool:
        """Whether the same header, certificate and epochs stand in another bundle."""
        return (
            self.genesis_hash == bundle.genesis_hash
            and self.final == bundle.final
            and self.changes == bundle.changes
        )


def final_header(final: FinalBlock) -> FinalHeader:
    """Keep of a final block what a proof needs."""
    return FinalHeader(header=final.block.header, path=final.path, certificate=final.certificate)


def encode_bundle(bundle: ProofBundle) -> bytes:
    """Encode for a file or an answer."""
    return encode(bundle)


def decode_bundle(data: bytes) -> ProofBundle:
    """Decode a bundle; nothing in it is trusted yet.

    Raises:
        InvalidInput: TOO_LARGE, MALFORMED or NOT_CANONICAL.
    """
    return decode(ProofBundle, data, BUNDLE_BYTES_MAX)


def genesis_trust(genesis: Genesis) -> TrustedSet:
    """Read the validators of epoch 0 from the genesis document.

    Raises:
        InvalidInput: BAD_GENESIS.
    """
    for contract in genesis.contracts:
        if contract.name == "identity":
            arguments = decode_value(contract.args)
            if isinstance(arguments, dict):
                return TrustedSet(0, validators_from_value(arguments.get("validators")))
    raise InvalidInput(Code.BAD_GENESIS, "genesis names no validators")


def validators_from_value(value: Value) -> ValidatorSet:
    """Read a set from the list of maps that the identity contract keeps.

    Raises:
        InvalidInput: BAD_GENESIS or BAD_KEY.
    """
    if not isinstance(value, list):
        raise InvalidInput(Code.BAD_GENESIS, "validators are a list of maps")
    return make_validator_set(tuple(_validator(entry) for entry in value))


def _validator(entry: Value) -> Validator:
    if isinstance(entry, dict):
        key, weight = entry.get("key"), entry.get("weight")
        if isinstance(key, bytes) and isinstance(weight, int) and not isinstance(weight, bool):
            return Validator(key=key, weight=weight)
    raise InvalidInput(Code.BAD_GENESIS, "a validator is a map with key and weight")


def check_final_header(chain_id: str, trust: TrustedSet, final: FinalHeader) -> Digest:
    """Check that the trusted set of the header's epoch made it final; returns the block's hash.

    Raises:
        InvalidInput: BAD_PROOF, WRONG_CHAIN, WRONG_EPOCH, or what certificates raise.
    """
    header = final.header
    if header.chain_id != chain_id:
        raise InvalidInput(Code.WRONG_CHAIN, f"header is of chain {header.chain_id!r:.60}")
    if header.epoch != trust.epoch or final.certificate.vote.epoch != trust.epoch:
        raise InvalidInput(Code.WRONG_EPOCH, f"header or certificate is not of epoch {trust.epoch}")
    if header.validators_hash != validators_hash(trust.validators):
        raise InvalidInput(Code.BAD_PROOF, "header names another validator set")
    if len(final.path) > PATH_HEADERS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a path has at most {PATH_HEADERS_MAX} headers")
    identity = hash_up = block_hash(header)
    previous = header
    for child in final.path:
        if child.parent != hash_up or child.height != previous.height + 1:
            raise InvalidInput(Code.BAD_PROOF, "path of headers is broken")
        if child.epoch != trust.epoch or child.chain_id != chain_id or previous.closes_epoch:
            raise InvalidInput(Code.BAD_PROOF, "path of headers leaves the epoch")
        previous, hash_up = child, block_hash(child)
    vote = final.certificate.vote
    # A closing block may become final in a later slot than its own, so slots may differ.
    if vote.kind is not VoteKind.FINAL or vote.block != hash_up or vote.slot < previous.slot:
        raise InvalidInput(Code.BAD_PROOF, "certificate does not make this header final")
    check_certificate(chain_id, trust.validators, final.certificate)
    return identity


def follow_change(chain_id: str, trust: TrustedSet, change: EpochChange) -> TrustedSet:
    """Step from one trusted epoch to the next.

    Raises:
        InvalidInput: BAD_PROOF or what `check_final_header` raises.
    """
    check_final_header(chain_id, trust, change.final)
    header = change.final.header
    if not header.closes_epoch:
        raise InvalidInput(Code.BAD_PROOF, "header does not close its epoch")
    if validators_hash(change.next_validators) != header.next_validators_hash:
        raise InvalidInput(Code.BAD_PROOF, "next validators are not those of the header")
    return TrustedSet(trust.epoch + 1, make_validator_set(change.next_validators.validators))


def verify_bundle(genesis: Genesis, bundle: ProofBundle) -> Verified:
    """Check a bundle offline from the genesis document alone.

    Cost: one signature check (140 us) a signer and epoch.

    Raises:
        InvalidInput: WRONG_CHAIN for another network, BAD_PROOF and what certificates raise.
    """
    return verify_subject(genesis.chain_id, bundle, check_finality(genesis, bundle))


def check_finality(genesis: Genesis, bundle: ProofBundle) -> Finality:
    """Check of a bundle that its header is final, and nothing about its subject.

    Raises:
        InvalidInput: WRONG_CHAIN for another network, BAD_PROOF and what certificates raise.
    """
    if bundle.genesis_hash != genesis_hash(genesis):
        raise InvalidInput(
            Code.WRONG_CHAIN,
            f"proof is of the network {bundle.genesis_hash.hex()[:16]}",
            hint="give the genesis file of that network",
        )
    if len(bundle.changes) > CLOSINGS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a proof has at most {CLOSINGS_MAX} epoch changes")
    trust = genesis_trust(genesis)
    for change in bundle.changes:
        trust = follow_change(genesis.chain_id, trust, change)
    identity = check_final_header(genesis.chain_id, trust, bundle.final)
    return Finality(bundle.genesis_hash, bundle.changes, bundle.final, trust, identity)


def verify_subject(chain_id: str, bundle: ProofBundle, finality: Finality) -> Verified:
    """Check the rest of a bundle whose finality is known; `finality` must cover it.

    Raises:
        InvalidInput: BAD_PROOF and what certificates raise.
    """
    trust, identity = finality.trust, finality.block
    check_subject(bundle.final.header, bundle.subject)
    signers = [signer.validator for signer in bundle.final.certificate.signers]
    voters = list(signers)
    if bundle.notar is not None:
        _check_notar(chain_id, trust, bundle.notar, identity)
        voters += [signer.validator for signer in bundle.notar.signers]
    members = trust.validators.validators
    return Verified(
        header=bundle.final.header,
        block=identity,
        validators=trust.validators,
        signers=tuple(members[index].key for index in signers),
        voters=tuple(members[index].key for index in sorted(dict.fromkeys(voters))),
        subject=bundle.subject,
    )


def _check_notar(chain_id: str, trust: TrustedSet, notar: Certificate, block: bytes) -> None:
    vote = notar.vote
    if vote.kind is not VoteKind.NOTAR or vote.block != block or vote.epoch != trust.epoch:
        raise InvalidInput(Code.BAD_PROOF, "the Notar certificate is not of this block")
    check_certificate(chain_id, trust.validators, notar)


def check_subject(header: Header, subject: Subject) -> None:
    """Check a subject against the roots of a header that is trusted already.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    match subject:
        case PredictionSubject():
            if subject.record.height != header.height:
                raise InvalidInput(Code.BAD_PROOF, "prediction is of another height")
            check_merkle_proof(header.predictions_root, encode(subject.record), subject.path)
        case ReceiptSubject():
            check_merkle_proof(header.receipts_root, encode(subject.receipt), subject.path)
        case TransactionSubject():
            check_merkle_proof(header.transactions_root, subject.raw, subject.path)
        case StateSubject():
            check_state_value(header.state_root, subject.key, subject.value, subject.path)


def subject_transaction(subject: TransactionSubject) -> TransactionId:
    """Id of the transaction that a verified subject shows.

    Raises:
        InvalidInput: MALFORMED if the bytes are no transaction.
    """
    return parse_transaction(subject.raw).id
