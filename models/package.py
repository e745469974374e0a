"""A model package: manifest, graph, weights, quantiser, golden vectors and card in one blob.

The blob is canonical, so its digest names it; the manifest inside names every part by digest, so
the model id does. Opening a blob trusts nothing: sizes, digests, the static certificate and the
golden vectors' shapes are checked before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Digest, Domain, digest
from andon.core.model import (
    ModelId,
    ModelManifest,
    model_id,
    prediction_gas,
    validate_window,
)
from andon.core.package import (
    BLOB_NAME,
    MAGIC,
    PACKAGE_BLOB_BYTES_MAX,
    Golden,
    Parts,
    decode_part,
    open_parts,
)
from models.certificate import Certificate, certify_graph, describe
from models.graph import Graph
from models.interpreter import interpret
from models.memory import row_bytes
from models.quantiser import Quantiser, validate_quantiser
from models.rules import Tensor
from models.tensor_file import TensorFile

GOLDEN_VECTORS_MAX = 256
EDGES_MAX = 8
CHECK_MULTIPLY_ADDS_MAX = 1 << 32
"""Work of the interpreter on golden and on edge inputs, each: some ten seconds of a slow core."""
GOLDEN_COUNT = 24
CARD_BYTES_MAX = 64 * 1024


INTEGERS: Final[TensorFile[np.integer]] = TensorFile(
    dtypes={"I8": np.dtype("i1"), "I16": np.dtype("<i2"), "I32": np.dtype("<i4")}, axes_max=4
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One model version, certified. Built by `build_package` or `Package.from_blob` only."""

    manifest: ModelManifest
    graph: Graph
    weights: dict[str, Tensor]
    quantiser: Quantiser
    golden: Golden
    card: str
    certificate: Certificate
    row_bytes: int
    """What one window takes at most (`models.memory`); it bounds the windows of a call."""

    @property
    def id(self) -> ModelId:
        """The digest of the manifest."""
        return model_id(self.manifest)

    @property
    def digest(self) -> Digest:
        """The digest of the blob."""
        return digest(Domain.BLOB, self.to_blob())

    def to_blob(self) -> bytes:
        """Encode the package; equal packages give equal bytes."""
        return encode(
            Parts(
                MAGIC,
                encode(self.manifest),
                encode(self.graph),
                INTEGERS.write(self.weights),
                encode(self.quantiser),
                encode(self.golden),
                self.card,
            )
        )

    @staticmethod
    def from_blob(blob: bytes) -> Package:
        """Open a blob and check everything that can be checked without running the model.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE, NOT_CERTIFIED, DIGEST_MISMATCH, TOO_LARGE, or
                NOT_CANONICAL.
        """
        parts, manifest = open_parts(blob)
        if len(parts.card) > CARD_BYTES_MAX:
            raise InvalidInput(Code.TOO_LARGE, f"card exceeds {CARD_BYTES_MAX} characters")
        graph = decode_part(Graph, parts.graph)
        weights = INTEGERS.read(parts.weights)
        certificate = certify_graph(graph, weights)
        _validate_shape(manifest, graph, certificate)
        quantiser = decode_part(Quantiser, parts.quantiser)
        validate_quantiser(quantiser)
        golden = decode_part(Golden, parts.golden)
        _validate_golden(manifest, golden)
        return Package(
            manifest=manifest,
            graph=graph,
            weights=weights,
            quantiser=quantiser,
            golden=golden,
            card=parts.card,
            certificate=certificate,
            row_bytes=row_bytes(graph, certificate, weights),
        )

    def save(self, folder: Path) -> None:
        """Write `package.blob`, and beside it what people read: card and certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / BLOB_NAME).write_bytes(self.to_blob())
        (folder / "card.md").write_text(self.card, "utf-8")
        text = describe(self.graph, self.certificate)
        (folder / "certificate.txt").write_text(text + "\n", "utf-8")

    @staticmethod
    def load(folder: Path) -> Package:
        """Open `package.blob` in `folder`. Raises as `from_blob`; BAD_MODEL_PACKAGE if absent."""
        path = folder / BLOB_NAME
        if not path.is_file() or path.stat().st_size > PACKAGE_BLOB_BYTES_MAX:
            raise _bad(f"{path} is not a model package")
        return Package.from_blob(path.read_bytes())

    def value(self, output: int) -> float:
        """Turn an output integer into the model's unit, for people and reports only."""
        return output * self.manifest.scale_num / self.manifest.scale_den


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a package says about itself; `training` is lineage, `card` is for people."""

    name: str
    version: str
    task: str
    scale_num: int
    scale_den: int
    training: tuple[tuple[str, str], ...] = ()
    parent: bytes = b""
    card: str = ""
    kind: str = "exact"


@dataclass(frozen=True, slots=True)
class Size:
    """What a graph takes, gives and costs for one example."""

    input_shape: tuple[int, ...]
    outputs: int
    multiply_adds: int


def build_package(
    description: Description,
    graph: Graph,
    weights: dict[str, Tensor],
    quantiser: Quantiser,
    samples: NDArray[np.int8],
) -> Package:
    """Certify a graph and wrap it, with golden vectors from `samples: i8[n, *input_shape]`.

    Raises:
        InvalidInput: NOT_CERTIFIED, or BAD_MODEL_PACKAGE for a field of the description.
    """
    certificate = certify_graph(graph, weights)
    row_bytes(graph, certificate, weights)  # refuses before anything runs
    count = checks_max(certificate.multiply_adds, GOLDEN_COUNT)
    golden = golden_vectors(graph, weights, samples, count)
    size = Size(graph.input_shape, certificate.output.shape[0], certificate.multiply_adds)
    parts = Parts(
        MAGIC,
        b"",
        encode(graph),
        INTEGERS.write(weights),
        encode(quantiser),
        encode(golden),
        description.card,
    )
    return Package.from_blob(seal(description, size, parts))


def seal(description: Description, size: Size, parts: Parts) -> bytes:
    """Give the blob of these parts, with a manifest that names each by digest."""
    elements = prod(size.input_shape)
    manifest = ModelManifest(
        name=description.name,
        version=description.version,
        task=description.task,
        kind=description.kind,
        input_bytes=elements,
        input_shape=size.input_shape,
        input_dtype="int8",
        outputs=size.outputs,
        scale_num=description.scale_num,
        scale_den=description.scale_den,
        gas=prediction_gas(elements, size.multiply_adds),
        multiply_adds=size.multiply_adds,
        weights_digest=digest(Domain.BLOB, parts.weights),
        graph_digest=digest(Domain.BLOB, parts.graph),
        golden_digest=digest(Domain.BLOB, parts.golden),
        quantiser_digest=digest(Domain.BLOB, parts.quantiser),
        training=description.training,
        parent=description.parent,
    )
    return encode(msgspec.structs.replace(parts, manifest=encode(manifest)))


def golden_vectors(
    graph: Graph, weights: dict[str, Tensor], samples: NDArray[np.int8], count: int = GOLDEN_COUNT
) -> Golden:
    """Pick up to `count` samples and compute their outputs with the interpreter."""
    chosen = spread(samples, count)
    outputs = interpret(graph, weights, chosen)
    return Golden(
        tuple(window.tobytes() for window in chosen),
        tuple(tuple(int(value) for value in row) for row in outputs),
    )


def spread(samples: NDArray[np.int8], count: int) -> NDArray[np.int8]:
    """Pick up to `count` samples at equal distances."""
    chosen: NDArray[np.int8] = samples[
        np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)
    ]
    return chosen


def edge_windows(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Inputs at the edges of the operand range, where a wrong kernel shows first (exact_ml R10)."""
    size = int(np.prod(shape))
    index = np.arange(size)
    rows = [
        np.full(size, 127),
        np.full(size, -127),
        np.zeros(size),
        np.where(index % 2 == 0, 127, -127),
        np.where(index % 3 == 0, -127, 127),
        index * 97 % 255 - 127,
        index * 31 % 255 - 127,
        np.where(index % 7 == 0, 127, 0),
    ]
    return np.array(rows).astype(np.int8).reshape(len(rows), *shape)


