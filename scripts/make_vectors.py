"""Golden vectors: the bytes and digests that every implementation of the chain must reproduce.

`make vectors` rewrites tests/vectors/*.json; a difference is a change of the protocol. Invalid
vectors name the code with which they are refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from andon.core.block import (
    Block,
    Event,
    Failure,
    Header,
    Justification,
    PredictionOutput,
    PredictionRecord,
    Receipt,
    block_hash,
    justification_digest,
    prediction_id,
)
from andon.core.certificate import (
    Certificate,
    SignedVote,
    Signer,
    Validator,
    Vote,
    VoteKind,
    make_validator_set,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.codec import Dec, Value, encode, encode_value
from andon.core.genesis import Genesis, Params, contract_at_genesis, genesis_hash
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.merkle import merkle_proof, merkle_root
from andon.core.state_key import state_key
from andon.core.transaction import (
    SignedTransaction,
    TransactionBody,
    make_call,
    sign_transaction,
    transaction_id,
)
from andon.core.wire import BlockWanted, FinalBlock, Status, VoteMessage, encode_frame
from consensus.ledger import MemoryState, Overlay, state_proof, update_tree
from scripts.light_vectors import light_vectors
from scripts.receipt_vectors import receipt_vectors
from scripts.signature_vectors import signature_vectors

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "vectors"
CHAIN = "vectors"
Entry = dict[str, object]
Json = dict[str, list[Entry]]

_keys = sorted((PrivateKey(bytes([n]) * 32) for n in range(1, 5)), key=lambda item: item.public)
_key = _keys[0]
_validators = make_validator_set(tuple(Validator(item.public, 1) for item in _keys))


def main() -> int:
    """Write all files; returns the exit status."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"tests/vectors/{name}")
    return 0


def render() -> dict[str, str]:
    """Give the content of every file by its name."""
    makers: dict[str, Callable[[], Json]] = {
        "values": _values,
        "transactions": _transactions,
        "votes": _votes,
        "blocks": _blocks,
        "trees": _trees,
        "genesis": _genesis,
        "frames": _frames,
        "light": light_vectors,
        "receipts": receipt_vectors,
        "signatures": signature_vectors,
    }
    return {f"{name}.json": json.dumps(make(), indent=1) + "\n" for name, make in makers.items()}


def _values() -> Json:
    named: list[tuple[str, Value]] = [
        ("nil", None),
        ("true", True),
        ("zero", 0),
        ("largest fixint", 127),
        ("first uint8", 128),
        ("negative", -33),
        ("largest uint64", 2**64 - 1),
        ("first big integer", 2**64),
        ("smallest int64", -(2**63)),
        ("first big negative", -(2**63) - 1),
        ("largest integer", 2**256 - 1),
        ("decimal one", Dec(10**18)),
        ("decimal minus a half", Dec(-5 * 10**17)),
        ("text", "Grüße"),
        ("bytes", b"\x00\xff"),
        ("list", [1, "two", [b"3"]]),
        ("tuple", (1, (2,))),
        ("map in order of encoded key", {"b": 1, "a": 2, 3: None, b"c": True}),
    ]
    invalid = [
        ("empty", "", "MALFORMED"),
        ("trailing byte", "0102", "MALFORMED"),
        ("one in two bytes", "cc01", "NOT_CANONICAL"),
        ("float", "cb3ff0000000000000", "MALFORMED"),
        ("text that is not UTF-8", "a1ff", "MALFORMED"),
        ("map out of order", "82a16201a16102", "NOT_CANONICAL"),
        ("map with a key twice", "82a16101a16102", "NOT_CANONICAL"),
        ("small integer in the big form", "d40105", "NOT_CANONICAL"),
        ("unknown extension", "d40905", "MALFORMED"),
        ("nested too deep", "91" * 20 + "01", "TOO_DEEP"),
    ]
    return {
        "valid": [{"name": name, "bytes": encode_value(value).hex()} for name, value in named],
        "invalid": [{"name": name, "bytes": data, "code": code} for name, data, code in invalid],
    }


