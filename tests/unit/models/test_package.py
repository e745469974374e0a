"""A package has one form; every other form is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.model import ModelManifest
from andon.core.package import Golden, Parts
from models import package as package_module
from models.interpreter import interpret
from models.package import Package, checks_max, edge_windows
from tests.unit.models.conftest import tiny_package


def reassembled(package: Package, **changes: object) -> bytes:
    """The blob with parts changed and their digests left as they were."""
    parts = decode(Parts, package.to_blob())
    return encode(msgspec.structs.replace(parts, **changes))


def rebuilt(package: Package, **fields: object) -> bytes:
    """The blob with manifest fields changed."""
    return reassembled(
        package, manifest=encode(msgspec.structs.replace(package.manifest, **fields))
    )


def refused(blob: bytes) -> Code:
    with pytest.raises(InvalidInput) as caught:
        Package.from_blob(blob)
    return caught.value.code


def test_a_blob_opens_to_an_equal_package(tiny: Package) -> None:
    again = Package.from_blob(tiny.to_blob())
    assert again.id == tiny.id
    assert again.to_blob() == tiny.to_blob()
    assert again.certificate == tiny.certificate


def test_a_saved_package_loads_and_is_readable_beside(tiny: Package, tmp_path: Path) -> None:
    tiny.save(tmp_path / "p")
    assert Package.load(tmp_path / "p").id == tiny.id
    assert "multiply-adds" in (tmp_path / "p" / "certificate.txt").read_text()


def test_a_folder_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        Package.load(tmp_path)
    assert caught.value.code is Code.BAD_MODEL_PACKAGE


@pytest.mark.parametrize("part", ["weights", "graph", "golden", "quantiser"])
def test_a_part_that_is_not_the_named_one_is_refused(tiny: Package, part: str) -> None:
    data = getattr(decode(Parts, tiny.to_blob()), part)
    assert refused(reassembled(tiny, **{part: data[:-1] + bytes([data[-1] ^ 1])})) is (
        Code.DIGEST_MISMATCH
    )


def test_weights_that_break_the_certificate_are_refused_although_digests_agree(
    tiny: Package,
) -> None:
    parts = decode(Parts, tiny.to_blob())
    at = parts.weights.index(tiny.weights["w"].tobytes())
    weights = parts.weights[:at] + b"\x80" + parts.weights[at + 1 :]
    manifest = msgspec.structs.replace(tiny.manifest, weights_digest=digest(Domain.BLOB, weights))
    assert refused(reassembled(tiny, weights=weights, manifest=encode(manifest))) is (
        Code.NOT_CERTIFIED
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Bad Name"},
        {"kind": "magic"},
        {"input_bytes": 7},
        {"input_shape": (3, 2)},
        {"input_dtype": "float32"},
        {"outputs": 3},
        {"scale_den": 0},
        {"gas": 1},
        {"multiply_adds": 31},
        {"parent": b"short"},
        {"weights_digest": b""},
    ],
)
def test_a_manifest_that_lies_is_refused(tiny: Package, fields: dict[str, object]) -> None:
    assert refused(rebuilt(tiny, **fields)) is Code.BAD_MODEL_PACKAGE


def test_golden_vectors_must_be_inputs_of_the_model(tiny: Package) -> None:
    golden = encode(Golden((b"\x80" * 6,), ((0, 0),)))
    manifest = msgspec.structs.replace(tiny.manifest, golden_digest=digest(Domain.BLOB, golden))
    assert refused(reassembled(tiny, golden=golden, manifest=encode(manifest))) is (
        Code.BAD_MODEL_INPUT
    )


@settings(max_examples=80, deadline=None)
@given(position=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_no_changed_byte_goes_unnoticed(tiny: Package, position: float, value: int) -> None:
    blob = bytearray(tiny.to_blob())
    place = int(position * len(blob))
    card_start = len(blob) - len("# Tiny")
    if blob[place] == value or place >= card_start:
        return
    blob[place] = value
    try:
        opened = Package.from_blob(bytes(blob))
    except InvalidInput:
        return
    assert opened.id != tiny.id


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_garbage_is_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        Package.from_blob(data)


def test_edge_windows_hold_only_certified_operands() -> None:
    windows = edge_windows((3, 5))
    assert windows.dtype == np.int8
    assert windows.min() == -127
    assert windows.max() == 127


def test_golden_outputs_are_the_interpreters(tiny: Package) -> None:
    windows = np.frombuffer(b"".join(tiny.golden.windows), np.int8).reshape(-1, 2, 3)
    expected = interpret(tiny.graph, tiny.weights, windows)
    assert [list(row) for row in tiny.golden.outputs] == expected.tolist()


def test_the_id_covers_every_field_of_the_manifest(tiny: Package) -> None:
    other = msgspec.structs.replace(tiny.manifest, version="2")
    assert decode(ModelManifest, encode(other)) != tiny.manifest
    assert digest(Domain.MODEL, encode(other)) != tiny.id


def test_a_large_model_brings_few_golden_vectors_so_that_checking_ends(
    tiny: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_module, "CHECK_MULTIPLY_ADDS_MAX", 3 * tiny.manifest.multiply_adds)
    assert len(tiny_package().golden.windows) == 3
    with pytest.raises(InvalidInput) as caught:
        Package.from_blob(tiny.to_blob())
    assert caught.value.code is Code.BAD_MODEL_PACKAGE
    assert checks_max(10**12, 8) == 1
    assert checks_max(0, 8) == 8
