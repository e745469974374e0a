"""Tensors as one canonical safetensors file: sorted, packed, bounded, of stated dtypes only.

Any safetensors reader opens the file; this reader refuses what is not in the one canonical form,
so that equal tensors have equal bytes and one digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput

FILE_BYTES_MAX = 32 * 1024 * 1024
HEADER_BYTES_MAX = 1024 * 1024
TENSORS_MAX = 4096
NAME_LENGTH_MAX = 64
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_./")

Number = TypeVar("Number", bound=np.generic)


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_HEADER = msgspec.json.Decoder(dict[str, _Entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFile(Generic[Number]):
    """A kind of file: the dtypes that it may hold, by their code in the header."""

    dtypes: Mapping[str, np.dtype[Number]]
    axes_max: int

    def write(self, tensors: Mapping[str, NDArray[Number]]) -> bytes:
        """Encode tensors in order of their names.

        Raises:
            InvalidInput: BAD_MODEL_PACKAGE for another dtype, a bad name or what is no number.
        """
        codes = {dtype: code for code, dtype in self.dtypes.items()}
        header: dict[str, _Entry] = {}
        parts: list[bytes] = []
        offset = 0
        for name in sorted(tensors):
            tensor = tensors[name]
            code = codes.get(tensor.dtype.newbyteorder("<"))
            is_named = 1 <= len(name) <= NAME_LENGTH_MAX and set(name) <= _NAME_CHARACTERS
            if code is None or not is_named:
                raise _bad(f"tensor {name[:NAME_LENGTH_MAX]!r} of {tensor.dtype} cannot be stored")
            if tensor.dtype.kind == "f" and bool(np.isnan(tensor).any()):
                raise _bad(f"tensor {name!r} holds what is no number")
            data = np.ascontiguousarray(tensor, self.dtypes[code]).tobytes()
            end = offset + len(data)
            header[name] = _Entry(code, list(tensor.shape), (offset, end))
            parts.append(data)
            offset = end
        text = msgspec.json.encode(header)
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + b"".join(parts)

    def read(self, data: bytes) -> dict[str, NDArray[Number]]:
        """Decode a file that `write` made; the tensors are read-only.

        Raises:
            InvalidInput: TOO_LARGE, BAD_MODEL_PACKAGE, or NOT_CANONICAL.
        """
        if len(data) > FILE_BYTES_MAX:
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
        tensors = {name: self._read(name, entry, body) for name, entry in header.items()}
        if self.write(tensors) != data:
            raise InvalidInput(Code.NOT_CANONICAL, "weights are not in their canonical form")
        return tensors

    def _read(self, name: str, entry: _Entry, body: bytes) -> NDArray[Number]:
        dtype = self.dtypes.get(entry.dtype)
        start, end = entry.data_offsets
        sizes = entry.shape
        is_bounded = len(sizes) <= self.axes_max and all(0 <= n <= FILE_BYTES_MAX for n in sizes)
        if dtype is None or not is_bounded:
            raise _bad(f"tensor {name!r} is ill-described")
        if not 0 <= start <= end <= len(body) or end - start != prod(sizes) * dtype.itemsize:
            raise _bad(f"tensor {name!r} does not match its bytes")
        return np.frombuffer(body[start:end], dtype).reshape(sizes)


def _bad(message: str) -> InvalidInput:
    return InvalidInput(Code.BAD_MODEL_PACKAGE, message)
