"""Float tensors as one canonical safetensors file: sorted, packed, bounded, finite float32."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import msgspec
import numpy as np

from andon.core.errors import Code, InvalidInput
from models.attested.evaluate import Floats
from models.attested.graph import AXES_MAX
from models.weights import HEADER_BYTES_MAX, TENSORS_MAX, WEIGHTS_BYTES_MAX

_CODE = "F32"
_DTYPE = np.dtype(np.float32).newbyteorder("<")


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, _Entry])


def write_floats(tensors: Mapping[str, Floats]) -> bytes:
    """Encode float32 tensors in order of their names.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE for a number that is not finite or a bad name.
    """
    header: dict[str, _Entry] = {}
    parts: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        data = np.ascontiguousarray(tensors[name], _DTYPE)
        if not 1 <= len(name) <= 64 or not name.isascii():
            raise _bad(f"tensor {name[:64]!r} has no good name")
        if bool(np.isnan(data).any()):
            raise _bad(f"tensor {name!r} holds what is no number")
        raw = data.tobytes()
        header[name] = _Entry(_CODE, list(tensors[name].shape), (offset, offset + len(raw)))
        offset += len(raw)
        parts.append(raw)
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def read_floats(data: bytes) -> dict[str, Floats]:
    """Decode a file that `write_floats` made; the tensors are read-only.

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
    if write_floats(tensors) != data:
        raise InvalidInput(Code.NOT_CANONICAL, "weights are not in their canonical form")
    return tensors


def _read(name: str, entry: _Entry, body: bytes) -> Floats:
    start, end = entry.data_offsets
    sizes = entry.shape
    if entry.dtype != _CODE or len(sizes) > AXES_MAX:
        raise _bad(f"tensor {name!r} is ill-described")
    if not all(0 <= size <= WEIGHTS_BYTES_MAX for size in sizes):
        raise _bad(f"tensor {name!r} is ill-described")
    if not 0 <= start <= end <= len(body) or end - start != prod(sizes) * _DTYPE.itemsize:
        raise _bad(f"tensor {name!r} does not match its bytes")
    return np.frombuffer(body[start:end], _DTYPE).reshape(sizes).astype(np.float32, copy=False)


def _bad(message: str) -> InvalidInput:
    return InvalidInput(Code.BAD_MODEL_PACKAGE, message)
