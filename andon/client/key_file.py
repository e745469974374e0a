"""Private keys on disk: one small file a key, owner only, never overwritten, never logged.

A file may be **locked** with a passphrase: Argon2id (RFC 9106) makes a key of it, and XSalsa20 with
Poly1305 seals the seed. Nodes, gateways and people use the same form.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Union

import msgspec
from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from andon.client.durable import flush_name
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import PrivateKey

KEY_KIND = "andon-ed25519-1"
LOCKED_KIND = "andon-ed25519-locked-1"
KEY_FILE_BYTES_MAX = 4096
PASSPHRASE_BYTES_MAX = 1024
PASSPHRASE_VARIABLE = "ANDON_PASSPHRASE_FILE"  # noqa: S105 - a name
"""Environment variable that names the file with the passphrase of locked keys."""
OPERATIONS = pwhash.argon2id.OPSLIMIT_MODERATE
MEMORY_BYTES = pwhash.argon2id.MEMLIMIT_MODERATE
OPERATIONS_MAX = pwhash.argon2id.OPSLIMIT_SENSITIVE
MEMORY_BYTES_MAX = pwhash.argon2id.MEMLIMIT_SENSITIVE
_FORBIDDEN_BITS = stat.S_IRWXG | stat.S_IRWXO


class _Open(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=KEY_KIND, tag_field="kind"
):
    public: str
    seed: str


class _Locked(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=LOCKED_KIND, tag_field="kind"
):
    public: str
    salt: str
    operations: int
    memory_bytes: int
    sealed: str


_KeyFile = Union[_Open, _Locked]


def write_key(path: Path, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a new key file, 0600, in a folder of 0700; survives power loss.

    Raises:
        Misuse: BAD_KEY if the file exists already (a key is never overwritten).
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = _locked(key, passphrase) if passphrase is not None else _opened(key)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise Misuse(
            Code.BAD_KEY, f"{path} exists already", hint="move it away if you mean to replace it"
        ) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(document) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    flush_name(path)


def read_key(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read a key file that only its owner, who is us, may read.

    A locked file takes the passphrase from the argument, else from the file that
    ANDON_PASSPHRASE_FILE names. Costs a second and 256 MiB for a locked file.

    Raises:
        InvalidInput: BAD_KEY if it is missing, readable by others, damaged, or stays locked.
    """
    content = read_secret(path, KEY_FILE_BYTES_MAX)
    # No message carries the content: it is the secret.
    try:
        document: _KeyFile = msgspec.json.decode(content, type=_KeyFile)
        seed = (
            bytes.fromhex(document.seed)
            if isinstance(document, _Open)
            else _unlocked(path, document, passphrase)
        )
        key = PrivateKey(seed)
    except (msgspec.MsgspecError, ValueError):
        raise InvalidInput(Code.BAD_KEY, f"{path} is not a key file") from None
    if key.public.hex() != document.public:
        raise InvalidInput(Code.BAD_KEY, f"{path} is damaged: public and private part differ")
    return key


def passphrase_from(path: Path) -> bytes:
    """First line of a file that only its owner may read.

    Raises:
        InvalidInput: BAD_KEY if it cannot be read, is open to others, or is empty.
    """
    line = read_secret(path, PASSPHRASE_BYTES_MAX).split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise InvalidInput(Code.BAD_KEY, f"{path} holds no passphrase in its first line")
    return line


def passphrase_of_environment() -> bytes | None:
    """The passphrase that ANDON_PASSPHRASE_FILE leads to; None if it is not set."""
    name = os.environ.get(PASSPHRASE_VARIABLE)
    return passphrase_from(Path(name)) if name else None


def read_secret(path: Path, size_max: int) -> bytes:
    """Read a small file that belongs to us and is closed to all others.

    Raises:
        InvalidInput: BAD_KEY.
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
        return file.read(size_max)


def _opened(key: PrivateKey) -> _Open:
    return _Open(public=key.public.hex(), seed=key.seed.hex())


def _locked(key: PrivateKey, passphrase: bytes) -> _Locked:
    salt = secrets.token_bytes(pwhash.argon2id.SALTBYTES)
    box = _box(passphrase, salt, OPERATIONS, MEMORY_BYTES)
    return _Locked(
        public=key.public.hex(),
        salt=salt.hex(),
        operations=OPERATIONS,
        memory_bytes=MEMORY_BYTES,
        sealed=bytes(box.encrypt(key.seed)).hex(),
    )


def _unlocked(path: Path, document: _Locked, passphrase: bytes | None) -> bytes:
    found = passphrase if passphrase is not None else passphrase_of_environment()
    if found is None:
        raise InvalidInput(
            Code.BAD_KEY,
            f"{path} is locked with a passphrase",
            hint=f"put it into a file of mode 600 and name that in {PASSPHRASE_VARIABLE}",
        )
    # A file may not ask for more work or memory than we ever write.
    if document.operations > OPERATIONS_MAX or document.memory_bytes > MEMORY_BYTES_MAX:
        raise InvalidInput(Code.BAD_KEY, f"{path} asks for more work than any key file needs")
    box = _box(found, bytes.fromhex(document.salt), document.operations, document.memory_bytes)
    try:
        return box.decrypt(bytes.fromhex(document.sealed))
    except CryptoError:
        raise InvalidInput(Code.BAD_KEY, f"the passphrase does not open {path}") from None


def _box(passphrase: bytes, salt: bytes, operations: int, memory_bytes: int) -> SecretBox:
    try:
        return SecretBox(
            pwhash.argon2id.kdf(
                SecretBox.KEY_SIZE, passphrase, salt, opslimit=operations, memlimit=memory_bytes
            )
        )
    except CryptoError as error:
        raise InvalidInput(
            Code.BAD_KEY, f"the key file's parameters are out of range: {error}"
        ) from None
