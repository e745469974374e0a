"""The weights file: one form, readable by any safetensors reader, bounded."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load as load_safetensors

from andon.core.errors import Code, InvalidInput
from models.package import INTEGERS

TENSORS = {
    "b": np.array([1, -2], np.int32),
    "a": np.arange(6, dtype=np.int8).reshape(2, 3),
    "t": np.array([[[5]]], np.int16),
    "e": np.zeros((0, 4), np.int8),
}


def test_what_is_written_is_read() -> None:
    found = INTEGERS.read(INTEGERS.write(TENSORS))
    assert sorted(found) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype


def test_the_order_of_insertion_does_not_matter() -> None:
    assert INTEGERS.write(TENSORS) == INTEGERS.write(dict(sorted(TENSORS.items())))


def test_other_readers_open_the_file() -> None:
    found = load_safetensors(INTEGERS.write(TENSORS))
    np.testing.assert_array_equal(found["a"], TENSORS["a"])


def test_floats_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        INTEGERS.write({"a": np.zeros(3, np.float32)})  # type: ignore[dict-item] # the point
    assert caught.value.code is Code.BAD_MODEL_PACKAGE


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:4],
        lambda d: d[:-1],
        lambda d: d + b"\0",
        lambda d: d.replace(b'"I8"', b'"F8"'),
        lambda d: d.replace(b"[2,3]", b"[3,2]").replace(b'"a"', b'"z"'),
        lambda d: b"\xff" * 8 + d[8:],
        lambda d: d.replace(b'"shape":[2]', b'"shape":[3]'),
        lambda d: d[:8] + b"x" * (len(d) - 8),
    ],
)
def test_damaged_files_are_refused(change: object) -> None:
    assert callable(change)
    with pytest.raises(InvalidInput) as caught:
        INTEGERS.read(change(INTEGERS.write(TENSORS)))
    assert caught.value.code in (Code.BAD_MODEL_PACKAGE, Code.NOT_CANONICAL)


def test_another_spelling_of_the_header_is_refused() -> None:
    data = INTEGERS.write(TENSORS)
    length = int.from_bytes(data[:8], "little")
    padded = (
        (length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :]
    )
    with pytest.raises(InvalidInput) as caught:
        INTEGERS.read(padded)
    assert caught.value.code is Code.NOT_CANONICAL
