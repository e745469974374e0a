"""Ed25519 keys, signatures and the group checks of the chain (the only PyNaCl import).

Rules (reliability reference 5.6): a public key is checked once, when it enters the state, to lie
in the prime-order subgroup; the R of a consensus vote is checked too. With both checks every
libsodium build gives the same verdict. Ids are never derived from signature bytes.
"""

from __future__ import annotations

from typing import NewType, Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

from andon.core.errors import Code, InvalidInput

PublicKey = NewType("PublicKey", bytes)
"""32 bytes; also the id of an account and of a validator."""

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
