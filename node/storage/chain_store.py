"""The stored chain: block, state, tree, receipts, indexes and height in one transaction.

There is one writer: the thread that calls `append`. Readers take snapshots.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from andon.core.block import Block, Header, block_hash
from andon.core.certificate import Certificate
from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput, Misuse
from consensus.ledger import Executed, GenesisState, tree_root
from node.storage.effects import begin, put_writes
from node.storage.environment import DATA_FILE, Environment
from node.storage.high_water import Mark, older, open_mark
from node.storage.portable import Checked, HistoryItem
from node.storage.rewriting import install, prune, put_leaves, restore_block
from node.storage.snapshot import (
    FORMAT_KEY,
    GENESIS_KEY,
    HEAD_KEY,
    INDEX_BYTES,
    TABLES,
    WRITES_KEY,
    Snapshot,
    height_key,
)
from node.storage.undo import keep
from node.storage.values import damaged
from node.storage.writer import Writer

FORMAT = b"andon-1"
Entries = dict[bytes, bytes | None]
MAP_BYTES = 64 * 1024**3
"""Reserved address space; the file grows only as data is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """What one height adds: its block, what it did, and the certificate that names it, if any."""

    block: Block
    executed: Executed
    certificate: Certificate | None


class ChainStore:
    """The durable chain of one node."""

    def __init__(
        self,
        folder: Path,
        map_bytes: int = MAP_BYTES,
        *,
        is_readonly: bool = False,
        delay_ms: int = 0,
        mark: Path | None = None,
    ) -> None:
        """Open the database; `initialise` or `check` comes next. `delay_ms` is for chaos tests.

        `mark` is the file, outside of `folder`, that says how far the chain once was; a store
        behind it is refused. Where no database is yet, the chain begins anew, and so does the mark.

        Raises:
            Unavailable: LOCKED. Corrupt: STORAGE_DAMAGED or STORAGE_FULL.
        """
        self._mark = open_mark(mark, folder / DATA_FILE)
        self._environment = Environment(folder, TABLES, map_bytes, is_readonly=is_readonly)
        self._delay_s = delay_ms / 1000
        try:
            self._check_mark()
        except BaseException:
            self.close()
            raise

    def is_empty(self) -> bool:
        """Tell whether no chain was stored yet."""
        with self.snapshot() as snapshot:
            return snapshot.meta(HEAD_KEY) is None

    def initialise(self, genesis: GenesisState) -> None:
        """Store height 0.

        Raises:
            Misuse: the database already holds a chain.
        """
        if not self.is_empty():
            raise Misuse(Code.MALFORMED, "the database already holds a chain")
        stored = StoredBlock(block=genesis.block, executed=genesis.executed, certificate=None)
        with self._environment.write() as transaction:
            table = Writer(transaction, self._environment.tables)
            table.put("meta", FORMAT_KEY, FORMAT)
            table.put("meta", GENESIS_KEY, block_hash(genesis.header))
            begin(table, 0)
            _write_block(table, stored)
            overlay = genesis.executed.overlay
            _write_state(table, overlay.writes, overlay.tree_writes)

    def check(self, genesis_hash: bytes) -> None:
        """Check that this is the chain of `genesis_hash` and that its head is whole.

        Raises:
            InvalidInput: BAD_GENESIS for another network. Corrupt: STORAGE_DAMAGED.
        """
        with self.snapshot() as snapshot:
            if snapshot.meta(FORMAT_KEY) != FORMAT:
                raise damaged("the database has another format")
            if snapshot.meta(GENESIS_KEY) != genesis_hash:
                raise InvalidInput(
                    Code.BAD_GENESIS,
                    "the data folder belongs to another network",
                    hint="use the genesis file it was made with, or another data folder",
                )
            height = snapshot.height()
            header, block = snapshot.header(height), snapshot.block(height)
            if header is None or block is None or block.header != header:
                raise damaged(f"block {height} is missing or differs from its header")
            if snapshot.height_of(block_hash(header)) != height:
                raise damaged(f"the hash of block {height} is not indexed")
            if tree_root(snapshot) != header.state_root:
                raise damaged(f"the state is not that of block {height}")

    def append(self, blocks: list[StoredBlock]) -> None:
        """Store consecutive final blocks, ascending, durably and all or none.

        An entry of state or tree that several of them write is written once.

        Raises:
            Misuse: they do not follow the head. Corrupt: STORAGE_FULL or STORAGE_DAMAGED.
        """
        if self._delay_s:
            time.sleep(self._delay_s)
        with self._environment.write() as transaction:
            table = Writer(transaction, self._environment.tables)
            height, state, tree = table.height(), Entries(), Entries()
            if table.get("meta", WRITES_KEY) is None:  # a store of an earlier release
                begin(table, height)
            for stored in blocks:
                if stored.block.header.height != height + 1:
                    raise Misuse(
                        Code.MALFORMED,
                        f"block {stored.block.header.height} does not follow {height}",
                    )
                overlay = stored.executed.overlay
                before = {
                    key: state[key] if key in state else table.get("state", key)
                    for key in overlay.writes
                }
                keep(table, height + 1, before)
                put_writes(table, height + 1, before, overlay.writes)
                _write_block(table, stored)
                state.update(overlay.writes)
                tree.update(overlay.tree_writes)
                height += 1
            _write_state(table, state, tree)
        if blocks:
            self._write_mark(blocks[-1].block.header)

    def install(self, checked: Checked, read: Callable[[str], bytes]) -> None:
        """Replace everything but height 0 by a portable state, durably and all or nothing.

        Raises:
            InvalidInput: BAD_PROOF for a chunk that does not fit. Corrupt: as `append`.
        """
        with self._environment.write() as transaction:
            install(Writer(transaction, self._environment.tables), checked, read)
        self._write_mark(checked.manifest.final.header)

    def prune(self, below: int, count_max: int) -> int:
        """Forget bodies, receipts and predictions of up to `count_max` blocks below a height.

        Headers and certificates stay. Returns how many blocks it was.
        """
        with self._environment.write() as transaction:
            return prune(Writer(transaction, self._environment.tables), below, count_max)

    def restore_block(self, item: HistoryItem, certified: Header) -> None:
        """Replace what is damaged at one height by an item that was checked."""
        with self._environment.write() as transaction:
            restore_block(Writer(transaction, self._environment.tables), item, certified)

    def rewrite(self, changes: Sequence[tuple[str, bytes, bytes]]) -> None:
        """Put values (table, key, value) in the place of damaged ones."""
        with self._environment.write() as transaction:
            writer = Writer(transaction, self._environment.tables)
            for table, key, value in changes:
                writer.put(table, key, value)

    def replace_tree(self, nodes: Mapping[bytes, bytes | None]) -> None:
        """Put another tree (path -> content) in the place of a damaged one."""
        with self._environment.write() as transaction:
            writer = Writer(transaction, self._environment.tables)
            writer.clear("tree")
            set_node = writer.setter("tree")
            for path in sorted(nodes):
                set_node(b"/" + path, nodes[path])

    def snapshot(self) -> Snapshot:
        """Open a view of the last stored block; the caller closes it."""
        return Snapshot(self._environment)

    def read_block(self, height: int) -> Block | None:
        """Body of a final block."""
        with self.snapshot() as snapshot:
            return snapshot.block(height)

    def head_height(self) -> int:
        """Height of the last stored block."""
        with self.snapshot() as snapshot:
            return snapshot.height()

    def used_ratio(self) -> float:
        """Part of the map that is in use; the map grows at a start, never before."""
        return self.size_bytes() / self._environment.map_bytes()

    def size_bytes(self) -> int:
        """Bytes in use on disk."""
        return self._environment.size_bytes()

    def clear_dead_readers(self) -> int:
        """Free what crashed readers hold; to be called about once a minute."""
        return self._environment.reader_check()

    def reader_lag(self) -> int:
        """How many commits ago the oldest open read began."""
        return self._environment.reader_lag()

    def close(self) -> None:
        """Close; every snapshot must be closed."""
        self._environment.close()
        if self._mark is not None:
            self._mark.close()

    def _write_mark(self, header: Header) -> None:
        # After the chain is durable and before anybody hears of the block.
        if self._mark is not None:
            self._mark.write(Mark(header.height, block_hash(header)))

    def _check_mark(self) -> None:
        """Refuse a chain that is behind what this node acknowledged, or another one."""
        if self._mark is None:
            return
        with self.snapshot() as snapshot:
            height = 0 if snapshot.meta(HEAD_KEY) is None else snapshot.height()
            mark = self._mark.mark
            head = snapshot.header(height)
            if mark is None:  # a home of an earlier release
                if head is not None:
                    self._write_mark(head)
                return
            there = snapshot.header(mark.number)
            is_known = mark.number == 0 or mark.number < snapshot.base_height()
            is_same = there is not None and block_hash(there) == mark.digest
        if height < mark.number or not (is_known or is_same):
            raise older("the stored chain", height, mark)


