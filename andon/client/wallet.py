"""Keys of people and gateways by name: one owner-only file a key, in a folder of 0700.

The file form is the node's own, so that a key made here can be a node's.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from andon.client.key_file import read_key, write_key
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import SEED_BYTES, PrivateKey, PublicKey

KEY_SUFFIX = ".key"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wallet:
    """A folder of named keys."""

    path: Path

    def names(self) -> list[str]:
        """Names of all keys, sorted."""
        return sorted(file.name.removesuffix(KEY_SUFFIX) for file in self.path.glob("*.key"))

    def create(
        self, name: str, seed: bytes | None = None, passphrase: bytes | None = None
    ) -> PrivateKey:
        """Make a key of fresh randomness (or from `seed`, for tests) and store it.

        Raises:
            InvalidInput: BAD_KEY if the name is taken or not a name.
        """
        key = PrivateKey(seed if seed is not None else secrets.token_bytes(SEED_BYTES))
        self.store(name, key, passphrase)
        return key

    def store(self, name: str, key: PrivateKey, passphrase: bytes | None = None) -> None:
        """Write a key under a free name; an existing key is never overwritten.

        Raises:
            InvalidInput: BAD_KEY if the name is taken or not a name.
        """
        try:
            write_key(self._file(name), key, passphrase)
        except Misuse:
            raise InvalidInput(
                Code.BAD_KEY, f"there is a key {name!r} already", hint="choose another name"
            ) from None

    def load(self, name: str) -> PrivateKey:
        """Read a key.

        Raises:
            InvalidInput: BAD_KEY or NOT_FOUND.
        """
        path = self._file(name)
        if not path.exists():
            raise InvalidInput(
                Code.NOT_FOUND,
                f"there is no key {name!r} in {self.path}",
                hint="`andon keys list` shows what there is, `andon keys new NAME` makes one",
            )
        return load_key_file(path)

    def promote(self, fresh: str, name: str) -> str:
        """Make the key `fresh` the one called `name`; returns the name that the old one has now.

        The old key is kept, for it may still open what was sealed to it. Empty if there was none.
        """
        source, target, kept = self._file(fresh), self._file(name), ""
        if target.exists():
            kept = f"{name}.was-{bytes(self.public(name)).hex()[:8]}"
            target.rename(self._file(kept))
        source.rename(target)
        return kept

    def public(self, name: str) -> PublicKey:
        """Public key of a name."""
        return self.load(name).public

    def _file(self, name: str) -> Path:
        if _NAME.match(name) is None:
            raise InvalidInput(
                Code.BAD_KEY, f"{name!r} is not a key name", hint="use letters, digits, . _ -"
            )
        return self.path / (name + KEY_SUFFIX)


def load_key_file(path: Path) -> PrivateKey:
    """Read a key file wherever it is. Raises as `read_key`."""
    return read_key(path)
