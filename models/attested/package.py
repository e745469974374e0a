"""Packages of float models: the same blob as of exact ones, with a float graph and float tensors.

Golden outputs are what the publisher's machine computed; a validator's own may differ by rounding
only. Outputs become integers by the manifest's scale, halves to even.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput
from andon.core.model import (
    ModelId,
    ModelManifest,
    model_id,
    validate_window,
)
from andon.core.package import BLOB_NAME, MAGIC, Golden, Parts, decode_part, open_parts
from models.attested.evaluate import Floats, check_graph, compile_graph
from models.attested.graph import AXES_MAX, FloatGraph
from models.package import (
    CARD_BYTES_MAX,
    GOLDEN_COUNT,
    GOLDEN_VECTORS_MAX,
    Description,
    Size,
    seal,
    spread,
)
from models.quantiser import Quantiser, validate_quantiser
from models.tensor_file import TensorFile

ATTESTED = "attested"
FLOATS: Final = TensorFile(dtypes={"F32": np.dtype("<f4")}, axes_max=AXES_MAX)
OUTPUT_MAX = 2**62
ROUGH_PART = 1024
"""Golden outputs further away than 1/1024 of the largest are another model, not rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatPackage:
    """One float model version, checked. Built by `build_float_package` or `from_blob` only."""

    manifest: ModelManifest
    graph: FloatGraph
    tensors: dict[str, Floats]
    quantiser: Quantiser
    golden: Golden
    card: str

    @property
    def id(self) -> ModelId:
        """The digest of the manifest."""
        return model_id(self.manifest)

    def to_blob(self) -> bytes:
        """Encode the package; equal packages give equal bytes."""
        return encode(
            Parts(
                MAGIC,
                encode(self.manifest),
                encode(self.graph),
                FLOATS.write(self.tensors),
                encode(self.quantiser),
                encode(self.golden),
                self.card,
            )
        )

    def save(self, folder: Path) -> None:
        """Write `package.blob` and the card beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / BLOB_NAME).write_bytes(self.to_blob())
        (folder / "card.md").write_text(self.card, "utf-8")

    @staticmethod
    def from_blob(blob: bytes) -> FloatPackage:
        """Open a blob and check everything that can be checked without running the model.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE, DIGEST_MISMATCH, TOO_LARGE, or NOT_CANONICAL.
        """
        parts, manifest = open_parts(blob)
        if manifest.kind != ATTESTED:
            raise _bad("this package is exact, not attested")
        if len(parts.card) > CARD_BYTES_MAX:
            raise InvalidInput(Code.TOO_LARGE, f"card exceeds {CARD_BYTES_MAX} characters")
        graph = decode_part(FloatGraph, parts.graph)
        tensors = FLOATS.read(parts.weights)
        if graph.input_shape != manifest.input_shape:
            raise _bad("manifest and graph differ in input shape")
        if check_graph(graph, tensors) != (manifest.outputs, manifest.multiply_adds):
            raise _bad("manifest and graph differ in outputs or multiply-adds")
        quantiser = decode_part(Quantiser, parts.quantiser)
        validate_quantiser(quantiser)
        golden = decode_part(Golden, parts.golden)
        _check_golden_shape(manifest, golden)
        return FloatPackage(
            manifest=manifest,
            graph=graph,
            tensors=tensors,
            quantiser=quantiser,
            golden=golden,
            card=parts.card,
        )


class FloatModel:
    """A package compiled for one backend; checked against its golden outputs when it is made."""

    def __init__(self, package: FloatPackage, backend: str) -> None:
        self.package = package
        self._execute = compile_graph(package.graph, package.tensors, backend)
        self.divergence = self.measure()

    def predict(self, windows: Sequence[bytes]) -> list[tuple[int, ...]]:
        """Evaluate windows one by one.

        Raises:
            InvalidInput: BAD_MODEL_INPUT, also for an output that is no finite number.
        """
        manifest = self.package.manifest
        for window in windows:
            validate_window(manifest, window)
        return [to_integers(manifest, self._execute(_array(manifest, w))) for w in windows]

    def measure(self) -> int:
        """Largest distance of an own golden output from the package's, in units of the scale.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE if it is more than rounding can be.
        """
        golden = self.package.golden
        rows = zip(self.predict(golden.windows), golden.outputs, strict=True)
        worst = max(abs(a - b) for mine, theirs in rows for a, b in zip(mine, theirs, strict=True))
        largest = max(abs(value) for row in golden.outputs for value in row)
        if worst > max(ROUGH_PART, largest // ROUGH_PART):
            raise _bad(f"golden outputs are {worst} units from what the graph computes")
        return worst


def to_integers(manifest: ModelManifest | Description, output: Floats) -> tuple[int, ...]:
    """Turn float outputs into integers by the scale, halves to even.

    Raises:
        InvalidInput: BAD_MODEL_INPUT for an output that is not finite or out of range.
    """
    scaled = output.astype(np.float64) * manifest.scale_den / manifest.scale_num
    if not bool(np.isfinite(scaled).all()) or bool((np.abs(scaled) >= OUTPUT_MAX).any()):
        raise InvalidInput(
            Code.BAD_MODEL_INPUT, "the model's output for this input is no number of its range"
        )
    return tuple(int(value) for value in np.rint(scaled))


def build_float_package(
    description: Description,
    function: Callable[..., object],
    quantiser: Quantiser,
    samples: NDArray[np.int8],
) -> FloatPackage:
    """Wrap a JAX function `f32[1, *input_shape] -> f32[1, outputs]`; samples: i8[n, *input_shape].

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE with what has no counterpart or is too large.
    """
    from models.attested.convert import float_graph  # noqa: PLC0415 - only publishers trace

    shape = tuple(int(size) for size in samples.shape[1:])
    graph, tensors = float_graph(function, shape)  # type: ignore[arg-type] # any JAX callable
    outputs, multiply_adds = check_graph(graph, tensors)
    execute = compile_graph(graph, tensors, "cpu")
    chosen = spread(samples, GOLDEN_COUNT)
    golden = Golden(
        tuple(window.tobytes() for window in chosen),
        tuple(to_integers(description, execute(window)) for window in chosen),
    )
    parts = Parts(
        MAGIC,
        b"",
        encode(graph),
        FLOATS.write(tensors),
        encode(quantiser),
        encode(golden),
        description.card,
    )
    size = Size(shape, outputs, multiply_adds)
    return FloatPackage.from_blob(seal(replace(description, kind=ATTESTED), size, parts))


def _array(manifest: ModelManifest, window: bytes) -> NDArray[np.int8]:
    return np.frombuffer(window, np.int8).reshape(manifest.input_shape)


def _check_golden_shape(manifest: ModelManifest, golden: Golden) -> None:
    if not 1 <= len(golden.windows) <= GOLDEN_VECTORS_MAX:
        raise _bad(f"golden vectors number 1 to {GOLDEN_VECTORS_MAX}")
    if len(golden.windows) != len(golden.outputs):
        raise _bad("golden windows and outputs differ in number")
    for window, output in zip(golden.windows, golden.outputs, strict=True):
        validate_window(manifest, window)
        if len(output) != manifest.outputs or any(abs(v) >= OUTPUT_MAX for v in output):
            raise _bad("a golden output has another length than the model's, or is out of range")


def _bad(message: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_MODEL_PACKAGE, message, hint="build it with models.attested.package"
    )