def _write_block(table: Writer, stored: StoredBlock) -> None:
    block, executed = stored.block, stored.executed
    header, place = block.header, height_key(block.header.height)
    table.put("blocks", place, encode(block))
    table.put("headers", place, encode(header))
    table.put("hashes", block_hash(header), place)
    if stored.certificate is not None:
        table.put("certificates", place, encode(stored.certificate))
    if header.height == 0:
        table.put("validators", height_key(0), encode(executed.next_validators))
    if header.closes_epoch:
        table.put("epochs", height_key(header.epoch), place)
        table.put("validators", height_key(header.epoch + 1), encode(executed.next_validators))
    put_leaves(table, "receipts", place, executed.receipt_bytes)
    put_leaves(table, "predictions", place, executed.prediction_bytes)
    # In order of id, so that neighbours share a page of the index.
    entries = sorted(
        (receipt.transaction_id, index)
        for index, receipt in enumerate(executed.receipts[: len(block.transactions)])
    )
    for identity, index in entries:
        table.put("transactions", identity, place + index.to_bytes(INDEX_BYTES, "big"))
    table.put("meta", HEAD_KEY, place)


def _write_state(table: Writer, state: Entries, tree: Entries) -> None:
    # In order of key, so that neighbours share a page.
    set_state = table.setter("state")
    for key in sorted(state):
        set_state(key, state[key])
    set_node = table.setter("tree")
    for path in sorted(tree):
        set_node(b"/" + path, tree[path])
