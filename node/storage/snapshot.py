"""A consistent view of the stored chain: state, tree, blocks, receipts, at one height."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import lmdb

from andon.core.block import Block, Header, PredictionRecord, Receipt
from andon.core.certificate import Certificate, ValidatorSet
from andon.core.codec import R, Record, decode
from andon.core.errors import Corrupt
from andon.core.proof import FinalHeader
from andon.core.state_proof import LEAF_BYTES
from andon.core.wire import FinalBlock
from node.storage.environment import Environment, mapped
from node.storage.values import CHECKSUM_BYTES, damaged, unseal

HEIGHT_BYTES = 8
INDEX_BYTES = 4
KEY_BYTES_MAX = 511
"""LMDB's limit; longer keys cannot have been stored."""
PATH_LENGTH_MAX = 1024
"""Blocks between a block and the certificate above it; slots ahead bound it far lower."""

TABLES = (
    "meta",
    "blocks",
    "headers",
    "hashes",
    "certificates",
    "epochs",
    "validators",
    "receipts",
    "predictions",
    "transactions",
    "state",
    "tree",
    "undo",
    "writes",
)
HEAD_KEY = b"head"
GENESIS_KEY = b"genesis"
FORMAT_KEY = b"format"
PRUNED_KEY = b"pruned"
BASE_KEY = b"base"
UNDO_KEY = b"undo"
WRITES_KEY = b"writes"


class Leaves(Record, frozen=True):
    """The encoded leaves of one block's receipts or predictions root, in order."""

    items: tuple[bytes, ...]


def height_key(height: int) -> bytes:
    """Key of a height; ascending order of heights."""
    return height.to_bytes(HEIGHT_BYTES, "big")


