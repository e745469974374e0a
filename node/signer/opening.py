"""The signer that a home's configuration names: a key file, a hardware module, or a process."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from andon.client.key_file import passphrase_from
from andon.core.errors import Code, InvalidInput
from andon.core.keys import SigningKey
from node.config import Config, Home
from node.keystore import VALIDATOR_KEY, key_exists, load_key
from node.signer.client import SocketSigner
from node.signer.file import SignStateFile
from node.signer.file_signer import FileSigner
from node.signer.ports import ValidatorSigner

FILE, MODULE, PROCESS = "file", "pkcs11", "socket"


def open_signer(
    home: Home, config: Config, chain_id: str, stack: ExitStack, *, may_create: bool
) -> ValidatorSigner | None:
    """Open what signs for this node; None for an observer, which has no validator key.

    Raises:
        InvalidInput: BAD_KEY, BAD_CONFIG. Unavailable: SIGNER_DOWN, LOCKED. Corrupt: damaged.
    """
    if config.signer == PROCESS:
        remote = SocketSigner(chain_id, Path(config.signer_socket))
        stack.callback(remote.close)
        return remote
    return open_file_signer(home, config, chain_id, stack, may_create=may_create)


def open_file_signer(
    home: Home, config: Config, chain_id: str, stack: ExitStack, *, may_create: bool
) -> FileSigner | None:
    """Open a signer of this process, with the sign state of the home. Raises as `open_signer`."""
    key = _open_key(home, config, stack)
    if key is None:
        return None
    # A fresh sign state is right only where nothing can have been signed yet.
    state = SignStateFile(home.sign_state, may_create=may_create)
    stack.callback(state.close)
    return FileSigner(chain_id, key, state)


def _open_key(home: Home, config: Config, stack: ExitStack) -> SigningKey | None:
    if config.signer == MODULE:
        try:
            from node.signer.pkcs11 import Pkcs11Key  # noqa: PLC0415 - an extra of the package
        except ImportError:
            raise InvalidInput(
                Code.BAD_CONFIG,
                "signer = 'pkcs11' needs the package python-pkcs11",
                hint="pip install python-pkcs11",
            ) from None
        pin = passphrase_from(Path(config.pkcs11_pin_file)).decode("utf-8", "replace")
        module = Path(config.pkcs11_module)
        return stack.enter_context(Pkcs11Key(module, config.pkcs11_token, config.pkcs11_label, pin))
    path = home.keys / VALIDATOR_KEY
    return load_key(path) if key_exists(path) else None
