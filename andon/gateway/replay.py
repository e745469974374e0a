"""Files as sources: CSV and Parquet, one row a sample; the place in the file is written with it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from andon.core.errors import Code, InvalidInput
from andon.gateway.config import ReplayTable
from andon.gateway.reading import Arrival

ROWS_AT_ONCE = 1024
NOTE = "replay/"


def replay(
    table: ReplayTable,
    folder: Path,
    source: int,
    notes: dict[str, bytes],
    now_ms: Callable[[], int],
) -> Iterator[Arrival]:
    """Give the rows after the last one that was written, as JSON messages.

    Raises:
        InvalidInput: BAD_DATASET.
    """
    note = NOTE + table.path
    skip = int(notes.get(note, b"0"))
    for number, row in enumerate(_rows(folder / table.path)):
        if number < skip:
            continue
        yield Arrival(
            source=source,
            topic=f"{table.path}#{number}",
            payload=_message(table, row, number),
            arrived_ms=now_ms(),
            note=(note, str(number + 1).encode()),
        )


def _rows(path: Path) -> Iterator[dict[str, object]]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet  # noqa: PLC0415 - an extra, and half a second

            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE):
                    yield from batch.to_pylist()
        else:
            with path.open(newline="", encoding="utf-8") as text:
                yield from csv.DictReader(text)
    except OSError as error:
        raise InvalidInput(Code.BAD_DATASET, f"{path}: {error.strerror or error}") from None


def _message(table: ReplayTable, row: dict[str, object], number: int) -> bytes:
    values: dict[str, float | None] = {}
    for name, cell in row.items():
        if name in (table.time, table.machine):
            continue
        try:
            values[name] = float(str(cell))
        except ValueError:
            values[name] = None
    try:
        time = float(str(row[table.time])) * (1000 if table.time_unit == "s" else 1)
        fixed = table.machine.startswith("=")
        machine = table.machine[1:] if fixed else str(row[table.machine])
    except (KeyError, ValueError):
        raise InvalidInput(
            Code.BAD_DATASET,
            f"{table.path}: row {number} has no number in {table.time!r} or no {table.machine!r}",
        ) from None
    clean = {name: value for name, value in values.items() if value == value}  # noqa: PLR0124 - NaN
    return json.dumps({"machine": machine, "time_ms": int(time), "values": clean}).encode()
