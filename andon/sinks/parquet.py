"""Parquet files for data scientists: one a table, readable by duckdb, pandas and polars."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from andon.core.errors import Code, InvalidInput
from andon.sinks.blocks import BlockReader
from andon.sinks.rows import COLUMNS, Rows

BLOCKS_AT_ONCE = 128
_INTEGERS = (
    "height", "epoch", "slot", "gas_used", "transactions", "size_bytes", "index", "votes",
    "validators", "certified_height",
)  # fmt: skip


def arrow_schema(table: str) -> pa.Schema:
    """Column types of a table."""
    return pa.schema([(name, _type(name)) for name in COLUMNS[table]])


async def export_parquet(nodes: list[str], folder: Path, first: int, last: int | None) -> int:
    """Write the blocks from `first` to `last` (the node's last by default); gives how many.

    Files appear under their names only when they are whole.

    Raises:
        InvalidInput: BAD_ARGUMENTS, or HEIGHT_UNKNOWN if the node has pruned them.
    """
    if first < 1:
        raise InvalidInput(Code.BAD_ARGUMENTS, "heights start at 1")
    reader = BlockReader(nodes)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    parts = {name: folder / f"{name}.parquet.part" for name in COLUMNS}
    writers = {name: pq.ParquetWriter(parts[name], arrow_schema(name)) for name in COLUMNS}
    try:
        top = int((await reader.status()).height)
        top = top if last is None else min(last, top)
        parent: str | None = None
        for begin in range(first, top + 1, BLOCKS_AT_ONCE):
            rows = Rows()
            for height in range(begin, min(begin + BLOCKS_AT_ONCE, top + 1)):
                full = await reader.read(height, parent)
                parent = full.block.hash
                rows.add(full)
            await asyncio.to_thread(_write, writers, rows)
    finally:
        for writer in writers.values():
            writer.close()
        await reader.close()
    for name, part in parts.items():
        part.replace(folder / f"{name}.parquet")
    return max(0, top - first + 1)


def _write(writers: dict[str, pq.ParquetWriter], rows: Rows) -> None:
    for name, entries in rows.tables.items():
        if entries:
            schema = arrow_schema(name)
            columns = [
                pa.array(list(column), field.type)
                for column, field in zip(zip(*entries, strict=True), schema, strict=True)
            ]
            writers[name].write_table(pa.Table.from_arrays(columns, schema=schema))


def _type(name: str) -> pa.DataType:
    if name in _INTEGERS:
        return pa.int64()
    if name == "output":
        return pa.list_(pa.int64())
    if name == "time":
        return pa.timestamp("ms", tz="UTC")
    return pa.bool_() if name == "ok" else pa.string()
