"""PostgreSQL: blocks and everything in them, with the checkpoint in the same transaction.

Whatever ends this process, the database holds each block wholly and once. A second process on one
schema waits for the first one's transaction, sees its checkpoint and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import resources

import psycopg
from psycopg import sql

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.sinks.blocks import BlockReader, FullBlock
from andon.sinks.config import Postgres
from andon.sinks.rows import COLUMNS, Rows

SCHEMA_VERSION = 1
BLOCKS_AT_ONCE = 64
"""Blocks in one transaction while catching up."""

POLL_S = 0.25
log = logging.getLogger(__name__)


class PostgresSink:
    """One schema of one database."""

    def __init__(self, table: Postgres, reader: BlockReader) -> None:
        self._table = table
        self._reader = reader
        self._connection: psycopg.Connection | None = None

    async def open(self) -> int:
        """Connect and make the tables; gives the height that was written last.

        Raises:
            Unavailable: UNREACHABLE. InvalidInput: WRONG_CHAIN, BAD_CONFIG.
        """
        genesis = (await self._reader.status()).genesis_hash
        return await asyncio.to_thread(self._open, genesis)

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await asyncio.to_thread(self._connection.close)
            self._connection = None

    async def run(self) -> None:
        """Follow the chain for ever.

        Raises:
            Unavailable: the database or the node is not there; go on with `open`.
        """
        while True:
            if not await self.step():
                await asyncio.sleep(POLL_S)

    async def step(self) -> bool:
        """Write what is final and not written yet, up to 64 blocks; False if there is nothing."""
        height, parent = await asyncio.to_thread(self._checkpoint)
        top = int((await self._reader.status()).height)
        last = min(top, height + BLOCKS_AT_ONCE)
        if last <= height:
            return False
        numbers = range(height + 1, last + 1)
        blocks = await asyncio.gather(*(self._reader.read(number, None) for number in numbers))
        for block in blocks:
            if parent is not None and block.block.header.parent != parent:
                raise InvalidInput(
                    Code.WRONG_CHAIN,
                    f"block {block.height} does not follow the block that was written before",
                    hint="the schema holds another network; use another schema",
                )
            parent = block.block.hash
        await asyncio.to_thread(self._write, height, blocks)
        return True

    async def reindex(self, first: int) -> int:
        """Forget everything from a height on, in one transaction; gives the new checkpoint."""
        return await asyncio.to_thread(self._reindex, first)

    # -- blocking -------------------------------------------------------------------------

    def _open(self, genesis: str) -> int:
        try:
            connection = psycopg.connect(self._table.dsn, autocommit=True, connect_timeout=10)
        except psycopg.OperationalError as error:
            raise Unavailable(Code.UNREACHABLE, f"postgres: {error}".strip()) from None
        self._connection = connection
        schema = sql.Identifier(self._table.schema)
        script = resources.files("andon.sinks").joinpath("schema.sql").read_text("utf-8")
        with connection.transaction():
            # Two processes that start at once must not make the tables at once.
            connection.execute("SELECT pg_advisory_xact_lock(7206)")
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema))
            connection.execute(sql.SQL("SET search_path TO {}").format(schema))
            connection.execute(script.encode())
            connection.execute(
                "INSERT INTO checkpoint (genesis_hash, height, schema_version)"
                " VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (genesis, self._table.first_height - 1, SCHEMA_VERSION),
            )
            row = connection.execute(
                "SELECT genesis_hash, height, schema_version FROM checkpoint"
            ).fetchone()
        assert row is not None
        if row[0] != genesis:
            raise InvalidInput(
                Code.WRONG_CHAIN,
                f"schema {self._table.schema} holds another network",
                hint="use another schema",
            )
        if row[2] != SCHEMA_VERSION:
            raise InvalidInput(
                Code.BAD_CONFIG, f"the tables are of version {row[2]}, not {SCHEMA_VERSION}"
            )
        return int(row[1])

    def _require(self) -> psycopg.Connection:
        if self._connection is None:
            raise Unavailable(Code.UNREACHABLE, "the database is not open")
        return self._connection

    def _checkpoint(self) -> tuple[int, str | None]:
        try:
            row = self._require().execute("SELECT height, block_hash FROM checkpoint").fetchone()
        except psycopg.OperationalError as error:
            raise Unavailable(Code.UNREACHABLE, f"postgres: {error}".strip()) from None
        assert row is not None
        return int(row[0]), row[1]

    def _write(self, height: int, blocks: list[FullBlock]) -> None:
        rows = Rows()
        for block in blocks:
            rows.add(block)
        connection = self._require()
        try:
            with connection.transaction(), connection.cursor() as cursor:
                cursor.execute("SELECT height FROM checkpoint FOR UPDATE")
                found = cursor.fetchone()
                if found is None or found[0] != height:
                    return  # another process was here meanwhile: start over from its checkpoint
                for name, entries in rows.tables.items():
                    if entries:
                        cursor.executemany(_insert(name), entries)
                last = blocks[-1]
                cursor.execute(
                    "UPDATE checkpoint SET height = %s, block_hash = %s",
                    (last.height, last.block.hash),
                )
        except psycopg.OperationalError as error:
            raise Unavailable(Code.UNREACHABLE, f"postgres: {error}".strip()) from None

    def _reindex(self, first: int) -> int:
        if first < self._table.first_height:
            raise InvalidInput(
                Code.BAD_ARGUMENTS, f"the sink begins at height {self._table.first_height}"
            )
        connection = self._require()
        with connection.transaction():
            row = connection.execute("SELECT height FROM checkpoint FOR UPDATE").fetchone()
            assert row is not None
            if first > row[0]:
                return int(row[0])
            connection.execute("DELETE FROM blocks WHERE height >= %s", (first,))
            connection.execute(
                "UPDATE checkpoint SET height = %s,"
                " block_hash = (SELECT hash FROM blocks WHERE height = %s)",
                (first - 1, first - 1),
            )
        return first - 1


def _insert(table: str) -> sql.Composed:
    columns = COLUMNS[table]
    return sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
