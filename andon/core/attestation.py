"""Attested predictions as node and client see them: commitments and the contract's open requests.

The rules are those of the contracts `predictions` and `committees`; here is only what has to give
the same bytes as the contracts, or reads what they keep.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from andon.core.codec import Value, encode_value
from andon.core.hashing import DIGEST_BYTES

CONTRACT = "predictions"
COMMITTEES = "committees"
MEASURING = "MEASURING"
READY = "READY"
COMMIT = "COMMIT"
REVEAL = "REVEAL"
SETTLED = "SETTLED"
SALT_BYTES = 32
MEMBERS_MAX = 32
_CONTRACT_TAG = b"andon/contract\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An open request as the contract keeps it; `members` are (key, weight), ascending by key."""

    number: int
    model_id: bytes
    input_digest: bytes
    members: tuple[tuple[bytes, int], ...]
    phase: str
    deadline: int
    outputs: int
    committed: int
    is_sealed: bool

    @property
    def has_quorum(self) -> bool:
        """Whether more than two thirds of the committee's weight have committed."""
        return self.committed * 3 > 2 * sum(weight for _, weight in self.members)

    def index_of(self, validator: bytes) -> int | None:
        """Place of a validator in the committee; None if it is no member."""
        keys = [key for key, _ in self.members]
        return keys.index(validator) if validator in keys else None


def commitment(  # noqa: PLR0917 - the order of the hashed list
    chain_id: str,
    number: int,
    model_id: bytes,
    validator: bytes,
    salt: bytes,
    output: tuple[int, ...],
) -> bytes:
    """What a member of a committee commits to; equals the contract's own digest (A3)."""
    listed: list[Value] = ["attestation", chain_id, number, model_id, validator, salt, [*output]]
    return hashlib.sha256(_CONTRACT_TAG + encode_value(listed)).digest()


def parse_request(number: int, value: Value) -> Request | None:
    """Read an entry of the contract's `requests`; None for a shape that asks for nothing."""
    if not isinstance(value, dict):
        return None
    model_id, digest, phase = value.get("model"), value.get("input"), value.get("phase")
    deadline, outputs, listed = value.get("deadline"), value.get("outputs"), value.get("members")
    if not isinstance(model_id, bytes) or not isinstance(digest, bytes):
        return None
    if not isinstance(phase, str) or not isinstance(deadline, int) or not isinstance(outputs, int):
        return None
    committed = value.get("committed")
    if not isinstance(committed, int):
        return None
    if {len(model_id), len(digest)} != {DIGEST_BYTES} or not isinstance(listed, list):
        return None
    members: list[tuple[bytes, int]] = []
    for row in listed:
        if not isinstance(row, list) or len(row) != 2:
            return None
        key, weight = row
        if not isinstance(key, bytes) or not isinstance(weight, int):
            return None
        members.append((key, weight))
    return Request(
        number=number,
        model_id=model_id,
        input_digest=digest,
        members=tuple(members),
        phase=phase,
        deadline=deadline,
        outputs=outputs,
        committed=committed,
        is_sealed=value.get("sealed") is True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Committee:
    """Who computes an attested model; `term` counts appointments."""

    members: tuple[bytes, ...]
    term: int
    status: str
    tolerance: int
    is_sealed: bool


def parse_committee(value: Value) -> Committee | None:
    """Read an entry of the contract's `committees`; None for a shape that appoints nobody."""
    if not isinstance(value, dict):
        return None
    listed, term, status = value.get("members"), value.get("term"), value.get("status")
    tolerance = value.get("tolerance")
    if not isinstance(listed, list) or not isinstance(term, int) or not isinstance(status, str):
        return None
    members = tuple(key for key in listed if isinstance(key, bytes))
    if len(members) != len(listed) or not isinstance(tolerance, int):
        return None
    return Committee(
        members=members,
        term=term,
        status=status,
        tolerance=tolerance,
        is_sealed=value.get("sealed") is True,
    )
