"""Vectors of signature rules: torsion, small orders, S beyond the order, other spellings.

After Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs" (2020): the families of inputs
on which Ed25519 libraries disagree. Points are made with arithmetic of our own (RFC 8032 5.1.4),
so that the library under test has no part in it.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int]
IDENTITY: Point = (0, 1)
MESSAGE = b"andon signature vectors"
Entry = dict[str, object]


def add(left: Point, right: Point) -> Point:
    """Add two points of the curve (affine; slow and obvious)."""
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def multiply(point: Point, factor: int) -> Point:
    """Multiply a point."""
    result = IDENTITY
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def lift(y: int, sign: int = 0) -> Point | None:
    """Give the point with this y and the sign of x; None if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return (P - x if x % 2 != sign and x else x), y


def spell(point: Point) -> bytes:
    """Encode a point (RFC 8032 5.1.2)."""
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def _base() -> Point:
    point = lift(4 * pow(5, P - 2, P) % P)
    assert point is not None
    return point


BASE = _base()


def torsion() -> list[Point]:
    """Give the eight points of small order, the identity first."""
    for y in range(2, 100):
        point = lift(y)
        if point is None:
            continue
        generator = multiply(point, L)
        if multiply(generator, 4) != IDENTITY:
            return [multiply(generator, n) for n in range(8)]
    raise AssertionError("one of a hundred points has full order")


@functools.cache
def signature_vectors() -> dict[str, list[Entry]]:
    """Give all entries. `code` is what `verify_vote_signature` says, `key` what admission says."""
    return {"checks": list(_entries())}


def _entries() -> Iterator[Entry]:
    secret = _scalar(b"secret")
    public = multiply(BASE, secret)
    points = torsion()
    yield _entry("a good one", public, _sign(secret, public), "ok", "ok")
    good = _sign(secret, public)
    s = int.from_bytes(good[32:], "little")
    for times in (1, 2):
        beyond = good[:32] + (s + times * L).to_bytes(32, "little")
        yield _entry(f"S and {times} orders", public, beyond, "BAD_SIGNATURE", "ok")
    yield _entry("all zero", public, bytes(64), "BAD_SIGNATURE", "ok")
    for n, small in enumerate(points):
        # R of mixed order: fits the equation with cofactor, for n > 0 only that one.
        mixed = _sign(secret, public, small)
        verdict = "ok" if n == 0 else "BAD_SIGNATURE"
        yield _entry(f"R with torsion {n} of 8", public, mixed, verdict, "ok")
    for n, small in enumerate(points):
        # With a key of small order and S = 0 many a message "is signed" by R = -h A.
        forged = spell(small) + bytes(32)
        yield _entry(f"key of small order {n}", small, forged, "BAD_SIGNATURE", "BAD_KEY")
    for n, small in enumerate(points[1:], 1):
        key = add(public, small)
        mixed = _sign(secret, key)
        entry = _entry(f"key with torsion {n} of 8", key, mixed, "", "BAD_KEY")
        # Such a key never enters the state; whether the equation holds depends on h mod 8.
        del entry["code"]
        yield entry
    for name, spelling in _spellings():
        signature = spelling + good[32:]
        yield _entry(f"R spelled as {name}", public, signature, "BAD_SIGNATURE", "ok")
        entry = _entry(f"key spelled as {name}", public, good, "BAD_SIGNATURE", "BAD_KEY")
        entry["public"] = spelling.hex()
        yield entry


def _spellings() -> Iterator[tuple[str, bytes]]:
    for extra in (0, 1):
        yield f"y = p + {extra}", (P + extra).to_bytes(32, "little")
    yield "y = 1 and x = -0", (1 | 1 << 255).to_bytes(32, "little")
    yield "y = -1 and x = -0", (P - 1 | 1 << 255).to_bytes(32, "little")
    yield "all ones", b"\xff" * 32
    off_curve = next(y for y in range(2, 100) if lift(y) is None)
    yield "a y without x", off_curve.to_bytes(32, "little")


def _entry(name: str, key: Point, signature: bytes, code: str, admits: str) -> Entry:
    return {
        "name": name,
        "public": spell(key).hex(),
        "message": MESSAGE.hex(),
        "signature": signature.hex(),
        "code": code,
        "key": admits,
    }


def _scalar(data: bytes) -> int:
    return int.from_bytes(hashlib.sha512(data).digest(), "little") % L


def _sign(secret: int, key: Point, torsion_of_r: Point = IDENTITY) -> bytes:
    nonce = _scalar(b"nonce" + MESSAGE)
    commitment = spell(add(multiply(BASE, nonce), torsion_of_r))
    challenge = _scalar(commitment + spell(key) + MESSAGE)
    return commitment + ((nonce + challenge * secret) % L).to_bytes(32, "little")
