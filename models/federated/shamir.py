"""Shamir's secret sharing over the prime 2^256 + 297: any `threshold` shares give the secret.

The prime exceeds every 32-byte secret, so seeds and X25519 keys are shared whole. Coefficients
come from a caller's seed through BLAKE2b: a plant that restarts deals the very same shares.
"""

from __future__ import annotations

import hashlib

from andon.core.errors import Code, InvalidInput, Misuse

PRIME = 2**256 + 297
SHARE_BYTES = 33
SECRET_BYTES = 32
HOLDERS_MAX = 1024


def split(secret: bytes, threshold: int, holders: int, seed: bytes) -> list[bytes]:
    """Deal `holders` shares of 33 bytes; share k belongs to point k + 1.

    Raises:
        Misuse: BAD_ARGUMENTS for a threshold outside 2..holders or a secret of another length.
    """
    if len(secret) != SECRET_BYTES or not 2 <= threshold <= holders <= HOLDERS_MAX:
        raise Misuse(Code.BAD_ARGUMENTS, f"cannot deal {threshold} of {holders} shares")
    terms = [int.from_bytes(secret, "big")]
    terms += [_coefficient(seed, degree) for degree in range(1, threshold)]
    return [_evaluate(terms, point).to_bytes(SHARE_BYTES, "big") for point in range(1, holders + 1)]


def combine(shares: dict[int, bytes], threshold: int) -> bytes:
    """Rebuild the secret from `shares` by holder index, using the `threshold` lowest indices.

    The choice is fixed so that every validator computes the same, even from inconsistent shares.

    Raises:
        InvalidInput: MALFORMED when shares are missing, not shares, or give no 32-byte secret.
    """
    if len(shares) < threshold:
        raise InvalidInput(Code.MALFORMED, f"{len(shares)} shares, {threshold} are needed")
    chosen = sorted(shares)[:threshold]
    points = [index + 1 for index in chosen]
    if points[0] < 1 or points[-1] > HOLDERS_MAX:
        raise InvalidInput(Code.MALFORMED, "a share belongs to no holder")
    secret = 0
    for point, index in zip(points, chosen, strict=True):
        value = _share_value(shares[index])
        above, below = 1, 1
        for other in points:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        secret = (secret + value * above * pow(below, -1, PRIME)) % PRIME
    if secret >= 2**256:
        raise InvalidInput(Code.MALFORMED, "the shares do not give a 32-byte secret")
    return secret.to_bytes(SECRET_BYTES, "big")


def _coefficient(seed: bytes, degree: int) -> int:
    # 512 bits reduced mod a 257-bit prime: the bias is below 2^-254.
    wide = hashlib.blake2b(
        degree.to_bytes(4, "big"), key=seed, digest_size=64, person=b"andon-fl-shamir"
    )
    return int.from_bytes(wide.digest(), "big") % PRIME


def _evaluate(terms: list[int], point: int) -> int:
    value = 0
    for term in reversed(terms):
        value = (value * point + term) % PRIME
    return value


def _share_value(share: bytes) -> int:
    value = int.from_bytes(share, "big")
    if len(share) != SHARE_BYTES or value >= PRIME:
        raise InvalidInput(Code.MALFORMED, "not a share of the field")
    return value
