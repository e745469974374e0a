"""Ed25519 keys, signatures and the group checks of the chain (the only PyNaCl import).

Rules (reliability reference 5.6): a public key is checked once, when it enters the state, to lie
in the prime-order subgroup; the R of a consensus vote is checked too. With both checks every
libsodium build gives the same verdict. Ids are never derived from signature bytes.
"""

from __future__ import annotations

from typing import NewType, Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

from andon.core.errors import Code, InvalidInput, Misuse

PublicKey = NewType("PublicKey", bytes)
"""32 bytes; also the id of an account and of a validator."""

CONTRACT_MESSAGE_TAG = b"andon/contract-message\0"
"""Stands before what is signed for contracts, so that it is no transaction and no vote."""
PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64


class SigningKey(Protocol):
    """Whatever signs with one key: a seed in memory, or a module that never gives it away."""

    @property
    def public(self) -> PublicKey:
        """The public key."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; 64 bytes of Ed25519 (RFC 8032)."""
        ...


class PrivateKey:
    """A signing key. Its bytes never appear in `repr`, logs or errors."""

    __slots__ = ("_secret", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidInput(Code.BAD_KEY, f"a key seed has {SEED_BYTES} bytes, not {len(seed)}")
        public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public = PublicKey(public)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the keystore alone."""
        return self._secret[:SEED_BYTES]

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; 64 bytes, deterministic (RFC 8032)."""
        return bindings.crypto_sign(message, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.hex()[:16]})"


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature (about 68 us; releases the GIL).

    Raises:
        InvalidInput: BAD_SIGNATURE.
    """
    if len(signature) != SIGNATURE_BYTES or len(public) != PUBLIC_KEY_BYTES:
        raise InvalidInput(Code.BAD_SIGNATURE, "signature or key has the wrong length")
    try:
        bindings.crypto_sign_open(signature + message, public)
    except BadSignatureError:
        raise InvalidInput(
            Code.BAD_SIGNATURE,
            f"signature by {public.hex()[:16]} does not fit the message",
            hint="sign the exact bytes with the key named as sender, for this chain id",
        ) from None


def verify_vote_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature and that its R lies in the prime-order subgroup.

    Raises:
        InvalidInput: BAD_SIGNATURE.
    """
    verify(public, message, signature)
    if not bindings.crypto_core_ed25519_is_valid_point(signature[:32]):
        raise InvalidInput(Code.BAD_SIGNATURE, "R is outside the prime-order subgroup")


def check_public_key(key: bytes) -> PublicKey:
    """Admit a key to the state.

    Raises:
        InvalidInput: BAD_KEY if it is not 32 bytes of a canonical point of prime order.
    """
    if len(key) != PUBLIC_KEY_BYTES or not bindings.crypto_core_ed25519_is_valid_point(key):
        raise InvalidInput(
            Code.BAD_KEY,
            f"{key.hex()[:16]} is not an Ed25519 key of prime order",
            hint="make keys with `andon keys new`",
        )
    return PublicKey(key)


_KNOWN_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
_KNOWN_SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
"""RFC 8032, 7.1, test 1: a signature of the empty message."""
_ORDER = 2**252 + 27742317777372353535851937790883648493
_NO_MEMBERS = (
    "ee8fbc54b18d1ce487fb6033a068baa41322f15bd73e029385f0399166e38346",  # and a point of order 2
    "0db520f862f1c91780eb4905261421b30428f8a158473ef9fcb6491d5aaac9c5",  # of order 4
    "bf0897a61d855442ee8ea10d40d5e4295cf6a0f9a153daecf3f162db13f2950a",  # of order 8
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # of order 2 itself
)
"""Points outside the prime-order subgroup (tests/vectors/signatures.json)."""


def check_library() -> None:
    """Hold the installed library against what the chain agreed on; a node does this at start.

    Raises:
        Misuse: it judges a key or a signature otherwise, as PyNaCl before 1.6.2 does
            (CVE-2025-69277).
    """
    beyond = int.from_bytes(_KNOWN_SIGNATURE[32:], "little") + _ORDER
    signatures = (
        (_KNOWN_SIGNATURE, True),
        (_KNOWN_SIGNATURE[:32] + beyond.to_bytes(32, "little"), False),
        (bytes(64), False),
    )
    are_right = all(_is_signature(signature) is good for signature, good in signatures)
    if not are_right or any(_is_member(bytes.fromhex(point)) for point in _NO_MEMBERS):
        raise Misuse(
            Code.BAD_CONFIG,
            "the Ed25519 library does not judge as the network does",
            hint="install PyNaCl in the locked version, with the libsodium it brings",
        )


def _is_signature(signature: bytes) -> bool:
    try:
        verify_vote_signature(_KNOWN_KEY, b"", signature)
    except InvalidInput:
        return False
    return True


def _is_member(point: bytes) -> bool:
    return bindings.crypto_core_ed25519_is_valid_point(point)
