"""The sign state file: torn writes, missing files, two processes, a full disk's slot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from andon.core.certificate import Validator, Vote, VoteKind, check_signed_vote, make_validator_set
from andon.core.errors import Corrupt, InvalidInput, Unavailable
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from node.signer import ENTRIES_MAX, FileSigner, SignState, SignStateFile, SlotRecord
from node.signer.file import FILE_BYTES, SLOT_BYTES

KEY = PrivateKey(b"k" * 32)


def state(slot: int) -> SignState:
    return SignState(epoch=0, floor=slot, entries=())


def test_the_last_state_is_read_again(tmp_path: Path) -> None:
    with SignStateFile(tmp_path / "s", may_create=True) as file:
        for slot in range(1, 6):
            file.write(state(slot))
    with SignStateFile(tmp_path / "s", may_create=False) as file:
        assert file.state == state(5)


def test_a_torn_write_leaves_the_state_before(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with SignStateFile(path, may_create=True) as file:
        file.write(state(1))
        file.write(state(2))
    content = bytearray(path.read_bytes())
    for at in (0, 2 * SLOT_BYTES):  # the copies of slot 0, where sequence 2 lies
        content[at + 5 : at + SLOT_BYTES // 2] = bytes(SLOT_BYTES // 2 - 5)
    path.write_bytes(content)
    with SignStateFile(path, may_create=False) as file:
        assert file.state == state(1)
        file.write(state(3))
    with SignStateFile(path, may_create=False) as file:
        assert file.state == state(3)


def test_every_flipped_bit_of_both_slots_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with SignStateFile(path, may_create=True) as file:
        file.write(state(1))
        file.write(state(2))
    good = path.read_bytes()
    for offset in range(36):  # head and payload
        bad = bytearray(good)
        for slot in range(0, FILE_BYTES, SLOT_BYTES):
            bad[slot + offset] ^= 1
        path.write_bytes(bad)
        with pytest.raises(Corrupt):
            SignStateFile(path, may_create=False)


@pytest.mark.parametrize("copy", [0, 1])
def test_rot_in_the_newest_slot_does_not_bring_the_state_before_back(
    tmp_path: Path, copy: int
) -> None:
    path, block = tmp_path / "s", b"a" * 32
    with SignStateFile(path, may_create=True) as file:
        signer = FileSigner("chain", KEY, file)
        signer.sign(Vote(VoteKind.NOTAR, 0, 1, block), 0)
        signer.sign(Vote(VoteKind.FINAL, 0, 1, block), 0)  # sequence 2, in slot 0
    good = path.read_bytes()
    content = bytearray(good)
    content[2 * SLOT_BYTES * copy + 20] ^= 4
    path.write_bytes(content)
    skip = Vote(VoteKind.SKIP, 0, 1, ZERO_DIGEST)
    with (
        SignStateFile(path, may_create=False) as file,
        pytest.raises(InvalidInput, match="Final was signed"),
    ):
        FileSigner("chain", KEY, file).sign(skip, 0)
    assert path.read_bytes() == good, "the spoiled copy is mended"


@pytest.mark.parametrize("copy", [0, 1])
def test_the_sound_copy_is_not_written_while_the_other_is_mended(
    tmp_path: Path, copy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    with SignStateFile(path, may_create=True) as file:
        file.write(state(1))
        file.write(state(2))
    content = bytearray(path.read_bytes())
    spoiled = 2 * SLOT_BYTES * copy
    content[spoiled + 20] ^= 4
    path.write_bytes(content)
    written: list[int] = []
    pwrite = os.pwrite

    def noted(descriptor: int, data: bytes, offset: int) -> int:
        written.append(offset)
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", noted)
    SignStateFile(path, may_create=False).close()
    assert written == [spoiled]
    SignStateFile(path, may_create=False).close()
    assert written == [spoiled]


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with SignStateFile(path, may_create=True) as file:
        file.write(state(1))
    whole = path.read_bytes()
    for size in (0, 1, SLOT_BYTES, 2 * SLOT_BYTES, FILE_BYTES - 1, FILE_BYTES + 1):
        path.write_bytes(whole[:size].ljust(size, b"\0"))
        with pytest.raises(Corrupt, match="bytes, not"):
            SignStateFile(path, may_create=False)
    path.write_bytes(whole)
    SignStateFile(path, may_create=False).close()


def test_a_missing_file_is_refused_on_a_chain_with_blocks(tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="missing"):
        SignStateFile(tmp_path / "s", may_create=False)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with SignStateFile(path, may_create=True), pytest.raises(Unavailable, match="in use"):
        SignStateFile(path, may_create=False)
    SignStateFile(tmp_path / "s", may_create=False).close()


def test_a_full_record_fits_into_a_slot(tmp_path: Path) -> None:
    block = b"\xff" * 32
    entries = tuple(
        SlotRecord(slot=2**63 - ENTRIES_MAX + n, propose=block, notar=block, final=block, skip=True)
        for n in range(ENTRIES_MAX)
    )
    full = SignState(epoch=2**62, floor=2**62, entries=entries)
    with SignStateFile(tmp_path / "s", may_create=True) as file:
        file.write(full)
    with SignStateFile(tmp_path / "s", may_create=False) as file:
        assert file.state == full


def test_the_signer_refuses_after_a_restart_what_it_refused_before(tmp_path: Path) -> None:
    validators = make_validator_set((Validator(KEY.public, 1),))
    final = Vote(VoteKind.FINAL, 0, 3, b"a" * 32)
    with SignStateFile(tmp_path / "s", may_create=True) as file:
        signed = FileSigner("chain", KEY, file).sign(final, 0)
        check_signed_vote("chain", validators, signed)
    with SignStateFile(tmp_path / "s", may_create=False) as file:
        signer = FileSigner("chain", KEY, file)
        assert signer.votes() == (final,)
        with pytest.raises(InvalidInput, match="Final was signed"):
            signer.sign(Vote(VoteKind.SKIP, 0, 3, ZERO_DIGEST), 0)
        signer.check_not_older(0, 3)
        with pytest.raises(Corrupt, match="ends at"):
            signer.check_not_older(0, 4)
        signer.advance(0, 9)
        signer.check_not_older(0, 9)


@pytest.mark.parametrize("dies_at", ["pwrite", "fsync"])
def test_a_crash_during_the_first_start_does_not_lock_the_validator_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    def die(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"node.signer.file.os.{dies_at}", die)
        with pytest.raises(KeyboardInterrupt):
            SignStateFile(tmp_path / "s", may_create=True)
    with SignStateFile(tmp_path / "s", may_create=True) as file:
        file.write(state(1))
