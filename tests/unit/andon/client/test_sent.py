"""Signed transactions by a name of the caller's."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from andon.client import sent
from andon.client.sent import SentBook
from andon.core.errors import Code, InvalidInput
from andon.core.keys import PrivateKey
from andon.core.transaction import TransactionBody, make_call, sign_transaction

KEY = PrivateKey(b"\x2a" * 32)
NETWORK = b"g" * 32


def made(nonce: int) -> bytes:
    body = TransactionBody(
        chain_id="c", sender=KEY.public, nonce=nonce.to_bytes(8, "big"), expires_height=9,
        gas_limit=1, calls=(make_call("a", "b", {}),),
    )  # fmt: skip
    return sign_transaction(body, KEY)


def test_the_first_bytes_under_a_name_count(tmp_path: Path) -> None:
    book = SentBook(tmp_path / "sent")
    assert book.find(NETWORK, KEY.public, "x") is None
    assert book.keep(NETWORK, KEY.public, "x", made(1)).raw == made(1)
    assert book.keep(NETWORK, KEY.public, "x", made(2)).raw == made(1)
    found = SentBook(tmp_path / "sent").find(NETWORK, KEY.public, "x")
    assert found is not None
    assert found.raw == made(1)
    assert len(list((tmp_path / "sent").iterdir())) == 1


def test_networks_senders_and_names_are_apart(tmp_path: Path) -> None:
    book = SentBook(tmp_path / "sent")
    book.keep(NETWORK, KEY.public, "x", made(1))
    for network, sender, name in (
        (b"h" * 32, KEY.public, "x"), (NETWORK, bytes(32), "x"), (NETWORK, KEY.public, "y")
    ):  # fmt: skip
        assert book.find(network, sender, name) is None


def _race(folder: Path, nonce: int) -> bytes:
    return bytes(SentBook(folder).keep(NETWORK, KEY.public, "x", made(nonce)).id)


def test_of_processes_that_name_one_order_one_is_first(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        found = pool.starmap(_race, [(tmp_path / "sent", nonce) for nonce in range(16)])
    assert len(set(found)) == 1


def test_a_book_is_bounded_and_names_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "SENT_COUNT_MAX", 2)
    book = SentBook(tmp_path / "sent")
    book.keep(NETWORK, KEY.public, "x", made(1))
    book.keep(NETWORK, KEY.public, "y", made(2))
    with pytest.raises(InvalidInput) as caught:
        book.keep(NETWORK, KEY.public, "z", made(3))
    assert caught.value.code is Code.TOO_MANY
    for name in ("", "n" * 257):
        with pytest.raises(InvalidInput) as caught:
            book.find(NETWORK, KEY.public, name)
        assert caught.value.code is Code.BAD_ARGUMENTS


def test_a_damaged_file_is_said_to_be(tmp_path: Path) -> None:
    book = SentBook(tmp_path / "sent")
    book.keep(NETWORK, KEY.public, "x", made(1))
    (path,) = (tmp_path / "sent").iterdir()
    path.write_bytes(b"\x00")
    with pytest.raises(InvalidInput) as caught:
        book.find(NETWORK, KEY.public, "x")
    assert caught.value.code is Code.MALFORMED
