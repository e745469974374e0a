"""The sweep of private payloads: what the chain orders is deleted, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from andon.core.codec import Value, encode_value
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from node import private
from node.facade import StateAnswer
from node.storage import BlobStore
from node.testing.memory_node import MemoryNode


class Moody(MemoryNode):
    """Fails to read its state once, then says that every payload is to be purged."""

    def __init__(self, error: AndonError) -> None:
        super().__init__()
        self.errors = [error]

    async def state(self, key: bytes) -> StateAnswer:
        if self.errors:
            raise self.errors.pop()
        entry: Value = {"status": "PURGING"}
        return StateAnswer(key=key, value=encode_value(entry), proof=None, final=None)


@pytest.mark.parametrize(
    "error", [Unavailable(Code.NOT_READY, "busy"), InvalidInput(Code.HEIGHT_UNKNOWN, "no block")]
)
async def test_a_state_that_cannot_be_read_now_does_not_end_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: AndonError
) -> None:
    monkeypatch.setattr(private, "SWEEP_S", 0.01)
    blobs = BlobStore(tmp_path)
    blobs.put(b"an envelope")
    payloads = private.PrivatePayloads(Moody(error), tmp_path, PrivateKey(bytes(32)))
    async with asyncio.timeout(10), payloads.run():
        while list(blobs.digests()):  # noqa: ASYNC110 - the sweep runs beside
            await asyncio.sleep(0.01)
