"""Blobs of a known size from peers: one that lies must not keep the blob from us."""

from __future__ import annotations

import pytest

from andon.core.errors import Code, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.pieces import PIECE_BYTES
from node.drivers.blob_fetch import fetch_blob

SOUND = bytes(PIECE_BYTES) + b"the rest"
IDENTITY = digest(Domain.BLOB, SOUND)


class Peers:
    """A liar that stops after its first piece, a liar to the end, one that has the blob."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, int]] = []

    async def blob_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        assert digest == IDENTITY
        self.asked.append((node_key, offset))
        piece = SOUND[offset : offset + PIECE_BYTES]
        if node_key == b"sound":
            return len(SOUND), piece
        if node_key == b"lies, then stops" and offset:
            raise Unavailable(Code.UNREACHABLE, "gone")
        return len(SOUND), b"\1" * len(piece)


@pytest.mark.parametrize("liar", [b"lies", b"lies, then stops"])
async def test_a_liar_before_the_only_one_that_has_the_blob_does_not_keep_it_from_us(
    liar: bytes,
) -> None:
    source = Peers()
    assert await fetch_blob(source, [liar, b"sound"], IDENTITY, len(SOUND)) == SOUND
    assert len(source.asked) <= 5


async def test_liars_alone_give_nothing_and_are_left() -> None:
    source = Peers()
    with pytest.raises(Unavailable) as caught:
        await fetch_blob(source, [b"lies, then stops", b"lies"], IDENTITY, len(SOUND))
    assert caught.value.code is Code.UNREACHABLE
    assert len(source.asked) <= 5