def _body() -> TransactionBody:
    return TransactionBody(
        chain_id=CHAIN,
        sender=_key.public,
        nonce=bytes(range(8)),
        expires_height=100,
        gas_limit=50_000,
        calls=(make_call("maintenance", "assess", {"machine": "press 4", "window": b"\x01\xff"}),),
    )


def _transactions() -> Json:
    raw, body = sign_transaction(_body(), _key), encode(_body())
    forged = encode(SignedTransaction(body=body, signature=bytes(64)))
    return {
        "valid": [
            {
                "name": "one call",
                "seed": _key.seed.hex(),
                "raw": raw.hex(),
                "body": body.hex(),
                "id": transaction_id(body).hex(),
                "prediction_id": prediction_id(transaction_id(body), 1).hex(),
            }
        ],
        "invalid": [
            {"name": "no signature", "raw": forged.hex(), "code": "BAD_SIGNATURE"},
            {"name": "cut", "raw": raw[:-1].hex(), "code": "MALFORMED"},
            {"name": "trailing byte", "raw": (raw + b"\0").hex(), "code": "MALFORMED"},
            {"name": "wide array header", "raw": (b"\xdc\0\2" + raw[1:]).hex(),
             "code": "NOT_CANONICAL"},
        ],
    }  # fmt: skip


def _certificate(vote: Vote, count: int) -> Certificate:
    message = vote_signing_bytes(CHAIN, vote)
    return Certificate(vote, tuple(Signer(n, _keys[n].sign(message)) for n in range(count)))


def _votes() -> Json:
    def entries() -> Iterator[Entry]:
        for kind in VoteKind:
            block = bytes(32) if kind is VoteKind.SKIP else b"b" * 32
            vote = Vote(kind=kind, epoch=1, slot=2, block=block)
            signing = vote_signing_bytes(CHAIN, vote)
            signed = SignedVote(vote=vote, validator=0, signature=_key.sign(signing))
            entry: Entry = {
                "name": kind.name,
                "signing_bytes": signing.hex(),
                "signed": encode(signed).hex(),
            }
            if kind is not VoteKind.PROPOSE:
                entry["certificate"] = encode(_certificate(vote, 3)).hex()
            yield entry

    vote = Vote(kind=VoteKind.FINAL, epoch=1, slot=2, block=b"b" * 32)
    certificate = _certificate(vote, 3)
    swapped = Certificate(vote, tuple(reversed(certificate.signers)))
    skip = Vote(kind=VoteKind.SKIP, epoch=1, slot=2, block=b"b" * 32)
    bad = [
        ("below the quorum", _certificate(vote, 2), "BAD_CERTIFICATE"),
        ("signers out of order", swapped, "BAD_CERTIFICATE"),
        ("skip that names a block", _certificate(skip, 3), "BAD_VOTE"),
        ("another slot", Certificate(Vote(VoteKind.FINAL, 1, 3, b"b" * 32), certificate.signers),
         "BAD_SIGNATURE"),
    ]  # fmt: skip
    return {
        "validators": [
            {"set": encode(_validators).hex(), "hash": validators_hash(_validators).hex()}
        ],
        "valid": list(entries()),
        "invalid": [
            {"name": name, "certificate": encode(item).hex(), "code": code}
            for name, item, code in bad
        ],
    }


def _block() -> Block:
    raw = sign_transaction(_body(), _key)
    final = Vote(kind=VoteKind.NOTAR, epoch=1, slot=2, block=b"b" * 32)
    justification = Justification(parent_certificate=_certificate(final, 3), skips=())
    header = Header(
        version=1,
        chain_id=CHAIN,
        epoch=1,
        slot=3,
        height=7,
        time_ms=1_700_000_000_000,
        parent=b"b" * 32,
        proposer=_key.public,
        justification_digest=justification_digest(justification),
        transactions_root=merkle_root((raw,)),
        predictions_root=merkle_root((encode(_prediction()),)),
        receipts_root=merkle_root((encode(_receipt()),)),
        state_root=b"s" * 32,
        validators_hash=validators_hash(_validators),
        next_validators_hash=validators_hash(_validators),
        gas_used=12_345,
    )
    output = PredictionOutput(b"m" * 32, b"i" * 32, (-3, 2**40))
    return Block(header, justification, (raw,), (output,))


