"""What the chain knows about a model: its manifest, its id and the digest of an input.

The manifest is the only part of a model package that consensus reads. Everything heavier
(graph, weights, golden vectors) is named here by digest and lives in a blob that only workers
open. Source: architecture §4-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NewType

from andon.core.codec import Record, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import DIGEST_BYTES, Digest, Domain, digest, digest_many, digests

ModelId = NewType("ModelId", bytes)
"""Digest of the manifest: 32 bytes."""

KINDS = ("exact", "attested")
INPUT_BYTES_MAX = 1 << 20
OUTPUTS_MAX = 4096
NAME_LENGTH_MAX = 64
TRAINING_PAIRS_MAX = 64
TEXT_LENGTH_MAX = 512
GAS_BASE = 500
GAS_PER_INPUT_BYTE = 1
MULTIPLY_ADDS_PER_GAS = 64
INPUT_VALUE_MIN = -127

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


class ModelManifest(Record, frozen=True, kw_only=True):
    """The identity of one model version; its digest is the model id.

    A prediction is a tuple of `outputs` integers; the value of each is
    `output * scale_num / scale_den`. `training` holds lineage as (name, value) pairs.
    """

    name: str
    version: str
    task: str
    kind: str
    input_bytes: int
    input_shape: tuple[int, ...]
    input_dtype: str
    outputs: int
    scale_num: int
    scale_den: int
    gas: int
    multiply_adds: int
    weights_digest: bytes
    graph_digest: bytes
    golden_digest: bytes
    quantiser_digest: bytes
    training: tuple[tuple[str, str], ...]
    parent: bytes
    """Model id of the model that this one was trained from; empty if there is none."""


def model_id(manifest: ModelManifest) -> ModelId:
    """Hash the canonical manifest into the model's id."""
    return ModelId(digest(Domain.MODEL, encode(manifest)))


def input_digest(identity: ModelId | bytes, window: bytes) -> Digest:
    """Hash one input of one model; the pair names a prediction.

    Raises:
        InvalidInput: MALFORMED when `identity` is not a digest, which would blur the joint.
    """
    if len(identity) != DIGEST_BYTES:
        raise InvalidInput(Code.MALFORMED, f"a model id has {DIGEST_BYTES} bytes")
    return digest_many(Domain.MODEL_INPUT, identity, window)


def input_digests(identity: ModelId | bytes, windows: Sequence[bytes]) -> list[Digest]:
    """Do as `input_digest` for many inputs of one model.

    Raises:
        InvalidInput: MALFORMED when `identity` is not a digest.
    """
    if len(identity) != DIGEST_BYTES:
        raise InvalidInput(Code.MALFORMED, f"a model id has {DIGEST_BYTES} bytes")
    return digests(Domain.MODEL_INPUT, windows, identity)


def prediction_gas(input_bytes: int, multiply_adds: int) -> int:
    """Price one prediction from its static size (exact_ml R11)."""
    work = -(-multiply_adds // MULTIPLY_ADDS_PER_GAS)
    return GAS_BASE + GAS_PER_INPUT_BYTE * input_bytes + work


def validate_manifest(manifest: ModelManifest) -> None:
    """Check every field that can be checked without the weights.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE with the field that is wrong.
    """
    _validate_texts(manifest)
    elements = 1
    for size in manifest.input_shape:
        _require(1 <= size <= INPUT_BYTES_MAX, "input_shape", "each axis is 1 to 2**20")
        elements *= size
    _require(1 <= len(manifest.input_shape) <= 4, "input_shape", "1 to 4 axes")
    _require(manifest.input_bytes == elements, "input_bytes", "the product of input_shape")
    _require(elements <= INPUT_BYTES_MAX, "input_bytes", f"at most {INPUT_BYTES_MAX}")
    _require(manifest.input_dtype == "int8", "input_dtype", "int8")
    _require(1 <= manifest.outputs <= OUTPUTS_MAX, "outputs", f"1 to {OUTPUTS_MAX}")
    _require(0 < manifest.scale_num < 2**63, "scale_num", "positive")
    _require(0 < manifest.scale_den < 2**63, "scale_den", "positive")
    _require(0 <= manifest.multiply_adds < 2**48, "multiply_adds", "below 2**48")
    gas = prediction_gas(elements, manifest.multiply_adds)
    _require(manifest.gas == gas, "gas", f"{gas}, priced from the multiply-adds")
    for field in ("weights_digest", "graph_digest", "golden_digest", "quantiser_digest"):
        _require(len(getattr(manifest, field)) == DIGEST_BYTES, field, "a digest")
    _require(len(manifest.parent) in (0, DIGEST_BYTES), "parent", "empty or a model id")


def validate_window(manifest: ModelManifest, window: bytes) -> None:
    """Check that `window` is an input of this model: its length, and no byte is -128.

    Raises:
        InvalidInput: BAD_MODEL_INPUT.
    """
    if len(window) != manifest.input_bytes:
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            f"input has {len(window)} bytes, {manifest.name} takes {manifest.input_bytes}",
            hint="send one int8 per input element, in row-major order",
        )
    # -128 would break the operand range on which exactness rests (exact_ml 2.4).
    position = window.find(b"\x80")
    if position >= 0:
        raise InvalidInput(
            Code.BAD_MODEL_INPUT,
            f"input element {position} is -128; elements are -127 to 127",
            hint="quantise with the package's own quantiser",
        )


def validate_windows(manifest: ModelManifest, windows: Sequence[bytes]) -> None:
    """Do as `validate_window` for each, at once for sound ones.

    Raises:
        InvalidInput: BAD_MODEL_INPUT.
    """
    are_sized = {manifest.input_bytes}.issuperset(map(len, windows))
    if are_sized and b"\x80" not in b"".join(windows):
        return
    for window in windows:
        validate_window(manifest, window)


def _validate_texts(manifest: ModelManifest) -> None:
    _require(
        1 <= len(manifest.name) <= NAME_LENGTH_MAX and set(manifest.name) <= _NAME_CHARACTERS,
        "name",
        f"1 to {NAME_LENGTH_MAX} of a-z 0-9 - _ .",
    )
    _require(1 <= len(manifest.version) <= NAME_LENGTH_MAX, "version", "1 to 64 characters")
    _require(1 <= len(manifest.task) <= NAME_LENGTH_MAX, "task", "1 to 64 characters")
    _require(manifest.kind in KINDS, "kind", " or ".join(KINDS))
    _require(len(manifest.training) <= TRAINING_PAIRS_MAX, "training", "at most 64 pairs")
    for name, value in manifest.training:
        _require(
            len(name) <= NAME_LENGTH_MAX and len(value) <= TEXT_LENGTH_MAX,
            "training",
            f"names to {NAME_LENGTH_MAX}, values to {TEXT_LENGTH_MAX} characters",
        )


def _require(holds: bool, field: str, expected: str) -> None:  # noqa: FBT001 # a guard reads so
    if not holds:
        raise InvalidInput(
            Code.BAD_MODEL_PACKAGE,
            f"manifest field {field} must be {expected}",
            hint="build packages with models.package.build_package",
            field=field,
        )
