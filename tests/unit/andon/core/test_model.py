"""Model ids, input digests, gas and the checks of windows."""

from __future__ import annotations

import msgspec
import pytest

from andon.core.errors import Code, InvalidInput
from andon.core.model import (
    ModelManifest,
    input_digest,
    model_id,
    prediction_gas,
    validate_manifest,
    validate_window,
)

MANIFEST = ModelManifest(
    name="a-model",
    version="1",
    task="rul",
    kind="exact",
    input_bytes=6,
    input_shape=(2, 3),
    input_dtype="int8",
    outputs=1,
    scale_num=1,
    scale_den=256,
    gas=prediction_gas(6, 1000),
    multiply_adds=1000,
    weights_digest=b"w" * 32,
    graph_digest=b"g" * 32,
    golden_digest=b"o" * 32,
    quantiser_digest=b"q" * 32,
    training=(("seed", "0"),),
    parent=b"",
)


def test_a_sound_manifest_passes_and_its_id_is_a_digest() -> None:
    validate_manifest(MANIFEST)
    assert len(model_id(MANIFEST)) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"scale_num": 2}, {"version": "2"}, {"training": ()}, {"parent": b"p" * 32},
        {"kind": "attested"}, {"quantiser_digest": b"r" * 32},
    ],
)  # fmt: skip
def test_the_id_changes_with_every_field(change: dict[str, object]) -> None:
    assert model_id(msgspec.structs.replace(MANIFEST, **change)) != model_id(MANIFEST)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "UPPER"), ("name", "a" * 65), ("input_shape", ()),
        ("input_shape", (1, 1, 1, 1, 6)), ("input_shape", (0, 6)), ("input_bytes", 5),
        ("outputs", 0), ("outputs", 4097), ("scale_num", 0), ("gas", 3), ("parent", b"x"),
        ("training", (("a", "b" * 513),)), ("training", (("a", "b"),) * 65), ("kind", "none"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_manifest(msgspec.structs.replace(MANIFEST, **{field: value}))
    assert caught.value.code is Code.BAD_MODEL_PACKAGE
    assert caught.value.fields["field"] in (field, "gas")


def test_gas_rounds_up_and_grows_with_work() -> None:
    assert prediction_gas(10, 1) == prediction_gas(10, 64) == prediction_gas(10, 0) + 1
    assert prediction_gas(10, 6400) == prediction_gas(10, 0) + 100


def test_input_digests_separate_models_and_windows() -> None:
    one, two = model_id(MANIFEST), b"m" * 32
    digests = {input_digest(m, w) for m in (one, two) for w in (b"abcdef", b"abcdeg")}
    assert len(digests) == 4


def test_an_input_digest_needs_a_whole_model_id() -> None:
    with pytest.raises(InvalidInput):
        input_digest(b"short", b"abcdef")


@pytest.mark.parametrize("window", [b"", b"\0" * 5, b"\0" * 7, b"\0\0\x80\0\0\0"])
def test_windows_of_another_length_or_with_minus_128_are_refused(window: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        validate_window(MANIFEST, window)
    assert caught.value.code is Code.BAD_MODEL_INPUT


def test_the_edges_of_the_range_are_inputs() -> None:
    validate_window(MANIFEST, b"\x7f\x81\x00\x01\xff\x7e")
