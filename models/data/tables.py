"""Tables from CSV (plain, .gz or .xz): numeric columns, coded text columns, missing cells.

Columns are parted by commas, semicolons or tabs; with the latter two, 3,14 is a number.

Text columns become small integers in order of the text, so that ISO time stamps sort as time; the
codes are kept, so that a gateway can code new rows the same way. Empty cells and the usual
spellings of "missing" are NaN.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput

BYTES_MAX = 512 * 1024 * 1024
ROWS_MAX = 2_000_000
COLUMNS_MAX = 4096
SEPARATORS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """`values: f64[rows, columns]`; `codes[name]` are the texts of a text column, by code."""

    columns: tuple[str, ...]
    values: Floats
    codes: dict[str, tuple[str, ...]]
    sha256: str

    def column(self, name: str) -> Floats:
        """One column. Raises InvalidInput BAD_DATASET with the known names if it is missing."""
        if name not in self.columns:
            raise InvalidInput(
                Code.BAD_DATASET,
                f"no column {name!r}",
                hint="columns: " + ", ".join(self.columns[:40]),
            )
        return self.values[:, self.columns.index(name)]

    def select(self, names: Sequence[str]) -> Floats:
        """Several columns, in the order given."""
        return np.stack([self.column(name) for name in names], axis=1)


def read_table(path: Path) -> Table:
    """Read a CSV file with a header line.

    Raises:
        InvalidInput: BAD_DATASET with the line that is wrong.
    """
    data = _bytes(path)
    text = _text(data, path)
    separator = separator_of(text.split("\n", 1)[0])
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise _bad(f"{path.name} line {reader.line_num}: {error}") from None
    if not 1 <= len(header) <= COLUMNS_MAX or len(set(header)) != len(header):
        raise _bad(f"{path.name} needs a header of 1 to {COLUMNS_MAX} different column names")
    if not 1 <= len(rows) <= ROWS_MAX:
        raise _bad(f"{path.name} has {len(rows)} rows; 1 to {ROWS_MAX} are supported")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise _bad(f"{path.name} line {line} has {len(row)} cells for {len(header)} columns")
    codes: dict[str, tuple[str, ...]] = {}
    columns = []
    for index, name in enumerate(header):
        values, texts = _column([row[index].strip() for row in rows], separator)
        columns.append(values)
        if texts:
            codes[name] = texts
    digest = hashlib.sha256(data).hexdigest()
    return Table(tuple(header), np.stack(columns, axis=1), codes, digest)


def separator_of(header: str) -> str:
    """What parts the columns of a header line: comma, semicolon or tab, whichever is most used."""
    return max(SEPARATORS, key=header.count)


def _column(cells: list[str], separator: str) -> tuple[Floats, tuple[str, ...]]:
    present = [cell for cell in cells if cell.lower() not in _MISSING]
    if separator != "," and all(_DECIMAL_COMMA.fullmatch(cell) for cell in present):
        # Spreadsheets that part columns with semicolons write 3,14.
        cells = [cell.replace(",", ".") for cell in cells]
        present = [cell.replace(",", ".") for cell in present]
    try:
        numbers = {cell: float(cell) for cell in set(present)}
    except ValueError:
        order = tuple(sorted(set(present)))
        numbers = {text: float(code) for code, text in enumerate(order)}
        return np.array([numbers.get(cell, np.nan) for cell in cells]), order
    return np.array([numbers.get(cell, np.nan) for cell in cells]), ()


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise _bad(f"{path} is not a file")
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                data = stream.read(BYTES_MAX + 1)
        elif path.suffix == ".xz":
            with lzma.open(path) as stream:
                data = stream.read(BYTES_MAX + 1)
        else:
            data = path.read_bytes()[: BYTES_MAX + 1]
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise _bad(f"{path.name} cannot be read: {error}") from None
    if len(data) > BYTES_MAX:
        raise _bad(f"{path.name} exceeds {BYTES_MAX} bytes")
    return data


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(f"{path.name} is not UTF-8 at byte {error.start}") from None


def _bad(message: str) -> InvalidInput:
    return InvalidInput(Code.BAD_DATASET, message, hint="a CSV file with one header line")
