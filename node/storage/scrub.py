"""Read a whole store and check every part against the others: what a value's checksum cannot show.

A page that rots, is lost, or was written to another page's place may hold nothing wrong and yet
miss entries, or show those of an earlier time. Here the headers vouch for all else: they chain up
to genesis, their roots fix transactions, receipts, predictions and state. Cost: every value is
read once, and the state's tree is built anew in memory (about 1 KiB a key).
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import Block, Header, block_hash
from andon.core.codec import encode
from andon.core.errors import AndonError, Corrupt
from andon.core.merkle import merkle_root
from andon.core.transaction import parse_transaction
from consensus.ledger import MemoryState, update_tree
from node.storage.effects import check_begun, check_writes
from node.storage.snapshot import GENESIS_KEY, TABLES, Snapshot
from node.storage.undo import check_kept
from node.storage.values import damaged


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was read."""

    height: int
    transactions: int
    values: int


def scrub(snapshot: Snapshot) -> Scrubbed:
    """Check the whole store. Blocking: run it in a thread or before the node serves.

    Raises:
        Corrupt: STORAGE_DAMAGED with what does not fit.
    """
    try:
        counts = {table: snapshot.count(table) for table in TABLES}
        height, first = snapshot.height(), snapshot.first_height()
        transactions = _check_chain(snapshot, first, height)
        _check_state(snapshot, height)
        check_kept(snapshot)
        check_begun(snapshot)
    except Corrupt:
        raise
    except AndonError as error:
        # A record of another table or of another shape: the checksum fits, the content does not.
        raise damaged(f"a stored record cannot be read: {error.message}") from None
    sparse = _sparse_heights(snapshot)
    known = height + 1 - snapshot.base_height() + len(sparse)
    bodies = height + 1 - first + (1 if first > 0 else 0)
    for table, expected in (("headers", known), ("hashes", known), ("blocks", bodies)):
        if counts[table] != expected:
            raise damaged(f"table {table} has {counts[table]} entries, not {expected}")
    if counts["transactions"] != transactions:
        raise damaged(f"{counts['transactions']} transactions are indexed, not {transactions}")
    return Scrubbed(height, transactions, sum(counts.values()))


def _sparse_heights(snapshot: Snapshot) -> list[int]:
    """Heights below the base whose headers are kept: genesis, and what proves closed epochs."""
    base = snapshot.base_height()
    kept = {0: None} if base > 0 else {}
    for closing in snapshot.epoch_closings():
        final = snapshot.final_header(closing)
        if final is None:
            raise damaged(f"the certificate of block {closing}, which closed an epoch, is missing")
        for header in (final.header, *final.path):
            if header.height < base:
                kept[header.height] = None
    return sorted(kept)


def _check_chain(snapshot: Snapshot, first: int, height: int) -> int:
    below: Header | None = None
    transactions = 0
    closings = []
    base = snapshot.base_height()
    for at in [*_sparse_heights(snapshot), *range(base, height + 1)]:
        transactions += check_height(snapshot, at, first)
        header = snapshot.header(at)
        assert header is not None, "check_height has seen it"
        if at == 0 and block_hash(header) != snapshot.meta(GENESIS_KEY):
            raise damaged("block 0 is not that of this network")
        if below is not None and below.height == at - 1 and header.parent != block_hash(below):
            raise damaged(f"header {at} does not follow header {at - 1}")
        if header.closes_epoch:
            closings.append(at)
        below = header
    if height > 0 and snapshot.certificate(height) is None:
        raise damaged(f"the certificate of the last block, {height}, is missing")
    if snapshot.epoch_closings() != tuple(closings):
        raise damaged("the index of epochs does not fit the headers")
    for epoch in range(len(closings) + 1):
        if snapshot.validators(epoch) is None:
            raise damaged(f"the validators of epoch {epoch} are missing")
    return transactions


def next_stored(snapshot: Snapshot, height: int) -> int:
    """The lowest height, this one or above, whose header belongs into this store."""
    base = snapshot.base_height()
    if height >= base:
        return height
    return next((at for at in _sparse_heights(snapshot) if at >= height), base)


def check_height(snapshot: Snapshot, at: int, first: int | None = None) -> int:
    """Check one height's header, body, leaves, indexes and certificate against its header.

    `first` is the lowest height whose body is stored. Returns how many transactions it has.

    Raises:
        Corrupt: STORAGE_DAMAGED. InvalidInput: a record of another shape.
    """
    header, transactions = snapshot.header(at), 0
    if header is None or header.height != at:
        raise damaged(f"header {at} is missing")
    identity = block_hash(header)
    if snapshot.height_of(identity) != at:
        raise damaged(f"the hash of block {at} is not indexed")
    if at >= (snapshot.first_height() if first is None else first) or at == 0:
        block = snapshot.block(at)
        if block is None or block.header != header:
            raise damaged(f"block {at} is missing or differs from its header")
        transactions = _check_body(snapshot, block)
        check_writes(snapshot, header)
    certificate = snapshot.certificate(at)
    if certificate is not None and certificate.vote.block != identity:
        raise damaged(f"the certificate at {at} names another block")
    above = snapshot.header(at + 1)
    if above is not None and above.height == at + 1 and above.parent != identity:
        raise damaged(f"header {at + 1} does not follow header {at}")
    return transactions


def _check_body(snapshot: Snapshot, block: Block) -> int:
    header = block.header
    receipts = snapshot.receipts(header.height)
    predictions = snapshot.predictions(header.height)
    for name, root, leaves in (
        ("transactions", header.transactions_root, block.transactions),
        ("receipts", header.receipts_root, tuple(encode(item) for item in receipts)),
        ("predictions", header.predictions_root, tuple(encode(item) for item in predictions)),
    ):
        if merkle_root(leaves) != root:
            raise damaged(f"the {name} of block {header.height} do not fit its header")
    for index, raw in enumerate(block.transactions):
        identity = parse_transaction(raw).id
        if snapshot.transaction_place(identity) != (header.height, index):
            raise damaged(f"transaction {identity.hex()[:16]} is not indexed at {header.height}")
    return len(block.transactions)


def _check_state(snapshot: Snapshot, height: int) -> None:
    """Build the tree anew from the entries; entries, stored tree and header must agree."""
    header = snapshot.header(height)
    entries = dict(snapshot.entries("state"))
    root, nodes = update_tree(MemoryState(), entries)
    if header is None or root != header.state_root:
        raise damaged(f"the state is not that of block {height}")
    stored = {key[1:]: content for key, content in snapshot.entries("tree")}
    if stored != nodes:
        raise damaged("the stored tree is not that of the state")
    for key, value in entries.items():
        if snapshot.get(key) != value:
            raise damaged("an entry of the state is not found by its key")
