"""A publisher's signature under a model package: who answers for what the id names.

The signature is over the model id, the digest of the manifest, which names every other part of
the package. The `models` contract checks it when a model is proposed; `package.sig` beside
`package.blob` carries it offline. Signed as messages of contracts are, so that the language can
check it and no signature of a transaction or vote can be taken for one.
"""

from __future__ import annotations

from andon.core.codec import Record, decode, encode, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.keys import CONTRACT_MESSAGE_TAG, SigningKey, verify

SIGNATURE_NAME = "package.sig"
_STATEMENT = "andon/model-publisher"
_BYTES_MAX = 256


class PackageSignature(Record, frozen=True):
    """Who signed (32 bytes) and the 64 bytes of Ed25519."""

    publisher: bytes
    signature: bytes


def sign_model(model_id: bytes, key: SigningKey) -> PackageSignature:
    """Sign a model id as its publisher."""
    return PackageSignature(key.public, key.sign(_message(model_id)))


def check_model_signature(model_id: bytes, found: PackageSignature) -> None:
    """Check that the publisher signed this model.

    Raises:
        InvalidInput: BAD_SIGNATURE.
    """
    verify(found.publisher, _message(model_id), found.signature)


def write_signature(found: PackageSignature) -> bytes:
    """The content of a `package.sig`."""
    return encode(found)


def read_signature(data: bytes) -> PackageSignature:
    """Read a `package.sig`.

    Raises:
        InvalidInput: BAD_SIGNATURE if it is none.
    """
    try:
        return decode(PackageSignature, data, _BYTES_MAX)
    except InvalidInput as error:
        raise InvalidInput(
            Code.BAD_SIGNATURE,
            f"this is no signature of a package: {error.message}",
            hint="make one with `andon models sign PATH --from KEY`",
        ) from None


def _message(model_id: bytes) -> bytes:
    return CONTRACT_MESSAGE_TAG + encode_value((_STATEMENT, model_id))
