"""Transactions by a name of the caller's: what was signed under it once is sent again, never anew.

A transaction's id covers its random nonce and its expiry, so a command that is run twice makes two
transactions, and the ledger cannot know that one was meant. Here the signed bytes are written to
disk before they are sent; whoever names the same order again gets the same bytes, and the same
bytes can be final but once. The book is a folder: it holds for whoever shares it, over crashes, and
knows nothing of orders that were named elsewhere. It forgets nothing by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path

from andon.client.durable import flush_name
from andon.core.errors import Code, InvalidInput
from andon.core.transaction import Transaction, parse_transaction

NAME_BYTES_MAX = 256
SENT_COUNT_MAX = 100_000
SENT_BYTES_MAX = 8 * 1024 * 1024
SUFFIX = ".tx"
_TAG = b"andon/sent\0"


class SentBook:
    """The signed transactions of one folder, by network, sender and name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, genesis: bytes, sender: bytes, name: str) -> Transaction | None:
        """What was signed under a name; None if nothing was.

        Raises:
            InvalidInput: BAD_ARGUMENTS for an empty or long name, MALFORMED for a damaged file.
        """
        path = self._path(genesis, sender, name)
        try:
            with path.open("rb") as file:
                raw = file.read(SENT_BYTES_MAX + 1)
        except FileNotFoundError:
            return None
        return parse_transaction(raw)

    def keep(self, genesis: bytes, sender: bytes, name: str, raw: bytes) -> Transaction:
        """Write signed bytes under a name, durably; gives what counts: the first to be written.

        Raises:
            InvalidInput: TOO_MANY if the book is full, BAD_ARGUMENTS for an empty or long name.
        """
        path = self._path(genesis, sender, name)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(1 for _ in self._folder.iterdir()) >= SENT_COUNT_MAX:
            raise InvalidInput(
                Code.TOO_MANY,
                f"{self._folder} holds {SENT_COUNT_MAX:,} transactions",
                hint="move away files whose names will not be used again",
            )
        part = self._folder / f".{secrets.token_hex(8)}"
        with part.open("xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole and never replaces: of two that name one order, one is first.
        with contextlib.suppress(FileExistsError):
            os.link(part, path)
        part.unlink()
        flush_name(path)
        kept = self.find(genesis, sender, name)
        assert kept is not None, "it was linked by us or by another"
        return kept

    def _path(self, genesis: bytes, sender: bytes, name: str) -> Path:
        encoded = name.encode()
        if not 0 < len(encoded) <= NAME_BYTES_MAX:
            raise InvalidInput(
                Code.BAD_ARGUMENTS, f"an idempotency key has 1 to {NAME_BYTES_MAX} bytes"
            )
        whole = hashlib.sha256(b"".join((_TAG, genesis, sender, encoded))).hexdigest()
        return self._folder / (whole + SUFFIX)
