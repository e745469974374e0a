"""Large blobs between a file and a node: in parts, in the memory of one, resumed after a break.

A blob is named by its digest before it is sent, so a client that was killed, or whose node was,
asks how much is there and goes on. What is fetched grows beside its place until it is whole and
its digest holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from andon.client.transport import Transport
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.hashing import Domain, digest_of_parts
from andon.core.json_value import to_hex
from andon.core.rpc_schema import BlobReply

PART_BYTES = 4 * 1024 * 1024
ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""The longest part that a node sends."""

BREAKS_MAX = 8
"""Breaks in a row, with nothing new sent between them, after which a transfer is given up."""

FILE_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""No node keeps more as one blob: what goes on after it is no blob."""


async def publish_file(transport: Transport, path: Path) -> bytes:
    """Store a file with the node, from where it stands there; returns its digest.

    Raises:
        Unavailable: UNREACHABLE, STORAGE_FULL. InvalidInput: TOO_LARGE.
    """
    identity = await asyncio.to_thread(digest_of_parts, Domain.BLOB, _parts_of(path))
    place, breaks, furthest, is_done = f"/v1/blob/{to_hex(identity)}", 0, 0, False
    while not is_done:
        try:
            sent = max(0, (await transport.get(f"{place}/here", BlobReply)).size_bytes)
            while part := await asyncio.to_thread(_read, path, sent):
                reply = await transport.put(f"{place}?offset={sent}", part, BlobReply)
                sent += len(part)
                if reply.size_bytes != sent:
                    raise Unavailable(Code.UNREACHABLE, "the node does not keep what it takes")
                # Sent again is nothing new: a file that changes would be sent for ever.
                if sent > furthest:
                    furthest, breaks = sent, 0
            await transport.post(f"{place}/complete", b"", BlobReply)
            is_done = True
        except AndonError as error:
            # Another node answered, or the parts there were spoiled: ask again where it stands.
            breaks += 1
            is_lasting = error.code not in (
                Code.BAD_ARGUMENTS, Code.NOT_FOUND, Code.DIGEST_MISMATCH, Code.UNREACHABLE
            )  # fmt: skip
            if is_lasting or breaks > BREAKS_MAX:
                raise
    return identity


async def fetch_file(transport: Transport, identity: bytes, path: Path) -> int:
    """Fetch a blob into a file, from where a former try ended; returns its size.

    Raises:
        Unavailable: UNREACHABLE, DIGEST_MISMATCH, TOO_LARGE. InvalidInput: NOT_FOUND.
    """
    # Named by the blob too: what was begun of another one is no beginning of this one.
    growing = path.with_name(f"{path.name}.{identity.hex()[:16]}.partial")
    size = await asyncio.to_thread(_begun, growing)
    place = f"/v1/blob/{to_hex(identity)}/bytes"
    while part := await transport.get_bytes(f"{place}?offset={size}", ANSWER_BYTES_MAX):
        await asyncio.to_thread(_append, growing, part)
        size += len(part)
        if size > FILE_BYTES_MAX:
            growing.unlink()
            raise Unavailable(
                Code.TOO_LARGE,
                f"the node sends more than {FILE_BYTES_MAX} bytes",
                hint="fetch it elsewhere",
            )
    found = await asyncio.to_thread(digest_of_parts, Domain.BLOB, _parts_of(growing))
    if found != identity:
        growing.unlink()
        raise Unavailable(
            Code.DIGEST_MISMATCH, "what came is another blob", hint="fetch it again, or elsewhere"
        )
    growing.replace(path)
    return size


def _begun(path: Path) -> int:
    path.touch()
    return path.stat().st_size


def _parts_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            yield part


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PART_BYTES)


def _append(path: Path, part: bytes) -> None:
    with path.open("ab") as file:
        file.write(part)
