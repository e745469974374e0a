"""The golden vectors: unchanged, and read as what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from andon.client.light import LightClient, LightSettings, Trusted
from andon.core.block import Block, Header, PredictionRecord, Receipt, block_hash
from andon.core.certificate import Certificate, ValidatorSet, check_certificate, validators_hash
from andon.core.codec import decode, decode_value, encode
from andon.core.errors import InvalidInput
from andon.core.genesis import Genesis, genesis_hash
from andon.core.keys import check_public_key, verify_vote_signature
from andon.core.merkle import MerkleProof, check_merkle_proof
from andon.core.proof import FinalHeader, TrustedSet
from andon.core.state_key import state_key
from andon.core.state_proof import StateProof, check_state_value
from andon.core.transaction import check_signature, parse_transaction
from andon.core.wire import FinalBlock, decode_frame
from scripts import make_vectors

FOLDER = Path(__file__).parents[3] / "vectors"


def load(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", sorted(make_vectors.render()))
def test_the_code_still_makes_the_stored_vectors(name: str) -> None:
    assert (FOLDER / name).read_text() == make_vectors.render()[name]


def refused(run: Callable[[], object]) -> str:
    with pytest.raises(InvalidInput) as caught:
        run()
    return caught.value.code.name


def test_values() -> None:
    vectors = load("values")
    for entry in vectors["valid"]:
        decode_value(bytes.fromhex(entry["bytes"]))
    for entry in vectors["invalid"]:
        data = bytes.fromhex(entry["bytes"])
        assert refused(lambda data=data: decode_value(data)) == entry["code"], entry["name"]


def test_transactions() -> None:
    def check(raw: str) -> str:
        transaction = parse_transaction(bytes.fromhex(raw))
        check_signature(transaction)
        return transaction.id.hex()

    vectors = load("transactions")
    for entry in vectors["valid"]:
        assert check(entry["raw"]) == entry["id"]
    for entry in vectors["invalid"]:
        raw = entry["raw"]
        assert refused(lambda raw=raw: check(raw)) == entry["code"], entry["name"]


def test_votes_and_certificates() -> None:
    vectors = load("votes")
    (entry,) = vectors["validators"]
    validators = decode(ValidatorSet, bytes.fromhex(entry["set"]))
    assert validators_hash(validators).hex() == entry["hash"]

    def check(data: str) -> None:
        certificate = decode(Certificate, bytes.fromhex(data))
        check_certificate(make_vectors.CHAIN, validators, certificate)

    for item in vectors["valid"]:
        if "certificate" in item:
            check(item["certificate"])
    for item in vectors["invalid"]:
        data = item["certificate"]
        assert refused(lambda data=data: check(data)) == item["code"], item["name"]


def test_blocks() -> None:
    (entry,) = load("blocks")["valid"]
    block = decode(Block, bytes.fromhex(entry["block"]))
    assert block_hash(block.header).hex() == entry["hash"]
    assert decode(Header, bytes.fromhex(entry["header"])) == block.header
    receipt = bytes.fromhex(entry["receipt"])
    assert decode(Receipt, receipt).ok
    check_merkle_proof(block.header.receipts_root, receipt, MerkleProof(0, 1, ()))
    prediction = decode(PredictionRecord, bytes.fromhex(entry["prediction"]))
    assert prediction.id[:32] == prediction.transaction_id
    assert decode(FinalBlock, bytes.fromhex(entry["final_block"])).block == block


def test_trees() -> None:
    vectors = load("trees")
    for entry in vectors["lists"]:
        proof = decode(MerkleProof, bytes.fromhex(entry["proof_of_last"]))
        check_merkle_proof(bytes.fromhex(entry["root"]), bytes.fromhex(entry["leaves"][-1]), proof)
    for entry in vectors["states"]:
        root, entries = bytes.fromhex(entry["root"]), dict(entry["entries"])
        for number in (0, 99):
            key = state_key("t", "m", number)
            value = entries.get(key.hex())
            proof = decode(StateProof, bytes.fromhex(entry[f"proof_of_{number}"]))
            check_state_value(root, key, None if value is None else bytes.fromhex(value), proof)


def test_genesis_and_frames() -> None:
    (entry,) = load("genesis")["valid"]
    assert genesis_hash(decode(Genesis, bytes.fromhex(entry["bytes"]))).hex() == entry["hash"]
    vectors = load("frames")
    assert len(decode_frame(bytes.fromhex(vectors["valid"][0]["bytes"]))) == 3
    for item in vectors["invalid"]:
        data = bytes.fromhex(item["bytes"])
        assert refused(lambda data=data: decode_frame(data)) == item["code"], item["name"]
    assert encode(decode(Genesis, bytes.fromhex(entry["bytes"]))).hex() == entry["bytes"]


def update_from(entry: dict) -> tuple[LightClient, Callable[[], bytes]]:
    """A light client as an entry says, and its update."""

    def bytes_of(name: str) -> bytes:
        return bytes.fromhex(entry[name])

    header = decode(Header, bytes_of("trusted_header"))
    trusted = Trusted(
        header, TrustedSet(header.epoch, decode(ValidatorSet, bytes_of("trusted_set")))
    )
    settings = LightSettings(
        chain_id=entry["chain_id"],
        trust_period_ms=entry["trust_period_ms"],
        clock_drift_ms=entry["clock_drift_ms"],
    )
    client = LightClient(settings, trusted)
    final = decode(FinalHeader, bytes_of("final"))
    validators = decode(ValidatorSet, bytes_of("validators"))
    following = entry["next_validators"]
    next_set = None if following is None else decode(ValidatorSet, bytes.fromhex(following))
    return client, lambda: client.update(final, validators, next_set, entry["now_ms"])


@pytest.mark.parametrize("entry", load("light")["updates"], ids=lambda entry: entry["name"])
def test_light_client(entry: dict) -> None:
    client, update = update_from(entry)
    before = client.trusted
    if entry["verdict"] in {"trusted", "verified"}:
        identity = update()
        is_new = block_hash(client.trusted.header) == identity
        assert is_new == (entry["verdict"] == "trusted")
    else:
        assert refused(update) == entry["verdict"]
        assert client.trusted == before


@pytest.mark.parametrize("entry", load("signatures")["checks"], ids=lambda entry: entry["name"])
def test_signatures(entry: dict) -> None:
    public, message, signature = (
        bytes.fromhex(entry[name]) for name in ("public", "message", "signature")
    )
    if entry["key"] == "ok":
        assert check_public_key(public) == public
    else:
        assert refused(lambda: check_public_key(public)) == entry["key"]
    if entry.get("code") == "ok":
        verify_vote_signature(public, message, signature)
    elif "code" in entry:
        verdict = refused(lambda: verify_vote_signature(public, message, signature))
        assert verdict == entry["code"]
