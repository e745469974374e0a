"""How values lie on disk: a CRC-32 over key and value in front of every value.

LMDB 0.9 has no page checksums; this finds rotten and misplaced values on every read.
"""

from __future__ import annotations

from zlib import crc32

from andon.core.errors import Code, Corrupt

CHECKSUM_BYTES = 4


def seal(key: bytes, value: bytes) -> bytes:
    """Put the checksum in front of a value."""
    return crc32(value, crc32(key)).to_bytes(CHECKSUM_BYTES, "big") + value


def unseal(table: str, key: bytes, stored: bytes) -> bytes:
    """Check and remove the checksum.

    Raises:
        Corrupt: STORAGE_DAMAGED with the table and the key.
    """
    value = stored[CHECKSUM_BYTES:]
    if crc32(value, crc32(key)) != int.from_bytes(stored[:CHECKSUM_BYTES], "big"):
        raise damaged(f"a value in table {table} does not fit its checksum", table=table, key=key)
    return value


def damaged(reason: str, **fields: object) -> Corrupt:
    """Make the error that stops a node."""
    return Corrupt(
        Code.STORAGE_DAMAGED,
        reason,
        hint="restore the data folder from a snapshot or let the node sync anew",
        **fields,
    )
