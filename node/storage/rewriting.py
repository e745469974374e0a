"""Replacing a stored chain by a portable state; restoring single blocks; pruning."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from andon.core.block import Block, Header, block_hash
from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.transaction import parse_transaction
from consensus.ledger import MemoryState, Overlay
from consensus.ledger.succession import PARAMS_KEY, read_params
from node.storage.effects import TABLE as WRITES
from node.storage.effects import begin, give_up
from node.storage.portable import Checked, HistoryChunk, HistoryItem
from node.storage.snapshot import (
    BASE_KEY,
    HEAD_KEY,
    INDEX_BYTES,
    PRUNED_KEY,
    TABLES,
    Leaves,
    height_key,
)
from node.storage.undo import forget
from node.storage.values import damaged
from node.storage.writer import Writer


def put_leaves(table: Writer, name: str, place: bytes, items: tuple[bytes, ...]) -> None:
    """Store the leaves of one block's receipts or predictions, unless there are none."""
    if items:
        table.put(name, place, encode(Leaves(items=items)))


def install(table: Writer, checked: Checked, read: Callable[[str], bytes]) -> None:
    """Write a portable state, chunk by chunk, checking each; see `ChainStore.install`."""
    genesis_header = table.get("headers", height_key(0))
    genesis_block = table.get("blocks", height_key(0))
    if genesis_header is None or genesis_block is None:
        raise damaged("the database holds no genesis")
    for name in TABLES:
        if name != "meta":
            table.clear(name)
    forget(table)
    begin(table, checked.height)
    for name, value in (("headers", genesis_header), ("blocks", genesis_block)):
        table.put(name, height_key(0), value)
    table.put("hashes", block_hash(decode(Header, genesis_header)), height_key(0))
    _put_trust(table, checked)
    window = None
    for name in checked.names():
        chunk = checked.check(name, read(name))
        if isinstance(chunk, HistoryChunk):
            for item in chunk.items:
                _put_item(table, item)
            continue
        for pair in chunk.entries:
            table.put("state", pair.key, pair.value)
            if pair.key == PARAMS_KEY:
                window = _window(pair.value)
        for path, content in checked.tree_of(name.partition("-")[2].encode(), chunk).items():
            if content is not None:
                table.put("tree", b"/" + path, content)
    if window is None or checked.first > max(1, checked.height + 1 - window):
        raise InvalidInput(
            Code.BAD_PROOF, "snapshot: blocks in which a transaction may be repeated are missing"
        )
    for pair in checked.manifest.top:
        table.put("tree", b"/" + pair.key, pair.value)
    for key, height in (
        (HEAD_KEY, checked.height),
        (PRUNED_KEY, checked.first),
        (BASE_KEY, checked.first),
    ):
        table.put("meta", key, height_key(height))


def _window(raw: bytes) -> int:
    state = MemoryState()
    overlay = Overlay(state)
    overlay.put(PARAMS_KEY, raw)
    return read_params(overlay).expiry_window_blocks


def _put_trust(table: Writer, checked: Checked) -> None:
    """The headers by which a light client comes here, and the sets of all epochs."""
    for epoch, validators in enumerate(checked.sets):
        table.put("validators", height_key(epoch), encode(validators))
    for change in checked.manifest.changes:
        header = change.final.header
        certified = (header, *change.final.path)[-1]
        table.put("epochs", height_key(header.epoch), height_key(header.height))
        table.put("certificates", height_key(certified.height), encode(change.final.certificate))
        for above in (header, *change.final.path):
            _put_header(table, above)
    final = checked.manifest.final
    table.put("certificates", height_key(final.header.height), encode(final.certificate))


def _put_header(table: Writer, header: Header) -> None:
    table.put("headers", height_key(header.height), encode(header))
    table.put("hashes", block_hash(header), height_key(header.height))


def _put_item(table: Writer, item: HistoryItem) -> None:
    place = height_key(item.block.header.height)
    _put_header(table, item.block.header)
    table.put("blocks", place, encode(item.block))
    if item.certificate is not None:
        table.put("certificates", place, encode(item.certificate))
    put_leaves(table, "receipts", place, item.receipts)
    put_leaves(table, "predictions", place, item.predictions)
    for index, raw in enumerate(item.block.transactions):
        identity = parse_transaction(raw).id
        table.put("transactions", identity, place + index.to_bytes(INDEX_BYTES, "big"))


def restore_block(table: Writer, item: HistoryItem, certified: Header) -> None:
    """Write all that belongs to one height anew; `item.certificate` is that of `certified`.

    A height that only a descendant proves final loses a certificate of its own, which cannot be
    read any more, and the descendant gets one.
    """
    place = height_key(item.block.header.height)
    for name in ("certificates", "receipts", "predictions"):
        table.setter(name)(place, None)
    _put_item(table, msgspec.structs.replace(item, certificate=None))
    give_up(table, item.block.header.height)
    if item.certificate is not None:
        table.put("certificates", height_key(certified.height), encode(item.certificate))


def prune(table: Writer, below: int, count_max: int) -> int:
    """Forget what blocks did, the lowest first; see `ChainStore.prune`."""
    raw = table.get("meta", PRUNED_KEY)
    first = 1 if raw is None else int.from_bytes(raw, "big")
    end = min(below, first + count_max)
    forget = {name: table.setter(name) for name in ("blocks", "receipts", "predictions", WRITES)}
    forget_transaction = table.setter("transactions")
    for height in range(first, end):
        place = height_key(height)
        block = table.get("blocks", place)
        if block is None:
            raise damaged(f"block {height} is missing")
        for raw_transaction in decode(Block, block).transactions:
            forget_transaction(parse_transaction(raw_transaction).id, None)
        for set_value in forget.values():
            set_value(place, None)
    if end > first:
        table.put("meta", PRUNED_KEY, height_key(end))
    return max(0, end - first)