def _receipt() -> Receipt:
    event = Event(contract="maintenance", name="alert", fields=encode_value({"machine": "press 4"}))
    return Receipt(
        transaction_id=transaction_id(encode(_body())),
        ok=True,
        gas_used=12_345,
        results=(encode_value("done"),),
        failure=None,
        events=(event,),
    )


def _prediction() -> PredictionRecord:
    identity = transaction_id(encode(_body()))
    return PredictionRecord(
        id=prediction_id(identity, 0),
        transaction_id=identity,
        contract="maintenance",
        model_id=b"m" * 32,
        input_digest=b"i" * 32,
        output=(-3, 2**40),
        kind="exact",
        height=7,
    )


def _blocks() -> Json:
    block = _block()
    failed = Receipt(
        transaction_id=bytes(32),
        ok=False,
        gas_used=1,
        results=(),
        failure=Failure("E_REVERT", "maintenance", "assess", 12, "limit is not set"),
        events=(),
    )
    vote = Vote(kind=VoteKind.FINAL, epoch=1, slot=3, block=block_hash(block.header))
    final = FinalBlock(block=block, path=(), certificate=_certificate(vote, 3))
    return {
        "valid": [
            {
                "name": "one prediction",
                "block": encode(block).hex(),
                "header": encode(block.header).hex(),
                "hash": block_hash(block.header).hex(),
                "justification_digest": justification_digest(block.justification).hex(),
                "receipt": encode(_receipt()).hex(),
                "failed_receipt": encode(failed).hex(),
                "prediction": encode(_prediction()).hex(),
                "final_block": encode(final).hex(),
            }
        ]
    }


def _trees() -> Json:
    leaves = [b"leaf %d" % number for number in range(5)]
    lists: list[Entry] = [
        {
            "leaves": [leaf.hex() for leaf in leaves[:count]],
            "root": merkle_root(leaves[:count]).hex(),
            "proof_of_last": encode(merkle_proof(leaves[:count], count - 1)).hex(),
        }
        for count in range(1, 6)
    ]
    states: list[Entry] = []
    for count in (0, 1, 2, 40):
        entries: dict[bytes, bytes | None] = {
            state_key("t", "m", number): encode_value(number) for number in range(count)
        }
        state, overlay = MemoryState(), Overlay(MemoryState())
        root, nodes = update_tree(state, entries)
        overlay.writes.update(entries)
        overlay.tree_writes.update(nodes)
        state.apply(overlay)
        states.append(
            {
                "entries": [[key.hex(), (value or b"").hex()] for key, value in entries.items()],
                "root": root.hex(),
                "proof_of_0": encode(state_proof(state, state_key("t", "m", 0))).hex(),
                "proof_of_99": encode(state_proof(state, state_key("t", "m", 99))).hex(),
            }
        )
    return {"lists": lists, "states": states}


def _genesis() -> Json:
    genesis = Genesis(
        chain_id=CHAIN,
        time_ms=1_700_000_000_000,
        params=Params(),
        contracts=(contract_at_genesis("identity", b"# source\n", {"organisations": []}),),
    )
    domains: list[Entry] = [
        {"domain": domain.name, "digest_of_empty": digest(domain, b"").hex()} for domain in Domain
    ]
    return {
        "valid": [{"bytes": encode(genesis).hex(), "hash": genesis_hash(genesis).hex()}],
        "domains": domains,
    }


def _frames() -> Json:
    vote = Vote(kind=VoteKind.NOTAR, epoch=1, slot=2, block=b"b" * 32)
    signed = SignedVote(vote=vote, validator=0, signature=bytes(64))
    frame = encode_frame((Status(1, 2, 3, b"h" * 32), BlockWanted(b"b" * 32), VoteMessage(signed)))
    return {
        "valid": [{"name": "status, wanted block, vote", "bytes": frame.hex()}],
        "invalid": [
            {"name": "empty", "bytes": encode_frame(()).hex(), "code": "TOO_MANY"},
            {"name": "unknown tag", "bytes": "91919263c400", "code": "MALFORMED"},
            {"name": "cut", "bytes": frame[:-1].hex(), "code": "MALFORMED"},
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
