"""Constants as one canonical safetensors file: sorted, packed, bounded, integers only.

Any safetensors reader opens the file; this reader refuses what is not in the one canonical form,
so that equal constants have equal bytes and one digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import msgspec
import numpy as np

from andon.core.errors import Code, InvalidInput
from models.rules import Tensor

WEIGHTS_BYTES_MAX = 32 * 1024 * 1024
HEADER_BYTES_MAX = 1024 * 1024
TENSORS_MAX = 4096
_DTYPES: dict[str, np.dtype[np.integer]] = {
    "I8": np.dtype(np.int8),
    "I16": np.dtype(np.int16).newbyteorder("<"),
    "I32": np.dtype(np.int32).newbyteorder("<"),
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_./")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, _Entry])


def write_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Encode int8, int16 and int32 tensors in order of their names.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE for another dtype or a bad name.
    """
    header: dict[str, _Entry] = {}
    parts: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        code = _CODES.get(tensor.dtype.newbyteorder("<"))
        if code is None or not 1 <= len(name) <= 64 or not set(name) <= _NAME_CHARACTERS:
            raise _bad(f"tensor {name!r} of {tensor.dtype} cannot be stored")
        data = np.ascontiguousarray(tensor, _DTYPES[code]).tobytes()
        end = offset + len(data)
        header[name] = _Entry(code, list(tensor.shape), (offset, end))
        parts.append(data)
        offset = end
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Decode a file that `write_tensors` made; the tensors are read-only.

    Raises:
        InvalidInput: TOO_LARGE, BAD_MODEL_PACKAGE, or NOT_CANONICAL.
    """
    if len(data) > WEIGHTS_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"weights of {len(data)} bytes")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(HEADER_BYTES_MAX, len(data) - 8):
        raise _bad("weights header is cut off or too long")
    try:
        header = _HEADER.decode(data[8 : 8 + length])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _bad("weights header does not describe tensors") from None
    if len(header) > TENSORS_MAX:
        raise _bad(f"more than {TENSORS_MAX} tensors")
    body = data[8 + length :]
    tensors = {name: _read(name, entry, body) for name, entry in header.items()}
    if write_tensors(tensors) != data:
        raise InvalidInput(Code.NOT_CANONICAL, "weights are not in their canonical form")
    return tensors


def _read(name: str, entry: _Entry, body: bytes) -> Tensor:
    dtype = _DTYPES.get(entry.dtype)
    start, end = entry.data_offsets
    sizes = entry.shape
    if dtype is None or len(sizes) > 4 or not all(0 <= n <= WEIGHTS_BYTES_MAX for n in sizes):
        raise _bad(f"tensor {name!r} is ill-described")
    if not 0 <= start <= end <= len(body) or end - start != prod(sizes) * dtype.itemsize:
        raise _bad(f"tensor {name!r} does not match its bytes")
    return np.frombuffer(body[start:end], dtype).reshape(sizes)


def _bad(message: str) -> InvalidInput:
    return InvalidInput(Code.BAD_MODEL_PACKAGE, message)