def _validate_shape(manifest: ModelManifest, graph: Graph, certificate: Certificate) -> None:
    if manifest.input_shape != graph.input_shape:
        raise _bad("manifest and graph differ in input shape")
    if manifest.outputs != certificate.output.shape[0]:
        raise _bad("manifest and graph differ in outputs")
    if manifest.multiply_adds != certificate.multiply_adds:
        raise _bad("manifest and graph differ in multiply-adds")


def _validate_golden(manifest: ModelManifest, golden: Golden) -> None:
    most = checks_max(manifest.multiply_adds, GOLDEN_VECTORS_MAX)
    if not 1 <= len(golden.windows) <= most:
        raise _bad(f"golden vectors of so large a model number 1 to {most}")
    if len(golden.windows) != len(golden.outputs):
        raise _bad("golden windows and outputs differ in number")
    for window, output in zip(golden.windows, golden.outputs, strict=True):
        validate_window(manifest, window)
        if len(output) != manifest.outputs:
            raise _bad("a golden output has another length than the model's")


def checks_max(multiply_adds: int, most: int) -> int:
    """How many windows of a model are checked when it is loaded, at least one."""
    return max(1, min(most, CHECK_MULTIPLY_ADDS_MAX // max(1, multiply_adds)))


def _bad(message: str) -> InvalidInput:
    return InvalidInput(
        Code.BAD_MODEL_PACKAGE, message, hint="build packages with models.package.build_package"
    )
