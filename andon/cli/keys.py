"""Verbs for keys: new, list, show, import, export, sign, verify, rotate.

Private bytes never reach a terminal, and leave the wallet only into a file of mode 600.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from andon.cli.context import EXIT_ERROR, Context, end
from andon.client.key_file import passphrase_from, write_key
from andon.client.wallet import Wallet, load_key_file
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.hashing import Domain, digest
from andon.core.json_value import Json, from_hex, to_hex
from andon.core.keys import verify

STATEMENT_BYTES_MAX = 64 * 1024 * 1024


@click.group("keys")
def keys_command() -> None:
    """Make, list, show, import, export and rotate keys; sign and verify files."""


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


@keys_command.command("export")
@click.argument("name")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@_passphrase_option
@click.option("--unsafe", is_flag=True, help="Write it without a passphrase.")
@click.pass_obj
def export_key(
    context: Context, *, name: str, path: Path, passphrase_file: Path | None, unsafe: bool
) -> None:
    """Write the key NAME to the new file PATH, locked with a passphrase unless --unsafe."""
    if passphrase_file is None and not unsafe:
        raise InvalidInput(
            Code.BAD_KEY,
            "a key leaves the wallet locked",
            hint="give --passphrase-file, or --unsafe for a file that whoever has it can use",
        )
    key = context.key(name)
    try:
        write_key(path, key, _passphrase(passphrase_file))
    except Misuse as error:
        raise InvalidInput(Code.BAD_KEY, error.message, hint="choose another file") from None
    context.show({"name": name, "file": str(path), "public": to_hex(key.public)}, str(path))


@keys_command.command("sign")
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.pass_obj
def sign(context: Context, *, name: str, file: BinaryIO) -> None:
    """Sign the bytes of FILE (- for stdin) as a statement of NAME; prints the signature.

    No transaction and no vote has these bytes: such a signature binds to nothing on a chain.
    """
    key = context.key(name)
    signature = to_hex(key.sign(digest(Domain.STATEMENT, _content(file))))
    context.show({"public": to_hex(key.public), "signature": signature}, signature)


@keys_command.command("verify")
@click.argument("signer")
@click.argument("file", type=click.File("rb"))
@click.argument("signature")
@click.pass_obj
def verify_signature(context: Context, *, signer: str, file: BinaryIO, signature: str) -> None:
    """Check a SIGNATURE of `andon keys sign` by SIGNER (0x public key or name); exit 1 if bad."""
    public = context.account(signer)
    try:
        verify(public, digest(Domain.STATEMENT, _content(file)), from_hex(signature))
        is_valid, reason = True, ""
    except InvalidInput as error:
        is_valid, reason = False, error.message
    document: Json = {"public": to_hex(public), "valid": is_valid, "reason": reason}
    context.show(document, "valid" if is_valid else f"not valid: {reason}")
    if not is_valid:
        end(EXIT_ERROR)


@keys_command.command("rotate")
@click.argument("name")
@_passphrase_option
@click.pass_obj
def rotate(context: Context, *, name: str, passphrase_file: Path | None) -> None:
    """Move the membership of NAME to a fresh key, which takes its name in the wallet.

    The fresh key is stored before anything is sent; run it again if it was broken off. The old
    key stays in the wallet under another name, without rights. A validator's key is replaced by
    a proposal instead (docs/operator.md).
    """
    from andon.cli.contracts import finish, submit
    from andon.core.transaction import make_call

    wallet, fresh = _wallet(context), f"{name}.next"
    made = wallet.load(fresh) if fresh in wallet.names() else None
    if made is None:
        made = wallet.create(fresh, passphrase=_passphrase(passphrase_file))
    account = bytes(made.public)
    with context.client() as client:
        is_moved = client.call("identity", "membership", {"account": account}) is not None
    if not is_moved:
        submission = submit(
            context, make_call("identity", "rotate_key", {"account": account}), name, "final"
        )
        outcome = submission.outcome
        if outcome is None or not outcome.ok:
            context.note(f"the fresh key waits as {fresh}; `andon keys rotate {name}` goes on")
            finish(submission)
            return
    kept = wallet.promote(fresh, name)
    document: Json = {"name": name, "public": to_hex(account), "old": kept}
    was = f"; the old key is {kept}" if kept else ""
    context.show(document, f"{name}  {to_hex(account)}{was}")


def _content(file: BinaryIO) -> bytes:
    content = file.read(STATEMENT_BYTES_MAX + 1)
    if len(content) > STATEMENT_BYTES_MAX:
        raise InvalidInput(
            Code.TOO_LARGE,
            f"a statement has at most {STATEMENT_BYTES_MAX} bytes",
            hint="sign its SHA-256",
        )
    return content


def _wallet(context: Context) -> Wallet:
    return Wallet(context.home / "keys")


def _passphrase(path: Path | None) -> bytes | None:
    return None if path is None else passphrase_from(path)


def _joined(roles: Json) -> str:
    return ", ".join(str(role) for role in roles) if isinstance(roles, list) else ""
