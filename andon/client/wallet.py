"""Keys of people and gateways on disk: one owner-only file a key, in a folder of 0700.

The file form is the node's own (kind `andon-ed25519-1`), so that a key made here can be a node's.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec

from andon.core.errors import Code, InvalidInput
from andon.core.keys import SEED_BYTES, PrivateKey, PublicKey

KEY_KIND = "andon-ed25519-1"
KEY_SUFFIX = ".key"
KEY_FILE_BYTES_MAX = 4096
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}\Z", re.ASCII)


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    public: str
    seed: str


@dataclass(frozen=True, slots=True)
class Wallet:
    """A folder of named keys."""

    path: Path

    def names(self) -> list[str]:
        """Names of all keys, sorted."""
        return sorted(file.name.removesuffix(KEY_SUFFIX) for file in self.path.glob("*.key"))

    def create(self, name: str, seed: bytes | None = None) -> PrivateKey:
        """Make a key of fresh randomness (or from `seed`, for tests) and store it.

        Raises:
            InvalidInput: BAD_KEY if the name is taken or not a name.
        """
        key = PrivateKey(seed if seed is not None else secrets.token_bytes(SEED_BYTES))
        self.store(name, key)
        return key

    def store(self, name: str, key: PrivateKey) -> None:
        """Write a key under a free name; an existing key is never overwritten.

        Raises:
            InvalidInput: BAD_KEY if the name is taken or not a name.
        """
        path = self._file(name)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = msgspec.json.encode(_KeyFile(KEY_KIND, key.public.hex(), key.seed.hex()))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(path, flags, 0o600)
        except FileExistsError:
            raise InvalidInput(
                Code.BAD_KEY, f"there is a key {name!r} already", hint="choose another name"
            ) from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content + b"\n")
            file.flush()
            os.fsync(file.fileno())

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
    """Read a key file that only its owner, who is us, may read.

    Raises:
        InvalidInput: BAD_KEY if it is missing, readable by others, or damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidInput(Code.BAD_KEY, f"cannot open {path}: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        content = file.read(KEY_FILE_BYTES_MAX)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid != os.geteuid():
        raise InvalidInput(
            Code.BAD_KEY, f"{path} may be read by others or is not ours", hint=f"chmod 600 {path}"
        )
    # No message carries the content: it is the secret.
    try:
        document = msgspec.json.decode(content, type=_KeyFile)
        key = PrivateKey(bytes.fromhex(document.seed))
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput(Code.BAD_KEY, f"{path} is not a key file") from None
    if document.kind != KEY_KIND or key.public.hex() != document.public:
        raise InvalidInput(Code.BAD_KEY, f"{path} holds another kind of key or is damaged")
    return key