class Snapshot:
    """A read transaction; end it soon with `close`, for it holds pages. One thread at a time."""

    def __init__(self, environment: Environment) -> None:
        self._transaction = environment.read()
        self._tables = environment.tables
        self._state = environment.tables["state"]
        self._tree = environment.tables["tree"]
        self._transactions = environment.tables["transactions"]

    def close(self) -> None:
        """End the view."""
        self._transaction.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # consensus.ledger.StateReader

    def get(self, key: bytes) -> bytes | None:
        """Value at a state key."""
        if not 0 < len(key) <= KEY_BYTES_MAX:
            return None
        stored = self._read(key, self._state)
        return None if stored is None else unseal("state", key, stored)

    def iterate(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Entries of the state under a prefix, ascending by key."""
        result: list[tuple[bytes, bytes]] = []
        if count_max <= 0:
            return result
        start = prefix if after is None or after < prefix else after
        with mapped(), self._transaction.cursor(db=self._state) as cursor:
            # LMDB refuses the empty key; the first key is meant then.
            found = cursor.set_range(start) if start else cursor.first()
            while found:
                key = bytes(cursor.key())
                if not key.startswith(prefix):
                    break
                if key != after:
                    result.append((key, unseal("state", key, bytes(cursor.value()))))
                    if len(result) == count_max:
                        break
                found = cursor.next()
        return result

    def tree_node(self, path: bytes) -> bytes | None:
        """Content of a node of the state tree."""
        # LMDB refuses empty keys, and the root's path is empty.
        key = b"/" + path
        stored = self._read(key, self._tree)
        return None if stored is None else unseal("tree", key, stored)

    def count(self, table: str) -> int:
        """Read a table from end to end and count; every value passes its checksum.

        Raises:
            Corrupt: STORAGE_DAMAGED if it is out of order or not as long as LMDB believes.
        """
        found, last = 0, b""
        for key, _ in self.entries(table):
            if key <= last:
                raise damaged(f"table {table} is out of order")
            found, last = found + 1, key
        believed = self.length(table)
        if found != believed:
            raise damaged(f"table {table} has {found} entries, not {believed}")
        return found

    def length(self, table: str) -> int:
        """Entries of a table, as LMDB counts them."""
        with mapped():
            found: int = self._transaction.stat(self._tables[table])["entries"]
        return found

    def entries(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """Go through a whole table in the order of its pages, checking every value."""
        with mapped(), self._transaction.cursor(db=self._tables[table]) as cursor:
            for key, value in cursor:
                yield bytes(key), unseal(table, bytes(key), bytes(value))

    def page(
        self, table: str, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes | None]]:
        """Some entries of a table above a key, in order; None for a value that is damaged."""
        found: list[tuple[bytes, bytes | None]] = []
        with mapped(), self._transaction.cursor(db=self._tables[table]) as cursor:
            is_there = cursor.first() if after is None else cursor.set_range(after)
            if is_there and bytes(cursor.key()) == after:
                is_there = cursor.next()
            while is_there and len(found) < count_max:
                key, stored = bytes(cursor.key()), bytes(cursor.value())
                try:
                    found.append((key, unseal(table, key, stored)))
                except Corrupt:
                    found.append((key, None))
                is_there = cursor.next()
        return found

    def count_keys(self, table: str) -> int:
        """Count a table by its keys alone; their order and number must be as LMDB believes.

        Raises:
            Corrupt: STORAGE_DAMAGED.
        """
        found, last = 0, b""
        with mapped(), self._transaction.cursor(db=self._tables[table]) as cursor:
            for raw in cursor.iternext(keys=True, values=False):
                key = bytes(raw)
                if key <= last:
                    raise damaged(f"table {table} is out of order")
                found, last = found + 1, key
        if found != self.length(table):
            raise damaged(f"table {table} has {found} entries, not {self.length(table)}")
        return found

    def leaves(self) -> int:
        """How many leaves the stored tree has, told by the length of its nodes."""
        length = CHECKSUM_BYTES + LEAF_BYTES
        with mapped(), self._transaction.cursor(db=self._tree) as cursor:
            return sum(len(value) == length for value in cursor.iternext(keys=False, values=True))

    def has_transaction(self, transaction_id: bytes) -> bool:
        """Tell whether a stored block holds the transaction."""
        return self._read(transaction_id, self._transactions) is not None

    # history

    def meta(self, key: bytes) -> bytes | None:
        """A value of the table of facts about this database."""
        return self.value("meta", key)

    def height(self) -> int:
        """Height of the last stored block.

        Raises:
            Corrupt: STORAGE_DAMAGED if the database holds no chain.
        """
        raw = self.meta(HEAD_KEY)
        if raw is None:
            raise damaged("the database holds no chain")
        return int.from_bytes(raw, "big")

    def first_height(self) -> int:
        """Lowest height whose body is still stored."""
        raw = self.meta(PRUNED_KEY)
        return 0 if raw is None else int.from_bytes(raw, "big")

    def base_height(self) -> int:
        """Lowest height from which every header is stored; below, only those that closed epochs."""
        raw = self.meta(BASE_KEY)
        return 0 if raw is None else int.from_bytes(raw, "big")

    def header(self, height: int) -> Header | None:
        """Header of a final block."""
        return self._record(Header, "headers", height_key(height))

    def block(self, height: int) -> Block | None:
        """Body of a final block."""
        return self._record(Block, "blocks", height_key(height))

    def certificate(self, height: int) -> Certificate | None:
        """The Final certificate that names exactly this block, if there is one."""
        return self._record(Certificate, "certificates", height_key(height))

    def height_of(self, block_hash: bytes) -> int | None:
        """Height of a final block."""
        raw = self.value("hashes", block_hash)
        return None if raw is None else int.from_bytes(raw, "big")

    def receipts(self, height: int) -> tuple[Receipt, ...]:
        """Leaves of the block's receipts root."""
        return tuple(decode(Receipt, item) for item in self._leaves("receipts", height))

    def busy_heights(self, below: int, count_max: int) -> list[int]:
        """Heights below `below` of blocks that did something and have their bodies, newest first.

        Cost: one step of a cursor each, however many empty blocks lie between.
        """
        found: list[int] = []
        with mapped(), self._transaction.cursor(db=self._tables["receipts"]) as cursor:
            is_there = cursor.set_range(height_key(max(below, 0))) or cursor.last()
            while is_there and len(found) < count_max:
                height = int.from_bytes(bytes(cursor.key()), "big")
                if height < below:
                    found.append(height)
                is_there = cursor.prev()
        return found

    def predictions(self, height: int) -> tuple[PredictionRecord, ...]:
        """Leaves of the block's predictions root."""
        return tuple(decode(PredictionRecord, item) for item in self._leaves("predictions", height))

    def transaction_place(self, transaction_id: bytes) -> tuple[int, int] | None:
        """Height and index of a transaction."""
        raw = self.value("transactions", transaction_id)
        if raw is None:
            return None
        return int.from_bytes(raw[:HEIGHT_BYTES], "big"), int.from_bytes(raw[HEIGHT_BYTES:], "big")

    def epoch_closings(self) -> tuple[int, ...]:
        """Heights of the blocks that closed an epoch, ascending."""
        with mapped(), self._transaction.cursor(db=self._tables["epochs"]) as cursor:
            return tuple(
                int.from_bytes(unseal("epochs", bytes(key), bytes(value)), "big")
                for key, value in cursor
            )

    def validators(self, epoch: int) -> ValidatorSet | None:
        """The set of an epoch that has begun."""
        return self._record(ValidatorSet, "validators", height_key(epoch))

    def final_block(self, height: int) -> FinalBlock | None:
        """A final block with its certificate or that of the nearest certified descendant."""
        block, final = self.block(height), self.final_header(height)
        if block is None or final is None:
            return None
        return FinalBlock(block=block, path=final.path, certificate=final.certificate)

    def final_header(self, height: int) -> FinalHeader | None:
        """The header of a final block, certified like `final_block`; also where bodies are gone."""
        header = self.header(height)
        if header is None:
            return None
        path: list[Header] = []
        for above in range(height, height + PATH_LENGTH_MAX):
            if above > height:
                child = self.header(above)
                if child is None:
                    break
                path.append(child)
            certificate = self.certificate(above)
            if certificate is not None:
                return FinalHeader(header=header, path=tuple(path), certificate=certificate)
        # Height 0 of a chain without blocks: nothing certifies genesis but its hash.
        return None

    def _leaves(self, table: str, height: int) -> tuple[bytes, ...]:
        leaves = self._record(Leaves, table, height_key(height))
        return () if leaves is None else leaves.items

    def _record(self, kind: type[R], table: str, key: bytes) -> R | None:
        raw = self.value(table, key)
        return None if raw is None else decode(kind, raw)

    def value(self, table: str, key: bytes) -> bytes | None:
        """What stands at a key of a table, as it was stored."""
        if not 0 < len(key) <= KEY_BYTES_MAX:
            return None
        stored = self._read(key, self._tables[table])
        return None if stored is None else unseal(table, key, stored)

    def _read(self, key: bytes, table: lmdb._Database) -> bytes | None:
        # A try costs nothing on the way that works; the context manager would cost a microsecond.
        try:
            found = self._transaction.get(key, db=table)
        except lmdb.Error as error:
            raise damaged(f"LMDB: {error}") from None
        return None if found is None else bytes(found)
