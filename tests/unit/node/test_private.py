"""Private payloads on a node: purged as the chain orders, copied between keepers, not beyond."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from andon.core.codec import Value, encode_value
from andon.core.errors import AndonError, Code, Corrupt, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey
from andon.core.pieces import PIECE_BYTES
from andon.core.state_key import state_key
from node import private
from node.envelopes import COPIES_PER_LOOK_MAX, Copies, Envelopes
from node.storage import BlobStore
from node.testing.memory_node import MemoryNode


class Ledger:
    """A state of payload entries."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def store(self, envelope: bytes, keepers: list[Value], status: str = "STORED") -> bytes:
        identity = digest(Domain.BLOB, envelope)
        entry: Value = {"status": status, "keepers": keepers, "size": len(envelope)}
        self.rows[state_key("private", "payloads", identity)] = encode_value(entry)
        return identity

    async def value(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        rows = sorted(item for item in self.rows.items() if item[0].startswith(prefix))
        return [item for item in rows if after is None or item[0] > after][:count_max]


class OtherKeepers:
    """Keepers reached without a network: they answer as their shelves would."""

    def __init__(self, asker: bytes, **kept: Envelopes) -> None:
        self.asker = asker
        self.kept = {name.encode(): item for name, item in kept.items()}
        self.asked: list[bytes] = []

    async def private_part(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        self.asked.append(digest)
        found = await self.kept[node_key].chunk(self.asker, digest, offset, PIECE_BYTES)
        if found is None:
            raise Unavailable(Code.UNREACHABLE, "HTTP 404")
        return found


class Moody(Ledger):
    """Fails to read its state once, then says that every payload is to be purged."""

    def __init__(self, error: AndonError) -> None:
        super().__init__()
        self.errors = [error]

    async def value(self, key: bytes) -> bytes | None:
        if self.errors:
            raise self.errors.pop()
        return encode_value({"status": "PURGING"})


@pytest.mark.parametrize(
    "error", [Unavailable(Code.NOT_READY, "busy"), InvalidInput(Code.HEIGHT_UNKNOWN, "no block")]
)
async def test_a_state_that_cannot_be_read_now_does_not_end_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: AndonError
) -> None:
    monkeypatch.setattr(private, "SWEEP_S", 0.01)
    blobs = BlobStore(tmp_path)
    blobs.put(b"an envelope")
    payloads = private.PrivatePayloads(
        MemoryNode(), Envelopes(tmp_path, b"", Moody(error)), PrivateKey(bytes(32))
    )
    async with asyncio.timeout(10), payloads.run():
        while list(blobs.digests()):  # noqa: ASYNC110 - the sweep runs beside
            await asyncio.sleep(0.01)


async def test_each_look_is_bounded_and_every_envelope_has_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    monkeypatch.setattr(private, "SWEEP_COUNT_MAX", 3)
    envelopes = Envelopes(tmp_path, b"one", ledger)
    texts = [b"envelope %d" % number for number in range(7)]
    for text in texts:
        ledger.store(text, [b"one"])
        envelopes.store.put(text)
    payloads = private.PrivatePayloads(MemoryNode(), envelopes, PrivateKey(bytes(32)))
    assert await payloads.sweep() == 0
    for text in texts:
        ledger.store(text, [b"one"], "PURGING")
    found = [await payloads.sweep() for _ in range(5)]
    assert max(found) == 3
    assert sum(found) == len(texts)
    assert list(envelopes.store.digests()) == []


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


async def test_a_keeper_without_the_envelope_copies_it_from_another_keeper(
    tmp_path: Path, ledger: Ledger
) -> None:
    envelope = bytes(range(250)) * 10
    identity = ledger.store(envelope, [b"one", b"two"])
    one, two = (Envelopes(tmp_path / name, name.encode(), ledger) for name in ("one", "two"))
    copies = Copies(two, OtherKeepers(b"two", one=one, liar=one), lambda: [b"liar", b"one"])
    assert await copies.look() == 0
    assert await one.keep(identity, envelope)
    assert await copies.look() == 1
    assert await two.find(identity) == envelope
    assert await copies.look() == 0


async def test_an_envelope_that_rotted_comes_back_from_another_keeper(
    tmp_path: Path, ledger: Ledger
) -> None:
    identity = ledger.store(b"sealed", [b"one", b"two"])
    one, two = (Envelopes(tmp_path / name, name.encode(), ledger) for name in ("one", "two"))
    assert await one.keep(identity, b"sealed")
    assert await two.keep(identity, b"sealed")
    two.store._path(identity).write_bytes(b"rotted")
    with pytest.raises(Corrupt):
        await two.find(identity)
    with pytest.raises(Unavailable):
        await Copies(two, OtherKeepers(b"two"), list).mend(identity)
    copies = Copies(two, OtherKeepers(b"two", one=one), lambda: [b"one"])
    await copies.mend(identity)
    assert await two.find(identity) == b"sealed"
    ledger.store(b"sealed", [b"one", b"two"], "PURGING")
    await copies.mend(identity)
    assert list(two.store.digests()) == []


async def test_an_envelope_that_is_purged_while_it_is_mended_does_not_come_back(
    tmp_path: Path, ledger: Ledger
) -> None:
    identity = ledger.store(b"sealed", [b"one", b"two"])
    two = Envelopes(tmp_path / "two", b"two", ledger)

    class Purging:
        async def private_part(
            self, node_key: bytes, digest: bytes, offset: int
        ) -> tuple[int, bytes]:
            ledger.store(b"sealed", [b"one", b"two"], "PURGING")
            await two.remove(identity)
            return 6, b"sealed"

    await Copies(two, Purging(), lambda: [b"one"]).mend(identity)
    assert list(two.store.digests()) == []


async def test_an_envelope_goes_to_keepers_alone(tmp_path: Path, ledger: Ledger) -> None:
    identity = ledger.store(b"sealed", [b"one"])
    one = Envelopes(tmp_path / "one", b"one", ledger)
    assert await one.keep(identity, b"sealed")
    assert await one.chunk(b"three", identity, 0, 100) is None
    assert await one.chunk(b"", identity, 0, 100) is None
    stranger = Envelopes(tmp_path / "three", b"three", ledger)
    others = OtherKeepers(b"three", one=one)
    assert await Copies(stranger, others, lambda: [b"one"]).look() == 0
    assert others.asked == []
    assert not await stranger.keep(identity, b"sealed")


async def test_what_is_to_be_purged_is_neither_kept_nor_given(
    tmp_path: Path, ledger: Ledger
) -> None:
    identity = ledger.store(b"sealed", [b"one", b"two"])
    one, two = (Envelopes(tmp_path / name, name.encode(), ledger) for name in ("one", "two"))
    assert await one.keep(identity, b"sealed")
    ledger.store(b"sealed", [b"one", b"two"], "PURGING")
    assert await one.find(identity) is None
    assert await one.chunk(b"two", identity, 0, 100) is None
    assert not await two.keep(identity, b"sealed")


async def test_a_copy_is_bound_by_the_size_on_chain_and_proved_by_its_digest(
    tmp_path: Path, ledger: Ledger
) -> None:
    identity = ledger.store(b"sealed", [b"one", b"two"])
    two = Envelopes(tmp_path / "two", b"two", ledger)

    class Liar:
        def __init__(self, answer: bytes) -> None:
            self.answer = answer

        async def private_part(
            self, node_key: bytes, digest: bytes, offset: int
        ) -> tuple[int, bytes]:
            return len(self.answer), self.answer[offset:]

    for answer in (b"forged", b"much longer", b""):
        assert await Copies(two, Liar(answer), lambda: [b"one"]).look() == 0
        assert await two.find(identity) is None


async def test_copies_that_nobody_gives_do_not_keep_the_others_waiting(
    tmp_path: Path, ledger: Ledger
) -> None:
    one, two = (Envelopes(tmp_path / name, name.encode(), ledger) for name in ("one", "two"))
    envelopes = [bytes([number]) for number in range(COPIES_PER_LOOK_MAX * 2)]
    identities = sorted(ledger.store(item, [b"one", b"two"]) for item in envelopes)
    last = next(item for item in envelopes if digest(Domain.BLOB, item) == identities[-1])
    assert await one.keep(identities[-1], last)
    others = OtherKeepers(b"two", one=one)
    copies = Copies(two, others, lambda: [b"one"])
    assert [await copies.look(), await copies.look()] == [0, 1]
    assert await two.find(identities[-1]) == last
