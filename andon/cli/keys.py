"""Verbs for keys: new, list, show, import. Private bytes never reach a terminal."""

from __future__ import annotations

from pathlib import Path

import click

from andon.cli.context import Context
from andon.client.key_file import passphrase_from
from andon.client.wallet import Wallet, load_key_file
from andon.core.errors import InvalidInput
from andon.core.json_value import Json, to_hex


@click.group("keys")
def keys_command() -> None:
    """Make, list, show and import keys."""


_passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="lock the key file with the first line of this file (mode 600)",
)


@keys_command.command("new")
@click.argument("name")
@_passphrase_option
@click.pass_obj
def new(context: Context, *, name: str, passphrase_file: Path | None) -> None:
    """Make a key NAME in the wallet; prints its public key, which is its account."""
    key = _wallet(context).create(name, passphrase=_passphrase(passphrase_file))
    context.show({"name": name, "public": to_hex(key.public)}, f"{name}  {to_hex(key.public)}")


@keys_command.command("list")
@click.pass_obj
def list_keys(context: Context) -> None:
    """List wallet keys and the accounts of the local network."""
    wallet = _wallet(context)
    rows: list[Json] = [
        {"name": name, "public": to_hex(wallet.public(name)), "organisation": "", "roles": []}
        for name in wallet.names()
    ]
    try:
        for account in context.network().manifest.accounts:
            roles: list[Json] = list(account.roles)
            rows.append(
                {
                    "name": account.name,
                    "public": "0x" + account.public,
                    "organisation": account.organisation,
                    "roles": roles,
                }
            )
    except InvalidInput:
        pass  # a wallet without a local network is fine
    lines = [
        f"{row['name']!s:<20}{row['public']!s:<68}{_joined(row['roles'])}"
        for row in rows
        if isinstance(row, dict)
    ]
    context.show({"keys": rows}, "\n".join(lines) if lines else "no keys")


@keys_command.command("show")
@click.argument("name")
@click.pass_obj
def show(context: Context, *, name: str) -> None:
    """Show the public key of NAME (wallet key, account or role)."""
    public = to_hex(context.key(name).public)
    context.show({"name": name, "public": public}, public)


@keys_command.command("import")
@click.argument("name")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_passphrase_option
@click.pass_obj
def import_key(context: Context, *, name: str, path: Path, passphrase_file: Path | None) -> None:
    """Copy the key file PATH into the wallet as NAME; a locked one by ANDON_PASSPHRASE_FILE."""
    key = load_key_file(path)
    _wallet(context).store(name, key, _passphrase(passphrase_file))
    context.show({"name": name, "public": to_hex(key.public)}, f"{name}  {to_hex(key.public)}")


def _wallet(context: Context) -> Wallet:
    return Wallet(context.home / "keys")


def _passphrase(path: Path | None) -> bytes | None:
    return None if path is None else passphrase_from(path)


def _joined(roles: Json) -> str:
    return ", ".join(str(role) for role in roles) if isinstance(roles, list) else ""
