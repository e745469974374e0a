"""Vectors of the light client: a trusted header, one header more, and what has to come of it.

Each entry stands alone, so that a client in any language can be held against it. Verdicts:
`trusted` (it is the highest header now), `verified` (final, but not higher), or the code with
which it is refused. `make_vectors` writes them to tests/vectors/light.json.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from andon.core.block import Header, block_hash
from andon.core.certificate import (
    Certificate,
    Signer,
    Validator,
    ValidatorSet,
    Vote,
    VoteKind,
    make_validator_set,
    validators_hash,
    vote_signing_bytes,
)
from andon.core.codec import encode
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from andon.core.proof import FinalHeader

CHAIN = "vectors"
NOW_MS, PERIOD_MS, DRIFT_MS = 10_000_000, 1_000_000, 10_000
TRUST_MS = NOW_MS - 100_000
KEYS: dict[bytes, PrivateKey] = {
    key.public: key for key in (PrivateKey(bytes([n + 1]) * 32) for n in range(9))
}
PUBLIC = sorted(key.public for key in KEYS.values())
Entry = dict[str, object]


def light_vectors() -> dict[str, list[Entry]]:
    """Give all entries."""
    return {"updates": [*_quorums(), *_skips(), *_times(), *_epochs(), *_forgeries()]}


def make_set(*members: tuple[int, int]) -> ValidatorSet:
    """Members by (index into PUBLIC, weight)."""
    return make_validator_set(tuple(Validator(PUBLIC[n], weight) for n, weight in members))


FOUR = make_set((0, 1), (1, 1), (2, 1), (3, 1))


def make_header(
    height: int,
    validators: ValidatorSet = FOUR,
    *,
    epoch: int = 0,
    time_ms: int | None = None,
    closes_to: ValidatorSet | None = None,
    salt: int = 0,
) -> Header:
    """A header in the slot of its height; another `salt` makes another block."""
    return Header(
        version=1,
        chain_id=CHAIN,
        epoch=epoch,
        slot=height,
        height=height,
        time_ms=TRUST_MS + height - 10 if time_ms is None else time_ms,
        parent=ZERO_DIGEST,
        proposer=ZERO_DIGEST,
        justification_digest=ZERO_DIGEST,
        transactions_root=ZERO_DIGEST,
        predictions_root=ZERO_DIGEST,
        receipts_root=ZERO_DIGEST,
        state_root=ZERO_DIGEST,
        validators_hash=validators_hash(validators),
        next_validators_hash=validators_hash(closes_to or validators),
        gas_used=salt,
    )


def certify(
    header: Header,
    validators: ValidatorSet = FOUR,
    signers: tuple[int, ...] = (0, 1, 2),
    kind: VoteKind = VoteKind.FINAL,
) -> FinalHeader:
    """Have members, by their places in the set, sign a header."""
    vote = Vote(kind, header.epoch, header.slot, block_hash(header))
    message = vote_signing_bytes(CHAIN, vote)
    keys = [KEYS[member.key] for member in validators.validators]
    signed = tuple(Signer(n, keys[n].sign(message)) for n in signers)
    return FinalHeader(header, (), Certificate(vote, signed))


def _entry(
    name: str,
    verdict: str,
    final: FinalHeader,
    validators: ValidatorSet = FOUR,
    *,
    following: ValidatorSet | None = None,
    trusted: ValidatorSet = FOUR,
    now_ms: int = NOW_MS,
) -> Entry:
    base = make_header(10, trusted, epoch=2)
    return {
        "name": name,
        "chain_id": CHAIN,
        "trust_period_ms": PERIOD_MS,
        "clock_drift_ms": DRIFT_MS,
        "trusted_header": encode(base).hex(),
        "trusted_set": encode(trusted).hex(),
        "now_ms": now_ms,
        "final": encode(final).hex(),
        "validators": encode(validators).hex(),
        "next_validators": None if following is None else encode(following).hex(),
        "verdict": verdict,
    }


def _quorums() -> Iterator[Entry]:
    cases: list[tuple[str, tuple[int, ...], tuple[int, ...], str]] = [
        ("two of three members", (1, 1, 1), (0, 1), "BAD_CERTIFICATE"),
        ("three of three members", (1, 1, 1), (0, 1, 2), "trusted"),
        ("weight four of six", (2, 2, 2), (0, 1), "BAD_CERTIFICATE"),
        ("weight four of six in three members", (2, 1, 1, 2), (0, 1, 2), "BAD_CERTIFICATE"),
        ("weight five of six", (3, 2, 1), (0, 1), "trusted"),
        ("weight 66 of 99", (33, 33, 33), (0, 1), "BAD_CERTIFICATE"),
        ("weight 67 of 99", (33, 34, 32), (0, 1), "trusted"),
        ("weight one of three", (1, 1, 1), (2,), "BAD_CERTIFICATE"),
    ]
    for name, weights, signers, verdict in cases:
        members = make_set(*enumerate(weights))
        final = certify(make_header(11, members, epoch=2), members, signers)
        yield _entry(f"quorum: {name}", verdict, final, members, trusted=members)


def _skips() -> Iterator[Entry]:
    later = make_set((2, 1), (5, 1), (6, 1), (7, 1))
    place = later.index_of(PUBLIC[2])
    assert place is not None
    others = tuple(n for n in range(4) if n != place)
    with_it = tuple(sorted((place, *others[:2])))
    cases = [
        ("exactly a third of the trusted weight signed", (1, 1, 1), with_it, "BAD_PROOF"),
        ("a third of the trusted weight and one", (33, 33, 34), with_it, "trusted"),
        ("two thirds of the trusted weight", (1, 1, 4), with_it, "trusted"),
        ("the shared member did not sign", (1, 1, 8), others, "BAD_PROOF"),
    ]
    for name, weights, signers, verdict in cases:
        trusted = make_set(*enumerate(weights))
        final = certify(make_header(50, later, epoch=7), later, signers)
        yield _entry(f"skip: {name}", verdict, final, later, trusted=trusted)
    near = make_set((0, 1), (1, 1), (2, 1), (8, 1))
    # The first three keys are in both sets, so three signers are three of the trusted ones.
    final = certify(make_header(50, near, epoch=7), near)
    for name, now_ms, verdict in (
        ("at the end of the trust period", TRUST_MS + PERIOD_MS - 1, "trusted"),
        ("behind the trust period", TRUST_MS + PERIOD_MS, "EXPIRED"),
    ):
        yield _entry(f"skip: {name}", verdict, final, near, now_ms=now_ms)


def _times() -> Iterator[Entry]:
    cases = [
        ("a later header", make_header(11, epoch=2), "trusted"),
        ("an earlier header", make_header(9, epoch=2), "verified"),
        ("later and no time has passed", make_header(11, epoch=2, time_ms=TRUST_MS), "BAD_PROOF"),
        ("later and time went back", make_header(11, epoch=2, time_ms=TRUST_MS - 1), "BAD_PROOF"),
        ("earlier at the same time", make_header(9, epoch=2, time_ms=TRUST_MS), "BAD_PROOF"),
        ("as far ahead as clocks may be", make_header(12, epoch=2, time_ms=NOW_MS + DRIFT_MS),
         "trusted"),
        ("further ahead", make_header(12, epoch=2, time_ms=NOW_MS + DRIFT_MS + 1), "BAD_PROOF"),
        ("another header of the trusted height", make_header(10, epoch=2, time_ms=TRUST_MS + 1),
         "BAD_PROOF"),
    ]  # fmt: skip
    for name, header, verdict in cases:
        yield _entry(f"time: {name}", verdict, certify(header))


def _epochs() -> Iterator[Entry]:
    other = make_set((5, 1), (6, 1), (7, 1))
    closing = certify(make_header(11, epoch=2, closes_to=other))
    yield _entry("epoch: a closing header with its next set", "trusted", closing, following=other)
    yield _entry("epoch: a closing header without", "BAD_PROOF", closing)
    yield _entry("epoch: a closing header with another", "BAD_PROOF", closing, following=FOUR)
    backwards = certify(make_header(11, epoch=1))
    yield _entry("epoch: it goes back", "WRONG_EPOCH", backwards)


def _forgeries() -> Iterator[Entry]:
    forged = make_set((5, 1), (6, 1), (7, 1))
    same = certify(make_header(11, forged, epoch=2), forged)
    yield _entry("forged: another set in the trusted epoch", "WRONG_EPOCH", same, forged)
    later = certify(make_header(11, forged, epoch=3), forged)
    yield _entry("forged: a set of strangers in a later epoch", "BAD_PROOF", later, forged)
    stolen = certify(make_header(11, FOUR, epoch=3), forged)
    yield _entry("forged: strangers under the true set's header", "BAD_PROOF", stolen, forged)
    good = certify(make_header(11, epoch=2))
    signers = (*good.certificate.signers[:2], Signer(3, bytes(64)))
    unsigned = msgspec.structs.replace(
        good, certificate=msgspec.structs.replace(good.certificate, signers=signers)
    )
    yield _entry("forged: a signature of zeros", "BAD_SIGNATURE", unsigned)
    twice = (good.certificate.signers[0],) * 3
    repeated = msgspec.structs.replace(
        good, certificate=msgspec.structs.replace(good.certificate, signers=twice)
    )
    yield _entry("forged: one signer three times", "BAD_CERTIFICATE", repeated)
    notar = certify(make_header(11, epoch=2), kind=VoteKind.NOTAR)
    yield _entry("forged: a Notar certificate is not final", "BAD_PROOF", notar)
    foreign = msgspec.structs.replace(make_header(11, epoch=2), chain_id="elsewhere")
    yield _entry("forged: a header of another chain", "WRONG_CHAIN", certify(foreign))
