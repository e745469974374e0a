"""What a transaction changed: executed again on a state that is wound back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from andon.core.codec import decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.state_key import state_key
from andon.core.transaction import make_call
from node.drivers.changes import ChangeReader
from node.drivers.contract_engine import ContractEngine
from node.storage import ChainStore, undo
from node.testing.lab import CertifiedChain

MAP_BYTES = 64 * 1024 * 1024


class Scene:
    def __init__(self, folder: Path) -> None:
        self.chain, self.store = CertifiedChain(), ChainStore(folder, MAP_BYTES)
        self.chain.open(self.store)
        self.reader = ChangeReader(self.store, ContractEngine())

    def note(self, *texts: str) -> list[bytes]:
        """One block that writes each text at the key `a`, a transaction each."""
        made = [
            self.chain.transaction(make_call("notes", "write", {"key": "a", "text": text}))
            for text in texts
        ]
        self.store.append([self.chain.extend(*made)])
        return [item.id for item in made]

    def texts(self, identity: bytes) -> tuple[object, object]:
        """What stood and stands at the key `a`."""
        key = state_key("notes", "notes", "a")
        ((_, before, after),) = [w for w in self.reader.changes(identity) if w[0] == key]
        assert after is not None
        return None if before is None else decode_value(before), decode_value(after)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "chain")
    yield made
    made.store.close()


def test_each_transaction_shows_what_it_found_and_what_it_left(scene: Scene) -> None:
    first, second = scene.note("one", "two")
    (third,) = scene.note("three")
    scene.note("four")
    assert scene.texts(first) == (None, "one")
    assert scene.texts(second) == ("one", "two")
    assert scene.texts(third) == ("two", "three")
    assert scene.texts(third) == ("two", "three")  # from memory


def test_a_transaction_that_failed_changed_nothing(scene: Scene) -> None:
    made = scene.chain.transaction(make_call("notes", "nothing", {}))
    scene.store.append([scene.chain.extend(made)])
    assert scene.reader.changes(made.id) == ()


def test_what_is_too_far_back_is_said_to_be(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "BLOCKS_MAX", 2)
    old = scene.note("one")[0]
    kept = scene.note("two")[0]
    scene.note("three")
    with pytest.raises(InvalidInput, match="no longer kept") as caught:
        scene.reader.changes(old)
    assert caught.value.code is Code.HEIGHT_UNKNOWN
    assert scene.texts(kept) == ("one", "two")


def test_changes_are_shown_after_a_restart(scene: Scene, tmp_path: Path) -> None:
    first, second = scene.note("one", "two")
    scene.store.close()
    scene.store = ChainStore(tmp_path / "chain", MAP_BYTES)
    scene.reader = ChangeReader(scene.store, ContractEngine())
    assert scene.texts(first) == (None, "one")
    assert scene.texts(second) == ("one", "two")


def test_replaced_values_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "BYTES_MAX", 4000)
    for number in range(10):
        scene.note(f"{number}" * 500)
    last = scene.note("end")[0]
    with scene.store.snapshot() as snapshot:
        kept = undo.kept_of(snapshot)
        entries = dict(snapshot.entries("undo"))
    assert kept.count == len(entries) < 11
    assert kept.size_bytes == sum(map(len, entries.values())) <= 4000
    assert scene.texts(last) == ("9" * 500, "end")


def test_a_stranger_is_not_found(scene: Scene) -> None:
    with pytest.raises(InvalidInput) as caught:
        scene.reader.changes(bytes(32))
    assert caught.value.code is Code.NOT_FOUND
