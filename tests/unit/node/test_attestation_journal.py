"""What a validator committed to survives a restart."""

from __future__ import annotations

from pathlib import Path

from node.attestation_journal import AttestationJournal
from node.storage.values import seal


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
        for stored in (content, seal(b"5", content)):
            (tmp_path / "5.commit").write_bytes(stored)
            assert journal.load(5) is None


def test_no_flipped_bit_and_no_other_requests_file_gives_another_output(tmp_path: Path) -> None:
    journal = AttestationJournal(tmp_path)
    journal.save(5, b"s" * 32, (7, 8))
    journal.save(6, b"t" * 32, (7, 9))
    good = (tmp_path / "5.commit").read_bytes()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        (tmp_path / "5.commit").write_bytes(bad)
        assert journal.load(5) is None
    (tmp_path / "5.commit").write_bytes((tmp_path / "6.commit").read_bytes())
    assert journal.load(5) is None
    assert journal.load(6) == (b"t" * 32, (7, 9))
