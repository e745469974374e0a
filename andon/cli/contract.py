"""Verbs for authors of contracts: new, check, test, gas, abi, client, upgrade, approve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from andon.cli.context import Context, end, parse_arguments, shown
from andon.cli.contracts import deploy_command, finish, submission_json, submit
from andon.cli.local import checkout, run_launcher
from andon.client.contract_client import contract_client
from andon.core.codec import Key, Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.json_value import Json, to_hex, value_to_json
from andon.core.transaction import make_call

WORKBENCH = "scripts.contract"
_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("contract")
def contract_command() -> None:
    """Write contracts: scaffold, check, test, profile, describe, approve."""


@contract_command.command("new")
@click.argument("name")
@click.option("--in", "parent", type=click.Path(file_okay=False, path_type=Path), default=Path())
@click.pass_context
def new(click_context: click.Context, *, name: str, parent: Path) -> None:
    """Write a new project NAME: a contract, its tests, a gateway script (`andon new`)."""
    from andon.cli.scaffold import new_command

    click_context.invoke(new_command, name=name, parent=parent)


@contract_command.command("check")
@click.argument("paths", nargs=-1, required=True, type=_PATH)
@click.option("--types", is_flag=True, help="Ask mypy, too, with the names of the language.")
@click.pass_obj
def check(context: Context, *, paths: tuple[Path, ...], types: bool) -> None:
    """Check sources with the engine of the nodes; a refusal shows rule, line and fix."""
    flags = ["--json"] if context.as_json else []
    flags += ["--types"] if types else []
    end(run_launcher(WORKBENCH, ["check", *flags, *map(str, paths)]))


@contract_command.command("test", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(*, arguments: tuple[str, ...]) -> None:
    """Run pytest with the fixture `contracts`; all ARGUMENTS go to pytest."""
    end(run_launcher(WORKBENCH, ["test", *arguments]))


@contract_command.command("gas")
@click.argument("path", type=_PATH)
@click.argument("method", required=False)
@click.argument("pairs", nargs=-1)
@click.option("--init", "init_pairs", multiple=True, help="name=value for @init; repeatable.")
@click.option("--role", "roles", multiple=True, help="A role of the sender; repeatable.")
@click.option("--model", "models", multiple=True, help="alias=NUMBER or alias=PACKAGE; repeatable.")
def gas(
    *,
    path: Path,
    method: str | None,
    pairs: tuple[str, ...],
    init_pairs: tuple[str, ...],
    roles: tuple[str, ...],
    models: tuple[str, ...],
) -> None:
    """Show static bounds, or run METHOD with name=value: gas by line, keys read and written."""
    arguments = ["gas", str(path)]
    if method is not None:
        arguments.append(f"--call={method}")
    options = {"--with": pairs, "--init": init_pairs, "--role": roles, "--model": models}
    for option, values in options.items():
        arguments += [f"{option}={value}" for value in values]
    end(run_launcher(WORKBENCH, arguments))


@contract_command.command("abi")
@click.argument("reference")
@click.pass_obj
def abi(context: Context, *, reference: str) -> None:
    """Print the description of a contract: of a file, or the proved one of a deployed name."""
    context.show(value_to_json(_description(context, reference)))


@contract_command.command("client")
@click.argument("reference")
@click.option("--name", help="Contract name; the file's name without .py if not given.")
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="File to write."
)
@click.pass_obj
def client(context: Context, *, reference: str, name: str | None, output: Path | None) -> None:
    """Write a typed Python client for a contract: a file, or a deployed name."""
    chosen = name or (Path(reference).stem if reference.endswith(".py") else reference)
    text = contract_client(chosen, _description(context, reference))
    if output is None:
        print(text, end="")
        return
    output.write_text(text, encoding="utf-8")
    context.show({"contract": chosen, "file": str(output)}, str(output))


@contract_command.command("upgrade")
@click.argument("path", type=_PATH)
@click.option("--name", help="Contract name; the file's name without .py if not given.")
@click.option("--from", "sender", default="deployer", show_default=True, help="Key or role.")
@click.option("--dry-run", is_flag=True, help="Try it on the last final state.")
@click.pass_context
def upgrade(
    click_context: click.Context, *, path: Path, name: str | None, sender: str, dry_run: bool
) -> None:
    """Replace the source of a deployed contract and run its @migrate.

    With --dry-run a node does it on its last final state and forgets it: gas, keys read and
    written, or why it is refused. Approvals are not asked for there.
    """
    if not dry_run:
        click_context.invoke(deploy_command, path=path, name=name, upgrade=True, sender=sender)
        return
    rehearse_upgrade(click_context.obj, path, name or path.stem, sender)


def rehearse_upgrade(context: Context, path: Path, contract: str, sender: str) -> None:
    """Have a node upgrade on its last final state and forget it; show gas and keys."""
    given: dict[str, Value] = {"name": contract, "source": path.read_text(encoding="utf-8")}
    with context.client() as client:
        found = client.call("contracts", "upgrade", given, sender=context.key(sender).public)
    context.show(value_to_json(found), _rehearsed(contract, found))


def rehearse_deployment(
    context: Context, path: Path, contract: str, sender: str, *, is_upgrade: bool
) -> None:
    """Check a source with the nodes' engine and show how it differs from what is deployed.

    With `is_upgrade` a node tries it, too, @migrate included. A refusal shows rule, line and fix.
    """
    new = _interface(_description(context, str(path)))
    with context.client() as client:
        known = client.state("contracts", "abi", contract)
    if known is not None and not is_upgrade:
        raise InvalidInput(
            Code.CONTRACT_EXISTS,
            f"the chain has a contract {contract!r}",
            hint="add --upgrade, or choose another --name",
        )
    if known is None and is_upgrade:
        raise InvalidInput(Code.NO_CONTRACT, f"the chain has no contract {contract!r}")
    old = {} if known is None else _interface(known)
    lines: list[Json] = [f"+ {text}" for name, text in new.items() if old.get(name) != text]
    lines += [f"- {text}" for name, text in old.items() if new.get(name) != text]
    source_hash = to_hex(digest(Domain.SOURCE, path.read_bytes()))
    if is_upgrade:
        context.note("\n".join(map(str, lines)) or "the interface stays as it is")
        rehearse_upgrade(context, path, contract, sender)
        return
    text = "\n".join([f"{contract} would be new, source {source_hash}", *map(str, lines)])
    context.show({"contract": contract, "source_hash": source_hash, "changes": lines}, text)


def _interface(description: Value) -> dict[str, str]:
    """Methods, state and events of a description, one line each by kind and name."""
    found: dict[str, str] = {}
    for item in _rows(description, "methods"):
        name, roles = shown(item["name"]), ", ".join(map(shown, _rows_of(item.get("roles"))))
        line = f"{shown(item['kind'])} {name}({_fields(item.get('parameters'))})"
        line += f" -> {shown(item['returns'])}" + (f", role {roles}" if roles else "")
        found[f"method {name}"] = line
    for item in _rows(description, "variables"):
        name, key = shown(item["name"]), item.get("key")
        of = "" if key is None else f"{shown(key)} to "
        found[f"state {name}"] = f"state {name}: {of}{shown(item['value'])}"
    for item in _rows(description, "events"):
        name = shown(item["name"])
        found[f"event {name}"] = f"event {name}({_fields(item.get('fields'))})"
    return found


def _fields(items: Value) -> str:
    return ", ".join(
        f"{shown(item['name'])}: {shown(item['type'])}"
        for item in _rows_of(items)
        if isinstance(item, dict)
    )


def _rows(description: Value, kind: str) -> list[dict[Key, Value]]:
    found = description.get(kind) if isinstance(description, dict) else None
    return [item for item in _rows_of(found) if isinstance(item, dict)]


def _rows_of(value: Value) -> list[Value]:
    return value if isinstance(value, list) else []


def _rehearsed(contract: str, found: Value) -> str:
    assert isinstance(found, dict), "a node gives a map"
    version, gas = shown(found["version"]), shown(found["gas_used"])
    keys = f"reading {shown(found['reads'])} and writing {shown(found['writes'])} keys"
    lines = [f"{contract} becomes version {version}: {gas} gas, {keys}"]
    for verb, rows in (("read", found["read"]), ("write", found["written"])):
        assert isinstance(rows, list), "a node gives rows"
        lines += [f"  {verb:5} {_state_name(row)}" for row in rows]
    return "\n".join(lines)


def _state_name(row: Value) -> str:
    assert isinstance(row, list), "a node gives rows"
    contract, variable, key = row
    name = f"{shown(contract)}.{shown(variable)}"
    return name if key is None else f"{name}[{shown(key)}]"


@contract_command.command("approve")
@click.argument("path", type=_PATH)
@click.option("--name", help="Contract name; the file's name without .py if not given.")
@click.option("--init", "init_pairs", multiple=True, help="name=value that @init will get.")
@click.option("--from", "sender", default="deployer", show_default=True, help="Key or role.")
@click.pass_obj
def approve(
    context: Context, *, path: Path, name: str | None, init_pairs: tuple[str, ...], sender: str
) -> None:
    """Approve for one's organisation that exactly the source in PATH is deployed."""
    hashed = digest(Domain.SOURCE, path.read_bytes())
    arguments: Value = dict(parse_arguments(init_pairs).items())
    call = make_call(
        "contracts",
        "approve",
        {"name": name or path.stem, "source_hash": hashed, "args": arguments},
    )
    submission = submit(context, call, sender, "final")
    document: dict[str, Json] = {"source_hash": to_hex(hashed), **submission_json(submission)}
    context.show(document, f"{to_hex(hashed)} {submission.state} at height {submission.height}")
    finish(submission)


def _description(context: Context, reference: str) -> Value:
    """Describe a file by the engine of a checkout, or read what the chain keeps of a name."""
    path = Path(reference)
    if path.suffix == ".py":
        if not path.exists():
            raise InvalidInput(Code.NOT_FOUND, f"{path} does not exist")
        command = [sys.executable, "-m", WORKBENCH, "abi", str(path)]
        done = subprocess.run(  # noqa: S603 - our own module
            command,
            env={**os.environ, "PYTHONPATH": str(checkout())},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            end(done.returncode)
        return decode_value(bytes.fromhex(done.stdout.strip()))
    with context.client() as connected:
        found = connected.state("contracts", "abi", reference)
    if found is None:
        raise InvalidInput(
            Code.NOT_FOUND, f"the chain has no contract {reference!r}", hint="a file ends in .py"
        )
    return found
