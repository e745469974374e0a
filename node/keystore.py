"""Private keys on disk: one small file a key, owner only, never overwritten, never logged."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec

from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import PrivateKey

NODE_KEY = "node.key"
VALIDATOR_KEY = "validator.key"
KEY_KIND = "andon-ed25519-1"
KEY_FILE_BYTES_MAX = 4096
_FORBIDDEN_BITS = stat.S_IRWXG | stat.S_IRWXO


class _KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    public: str
    seed: str


def save_key(path: Path, key: PrivateKey) -> None:
    """Write a new key file, 0600, in a folder of 0700; survives power loss.

    Raises:
        Misuse: BAD_KEY if the file exists already (a key is never overwritten).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = msgspec.json.encode(_KeyFile(KEY_KIND, key.public.hex(), key.seed.hex())) + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise Misuse(
            Code.BAD_KEY, f"{path} exists already", hint="move it away if you mean to replace it"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_key(path: Path) -> PrivateKey:
    """Read a key file that only its owner, who is us, may read.

    Raises:
        InvalidInput: BAD_KEY if it is missing, readable by others, or damaged.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidInput(
            Code.BAD_KEY, f"cannot open {path}: {error.strerror}", hint="see docs/operator.md, keys"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_mode & _FORBIDDEN_BITS or status.st_uid != os.geteuid():
            raise InvalidInput(
                Code.BAD_KEY,
                f"{path} may be read by others or is not ours",
                hint=f"chown it to this user and chmod 600 {path}",
            )
        content = file.read(KEY_FILE_BYTES_MAX)
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> PrivateKey:
    # No message carries the content: it is the secret.
    try:
        document = msgspec.json.decode(content, type=_KeyFile)
        key = PrivateKey(bytes.fromhex(document.seed))
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput(Code.BAD_KEY, f"{path} is not a key file") from None
    if document.kind != KEY_KIND or key.public.hex() != document.public:
        raise InvalidInput(Code.BAD_KEY, f"{path} holds another kind of key or is damaged")
    return key


def key_exists(path: Path) -> bool:
    """Tell whether a key file stands there."""
    return path.is_file()
