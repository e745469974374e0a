"""A key that stays in a hardware module: PKCS#11 version 3 with EdDSA.

The module signs; it does not know what a vote is. So the rules and the memory of what was signed
stay in front of it, in `FileSigner`. Tested with SoftHSM 2.6.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.types import SignMixin

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PUBLIC_KEY_BYTES, PublicKey, check_public_key

_OCTET_STRING = b"\x04\x20"


class Pkcs11Key:
    """A `SigningKey` in a module; one session, closed by `close`. One thread at a time."""

    def __init__(self, module: Path, token: str, label: str, pin: str) -> None:
        """Open the module and find the key pair of a label.

        Raises:
            InvalidInput: BAD_KEY if there is no such token, PIN or Ed25519 key.
        """
        try:
            self._session = pkcs11.lib(str(module)).get_token(token_label=token).open(user_pin=pin)
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise InvalidInput(
                Code.BAD_KEY,
                f"token {token!r} of {module} cannot be opened: {type(error).__name__}",
                hint="pkcs11_module, pkcs11_token and the PIN's file are named in config.toml",
            ) from None
        try:
            private = self._session.get_key(
                object_class=ObjectClass.PRIVATE_KEY, key_type=KeyType.EC_EDWARDS, label=label
            )
            public = self._session.get_key(
                object_class=ObjectClass.PUBLIC_KEY, key_type=KeyType.EC_EDWARDS, label=label
            )
        except pkcs11.PKCS11Error as error:
            self._session.close()
            raise InvalidInput(
                Code.BAD_KEY,
                f"token {token!r} has no Ed25519 key pair {label!r}: {type(error).__name__}",
                hint="make one in the module; keys are never imported by a node",
            ) from None
        assert isinstance(private, SignMixin), "a private key signs"
        self._private = private
        self.public = _public_of(public[Attribute.EC_POINT])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def sign(self, message: bytes) -> bytes:
        """Sign `message`; 64 bytes.

        Raises:
            Unavailable: SIGNER_DOWN if the module does not.
        """
        try:
            return bytes(self._private.sign(message, mechanism=Mechanism.EDDSA))
        except pkcs11.PKCS11Error as error:
            raise Unavailable(
                Code.SIGNER_DOWN,
                f"the module does not sign: {type(error).__name__}",
                hint="is it plugged in, and is its session still open?",
            ) from None

    def close(self) -> None:
        """Log out."""
        self._session.close()


def _public_of(point: bytes) -> PublicKey:
    # PKCS#11 wraps the point in an OCTET STRING; some modules give it bare.
    raw = point.removeprefix(_OCTET_STRING) if len(point) > PUBLIC_KEY_BYTES else point
    return check_public_key(bytes(raw))
