"""What every verb shares: options, output, exit codes, endpoints, keys, arguments."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from andon.core.codec import Value
from andon.core.errors import AndonError, Code, Fault, InvalidInput
from andon.core.json_value import (
    Json,
    dec_from_text,
    dec_to_text,
    from_hex,
    to_hex,
    value_from_json,
    value_to_json,
)

if TYPE_CHECKING:
    from andon.cli.network import LocalNetwork
    from andon.client.async_client import AsyncClient
    from andon.client.sync import Client
    from andon.core.genesis import Genesis
    from andon.core.keys import PrivateKey

EXIT_ERROR = 1
EXIT_NOT_FINAL = 3
EXIT_REFUSED = 4
EXIT_FAILED = 5
EXIT_UNREACHABLE = 6
EXIT_NOT_READY = 7
EXIT_ASSERTION = 8
ARGUMENT_BYTES_MAX = 1024 * 1024
DEFAULT_NODE = "http://127.0.0.1:26657"

_EXITS = {
    Code.CONFIRMATION_TIMEOUT: EXIT_NOT_FINAL,
    Code.CONTRACT_FAILED: EXIT_FAILED,
    Code.UNREACHABLE: EXIT_UNREACHABLE,
    Code.NOT_READY: EXIT_NOT_READY,
    Code.SYNCING: EXIT_NOT_READY,
}
_REFUSALS = (
    Code.BAD_SIGNATURE,
    Code.NOT_A_MEMBER,
    Code.ROLE_DENIED,
    Code.WRONG_CHAIN,
    Code.DUPLICATE,
    Code.EXPIRED,
    Code.EXPIRES_TOO_LATE,
    Code.MEMPOOL_FULL,
    Code.SENDER_QUOTA,
    Code.GAS_LIMIT,
    Code.RATE_LIMITED,
)
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]{1,18}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Context:
    """Global options and what follows from them."""

    home: Path
    nodes: tuple[str, ...]
    as_json: bool
    quiet: bool
    timeout_ms: int

    def network(self) -> LocalNetwork:
        """The local network in `home`."""
        from andon.cli.network import load_network

        return load_network(self.home)

    def endpoints(self) -> list[str]:
        """URLs to ask: --node, else the local network's nodes, else the default port."""
        if self.nodes:
            return list(self.nodes)
        try:
            return [node.rpc for node in self.network().manifest.nodes]
        except InvalidInput:
            return [DEFAULT_NODE]

    def genesis(self) -> Genesis | None:
        """The local network's genesis, None to take the node's word for it."""
        if self.nodes:
            return None
        from andon.cli.network import GENESIS_FILE
        from andon.core.genesis import genesis_from_json

        try:
            return genesis_from_json((self.home / GENESIS_FILE).read_bytes())
        except OSError:
            return None

    def client(self, key: PrivateKey | None = None) -> Client:
        """A blocking client for the endpoints."""
        from andon.client.sync import Client

        return Client(self.endpoints(), genesis=self.genesis(), key=key, timeout_ms=self.timeout_ms)

    def async_client(self, key: PrivateKey | None = None) -> AsyncClient:
        """An asynchronous client for the endpoints."""
        from andon.client.async_client import AsyncClient

        return AsyncClient(
            self.endpoints(), genesis=self.genesis(), key=key, timeout_ms=self.timeout_ms
        )

    def account(self, name: str) -> bytes:
        """The account of a key (as `key` finds it), or a 0x public key itself.

        Raises:
            InvalidInput: NOT_FOUND or BAD_KEY.
        """
        value = parse_value(name)
        return value if isinstance(value, bytes) else bytes(self.key(name).public)

    def key(self, name: str) -> PrivateKey:
        """Find a key: a file, a name in the wallet, an account of the local network, or a role.

        Raises:
            InvalidInput: NOT_FOUND or BAD_KEY.
        """
        from andon.client.wallet import KEY_SUFFIX, Wallet, load_key_file

        path = Path(name)
        if path.suffix == KEY_SUFFIX and path.exists():
            return load_key_file(path)
        wallet = Wallet(self.home / "keys")
        if name in wallet.names():
            return wallet.load(name)
        network = self.network()
        account = network.account(name)
        # A rotated key stands in the wallet under the account's name; the file is the old one.
        if account.name in wallet.names():
            return wallet.load(account.name)
        return load_key_file(network.home / account.key_file)

    def show(self, document: Json, text: str | None = None) -> None:
        """Print data: JSON when asked for, else the text (or JSON with indent)."""
        if self.as_json:
            print(json.dumps(document, separators=(",", ":")), flush=True)
        else:
            print(json.dumps(document, indent=2) if text is None else text, flush=True)

    def note(self, text: str) -> None:
        """Print a diagnostic to stderr."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def exit_code(error: AndonError) -> int:
    """Exit code of an error."""
    if error.code in _REFUSALS:
        return EXIT_REFUSED
    return _EXITS.get(error.code, EXIT_ERROR)


def print_error(error: AndonError, *, as_json: bool) -> None:
    """Say what went wrong and what to do, on stderr; as JSON on stdout too if asked for."""
    if as_json:
        document = {
            "error": {
                "code": error.code.value,
                "name": error.code.name,
                "message": error.message,
                "hint": error.hint,
                **{key: str(value) for key, value in error.fields.items()},
            }
        }
        print(json.dumps(document, separators=(",", ":")), flush=True)
    whose = {Fault.ENVIRONMENT: "unavailable", Fault.DISK: "damaged"}.get(error.fault, "error")
    print(f"{whose}: {error.message} [{error.code.name} {error.code.value}]", file=sys.stderr)
    if error.hint:
        print(f"  hint: {error.hint}", file=sys.stderr)
    if "hash" in error.fields and error.code is Code.CONFIRMATION_TIMEOUT:
        print(f"  go on with: andon tx wait {error.fields['hash']}", file=sys.stderr)


def end(code: int) -> NoReturn:
    """Leave with an exit code that is no error message."""
    import click

    raise click.exceptions.Exit(code)


def parse_arguments(pairs: Iterable[str]) -> dict[str, Value]:
    """Read `name=value` pairs.

    A value is 0x hex (bytes), @file (its bytes), a decimal with a point, JSON (numbers, true,
    null, lists, maps, "quoted text"), and text otherwise.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    arguments: dict[str, Value] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(
                Code.BAD_ARGUMENTS, f"{pair!r} is not name=value", hint="machine=press-7 limit=30"
            )
        if name in arguments:
            raise InvalidInput(Code.BAD_ARGUMENTS, f"argument {name!r} is given twice")
        arguments[name] = parse_value(text)
    return arguments


