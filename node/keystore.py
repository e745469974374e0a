"""The private keys of a node: names of their files, in the form of `andon.client.key_file`."""

from __future__ import annotations

from pathlib import Path

from andon.client.key_file import read_key, write_key
from andon.core.keys import PrivateKey

NODE_KEY = "node.key"
VALIDATOR_KEY = "validator.key"


def save_key(path: Path, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a new key file, locked if there is a passphrase. Raises as `write_key`."""
    write_key(path, key, passphrase)


def load_key(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read a key file. Raises as `read_key`."""
    return read_key(path, passphrase)


def key_exists(path: Path) -> bool:
    """Tell whether a key file stands there."""
    return path.is_file()
