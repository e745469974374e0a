"""The fuzz targets in small: seeds, kept corpora, and changed seeds bring typed errors only."""

from __future__ import annotations

import random

import pytest

from node.testing.fuzz import TARGETS, run
from scripts.fuzz import CORPUS, seeds

CHANGES = 150


def corpus(name: str) -> list[bytes]:
    folder = CORPUS / name
    return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def changed(draw: random.Random, data: bytes) -> bytes:
    out = bytearray(data or b"\x00")
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(out))
        match draw.randrange(4):
            case 0:
                out[place] = draw.randrange(256)
            case 1:
                del out[place:]
                out += b"\x93"
            case 2:
                out[place:place] = draw.randbytes(draw.randint(1, 9))
            case _:
                out[place] ^= 1 << draw.randrange(8)
    return bytes(out)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_bytes_bring_anything_but_a_typed_error(name: str) -> None:
    draw = random.Random(name)
    known = [*seeds(name), *corpus(name), b"", b"\x00", b"{}", b"\xc1", b"[" * 200]
    for data in known:
        run(TARGETS[name], data)
    for _ in range(CHANGES):
        run(TARGETS[name], changed(draw, draw.choice(known)))


@pytest.mark.parametrize("name", ["block", "frame", "transaction", "value", "contract", "config"])
def test_seeds_of_a_target_are_accepted(name: str) -> None:
    found = seeds(name)
    assert found
    assert all(run(TARGETS[name], seed) for seed in found)
