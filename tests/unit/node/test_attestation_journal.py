"""What a validator committed to survives a restart."""

from __future__ import annotations

from pathlib import Path

from node.attestation_journal import AttestationJournal


def test_what_was_saved_is_loaded_by_another_process(tmp_path: Path) -> None:
    AttestationJournal(tmp_path / "j").save(7, b"s" * 32, (1, -(2**61)))
    journal = AttestationJournal(tmp_path / "j")
    assert journal.load(7) == (b"s" * 32, (1, -(2**61)))
    assert journal.load(8) is None


def test_decided_requests_are_forgotten(tmp_path: Path) -> None:
    journal = AttestationJournal(tmp_path)
    for number in (1, 2, 3):
        journal.save(number, b"s" * 32, (number,))
    journal.keep_only({2})
    assert [journal.load(number) is not None for number in (1, 2, 3)] == [False, True, False]
    AttestationJournal(tmp_path / "nothing").keep_only(set())


def test_a_damaged_entry_counts_as_none(tmp_path: Path) -> None:
    journal = AttestationJournal(tmp_path)
    for content in (b"", b"\xc1", b"\x92\x01\x02", b"\x92\xc4\x01s\x91\xa1x"):
        (tmp_path / "5.commit").write_bytes(content)
        assert journal.load(5) is None