def parse_value(text: str) -> Value:
    """Read one value as `parse_arguments` says.

    Raises:
        InvalidInput: BAD_ARGUMENTS for a file that cannot be read.
    """
    if text.startswith("@"):
        try:
            data = Path(text[1:]).read_bytes()
        except OSError as error:
            raise InvalidInput(Code.BAD_ARGUMENTS, f"{text[1:]}: {error.strerror}") from None
        if len(data) > ARGUMENT_BYTES_MAX:
            raise InvalidInput(Code.TOO_LARGE, f"{text[1:]} exceeds {ARGUMENT_BYTES_MAX} bytes")
        return data
    if re.fullmatch(r"0x([0-9a-fA-F]{2})*", text):
        return from_hex(text)
    if _DECIMAL.match(text):
        return dec_from_text(text)
    try:
        return value_from_json(json.loads(text))
    except (ValueError, RecursionError):
        return text


def shown(value: Value) -> str:
    """Write a value for people: text plain, decimals and bytes without tags."""
    from andon.core.codec import Dec

    if isinstance(value, str):
        return value
    if isinstance(value, Dec):
        return dec_to_text(value)
    if isinstance(value, bytes):
        return to_hex(value)
    return json.dumps(value_to_json(value))


def need_extra(extra: str, *modules: str) -> None:
    """Say which extra is missing instead of showing an import error."""
    import importlib.util

    for name in modules:
        try:
            is_there = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            raise InvalidInput(
                Code.BAD_CONFIG, f"{name} is not installed", hint=f"pip install 'andon[{extra}]'"
            )
