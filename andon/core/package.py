"""The blob of a model package: how its parts are framed and named by the manifest.

What the parts mean is `models.package` and `models.attested.package`; whoever needs one part only
(a client the manifest, a gateway the quantiser) opens the frame here and checks the digests.
"""

from __future__ import annotations

from typing import Final, TypeVar

from andon.core.codec import Record, decode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.model import ModelManifest, validate_manifest

PACKAGE_BLOB_BYTES_MAX: Final = 48 * 1024 * 1024
"""So that it can be published in one request."""
BLOB_NAME: Final = "package.blob"
MAGIC: Final = "andon-model-1"
R = TypeVar("R", bound=Record)


class Golden(Record, frozen=True):
    """Inputs and the outputs that every validator must find for them."""

    windows: tuple[bytes, ...]
    outputs: tuple[tuple[int, ...], ...]


class Parts(Record, frozen=True):
    """The blob: each part in its own canonical bytes."""

    magic: str
    manifest: bytes
    graph: bytes
    weights: bytes
    quantiser: bytes
    golden: bytes
    card: str


def open_parts(blob: bytes) -> tuple[Parts, ModelManifest]:
    """Take a blob apart and check every part against the digest in the manifest.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE, DIGEST_MISMATCH, TOO_LARGE, or NOT_CANONICAL.
    """
    parts = decode_part(Parts, blob)
    if parts.magic != MAGIC:
        raise _bad("not a model package of a known version")
    manifest = decode_part(ModelManifest, parts.manifest)
    validate_manifest(manifest)
    _same_digest("weights", parts.weights, manifest.weights_digest)
    _same_digest("graph", parts.graph, manifest.graph_digest)
    _same_digest("golden", parts.golden, manifest.golden_digest)
    _same_digest("quantiser", parts.quantiser, manifest.quantiser_digest)
    return parts, manifest


def decode_part(kind: type[R], data: bytes) -> R:
    """Decode one part.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE, TOO_LARGE, or NOT_CANONICAL.
    """
    try:
        return decode(kind, data, PACKAGE_BLOB_BYTES_MAX)
    except InvalidInput as error:
        if error.code is Code.MALFORMED:
            raise _bad(error.message) from None
        raise


def _same_digest(part: str, data: bytes, expected: bytes) -> None:
    if digest(Domain.BLOB, data) != expected:
        raise InvalidInput(
            Code.DIGEST_MISMATCH, f"{part} is not what the manifest names", part=part
        )


def _bad(message: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_MODEL_PACKAGE,
        message,
        hint="`andon models train` and `models.convert` make packages",
    )
