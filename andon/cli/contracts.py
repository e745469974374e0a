"""Verbs for contracts: deploy (or upgrade), call (read), send (write)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from andon.cli.context import (
    EXIT_FAILED,
    EXIT_NOT_FINAL,
    Context,
    end,
    parse_arguments,
    shown,
)
from andon.client.defaults import GAS_LIMIT
from andon.client.results import Submission
from andon.client.stages import ContractFailed
from andon.core.codec import Value
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.hashing import Domain, digest
from andon.core.json_value import Json, to_hex, value_to_json
from andon.core.state_key import is_name
from andon.core.transaction import Call, make_call

if TYPE_CHECKING:
    from andon.client.async_client import Wait

SOURCE_BYTES_MAX = 256 * 1024
NO_SUCH_VIEW = "E_NO_FUNC"
NATIVE = ("contracts", "evidence", "params")
"""Contracts of the ledger itself, which have no source to read an interface from."""


@click.command("deploy")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Contract name; the file's name without .py if not given.")
@click.option("--init", "init_pairs", multiple=True, help="name=value for @init; repeatable.")
@click.option("--upgrade", is_flag=True, help="Replace the source of an existing contract.")
@click.option("--dry-run", is_flag=True, help="Check it and show what would change; send nothing.")
@click.option("--from", "sender", default="deployer", show_default=True, help="Key or role.")
@click.option("--gas", "gas_limit", type=int, default=GAS_LIMIT, show_default=True)
@click.pass_obj
def deploy_command(
    context: Context,
    *,
    path: Path,
    name: str | None,
    init_pairs: tuple[str, ...],
    upgrade: bool,
    dry_run: bool,
    sender: str,
    gas_limit: int,
) -> None:
    """Deploy the contract in PATH; prints its name, source hash and height."""
    source = path.read_bytes()
    if len(source) > SOURCE_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"{path} exceeds {SOURCE_BYTES_MAX} bytes")
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(Code.CONTRACT_REFUSED, f"{path} is not UTF-8 text") from None
    contract = name or path.stem
    if not is_name(contract):
        raise InvalidInput(
            Code.CONTRACT_REFUSED,
            f"{contract!r} cannot be a contract's name: a-z, then a-z, 0-9 and _, at most 32",
            hint="give one with --name",
        )
    if dry_run:
        from andon.cli.contract import rehearse_deployment

        rehearse_deployment(context, path, contract, sender, is_upgrade=upgrade)
        return
    if upgrade:
        call = make_call("contracts", "upgrade", {"name": contract, "source": text})
    else:
        arguments: Value = {key: value for key, value in parse_arguments(init_pairs).items()}  # noqa: C416 - widens
        call = make_call(
            "contracts", "deploy", {"name": contract, "source": text, "args": arguments}
        )
    submission = submit(context, call, sender, "final", gas_limit)
    document: dict[str, Json] = {
        "contract": contract,
        "source_hash": to_hex(digest(Domain.SOURCE, source)),
        **submission_json(submission),
    }
    done = submission.outcome is not None and submission.outcome.ok
    verb = "deployed" if done else "not deployed: the transaction failed"
    context.show(document, f"{contract} {verb} at height {submission.height}")
    finish(submission)


@click.command("call")
@click.argument("target")
@click.argument("arguments", nargs=-1)
@click.option("--sender", help="Account to run as: key name, role or 0x public key.")
@click.option("--height", type=click.IntRange(min=0), help="After this block, not after the last.")
@click.pass_obj
def call_command(
    context: Context,
    *,
    target: str,
    arguments: tuple[str, ...],
    sender: str | None,
    height: int | None,
) -> None:
    """Run the view TARGET (contract.method) with name=value arguments; writes nothing.

    A node keeps what its last blocks replaced, so --height reaches some way back; the error names
    how far.
    """
    from andon.client.contract import methods_of

    contract, method = split_target(target)
    account = None if sender is None else context.account(sender)
    with context.client() as client:
        try:
            result = client.call(
                contract, method, parse_arguments(arguments), sender=account, height=height
            )
        except ContractFailed as failed:
            if failed.fields.get("failure") != NO_SUCH_VIEW or contract in NATIVE:
                raise
            methods = methods_of(client.interface(contract))
            found = methods.get(method)
            if found is not None and found.kind == "view":
                raise
            if found is None:
                views = ", ".join(item.name for item in methods.values() if item.kind == "view")
                raise InvalidInput(
                    Code.NO_METHOD,
                    f"{contract} has no view {method}",
                    hint=f"its views are {views}" if views else "it has no views",
                ) from None
            raise InvalidInput(
                Code.NO_METHOD,
                f"{target} is no view: it changes state, so it goes into a transaction",
                hint=" ".join(["andon send", target, *arguments]),
            ) from None
    context.show(value_to_json(result), shown(result))


@click.command("send")
@click.argument("target")
@click.argument("arguments", nargs=-1)
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.option(
    "--wait", type=click.Choice(["none", "accepted", "final"]), default="final", show_default=True
)
@click.option("--gas", "gas_limit", type=int, default=GAS_LIMIT, show_default=True)
@click.option(
    "--idempotency-key", metavar="KEY", help="Your name for this order: run again, one transaction."
)
@click.pass_obj
def send_command(
    context: Context,
    *,
    target: str,
    arguments: tuple[str, ...],
    sender: str,
    wait: Wait,
    gas_limit: int,
    idempotency_key: str | None,
) -> None:
    """Submit a call of TARGET (contract.method) with name=value arguments.

    The hash is printed before waiting. Exit 3 if it is not final in time, 5 if it failed.

    With an --idempotency-key the signed transaction is written below --home first, and every later
    run with this key and sender sends that one again, whatever became of the first.
    """
    contract, method = split_target(target)
    given = parse_arguments(arguments)
    check_call(context, contract, method, given)
    call = make_call(contract, method, given)
    if idempotency_key is None:
        submission = submit(context, call, sender, wait, gas_limit)
    else:
        from andon.cli.once import submit_once

        submission = submit_once(context, call, sender, wait, gas_limit, name=idempotency_key)
    outcome = submission.outcome
    text = submission.state
    if outcome is not None and not outcome.ok:
        text = f"failed at height {submission.height}, gas {outcome.gas_used}"
    elif outcome is not None:
        results = ", ".join(shown(value) for value in outcome.results)
        text = f"final at height {submission.height}, gas {outcome.gas_used}: {results}"
        for event in outcome.events:
            fields = ", ".join(f"{key}={shown(value)}" for key, value in event.fields.items())
            text += f"\n  event {event.contract}.{event.name}: {fields}"
    context.show(submission_json(submission), text)
    finish(submission)


def check_call(context: Context, contract: str, method: str, given: Mapping[str, Value]) -> None:
    """Check method and names of arguments against the contract's interface: a refusal is free.

    Raises:
        InvalidInput: NO_CONTRACT, NO_METHOD or BAD_ARGUMENTS.
    """
    from andon.client.contract import methods_of

    if contract in NATIVE:
        return
    with context.client() as client:
        methods = methods_of(client.interface(contract))
    found = methods.get(method)
    if found is None or found.kind == "view":
        names = ", ".join(item.name for item in methods.values() if item.kind != "view")
        raise InvalidInput(
            Code.NO_METHOD,
            f"{contract} has no method {method} that can be sent",
            hint=f"`andon call` runs views; to send there are {names}",
        )
    try:
        found.check(given)
    except Misuse as error:
        raise InvalidInput(error.code, error.message, hint=error.hint) from None


def submit(
    context: Context, call: Call, sender: str, wait: Wait, gas_limit: int = GAS_LIMIT
) -> Submission:
    """Submit with the named key; tells the hash on stderr before anything is sent."""
    key = context.key(sender)
    with context.client(key) as client:
        return client.submit(
            call,
            wait=wait,
            timeout_ms=context.timeout_ms,
            gas_limit=gas_limit,
            on_hash=tell_hash,
        )


def tell_hash(identity: bytes) -> None:
    """Print the hash even when quiet: it is the only way back to the transaction."""
    print(f"hash {to_hex(identity)}", file=sys.stderr, flush=True)


def submission_json(submission: Submission) -> dict[str, Json]:
    """A submission as stable JSON."""
    outcome = submission.outcome
    document: dict[str, Json] = {
        "hash": to_hex(submission.hash),
        "state": submission.state,
        "height": submission.height,
    }
    if outcome is not None:
        failure = outcome.failure
        document["ok"] = outcome.ok
        document["gas_used"] = outcome.gas_used
        document["results"] = [value_to_json(value) for value in outcome.results]
        document["failure"] = (
            None
            if failure is None
            else {
                "code": failure.code,
                "contract": failure.contract,
                "method": failure.method,
                "line": failure.line,
                "message": failure.message,
            }
        )
        document["events"] = [
            {
                "cursor": event.cursor,
                "contract": event.contract,
                "name": event.name,
                "fields": {key: value_to_json(value) for key, value in event.fields.items()},
            }
            for event in outcome.events
        ]
    return document


def finish(submission: Submission) -> None:
    """Leave with the exit code of a submission: 0, 3 or 5."""
    outcome = submission.outcome
    if outcome is not None and outcome.failure is not None:
        failure = outcome.failure
        place = failure.contract + (f".{failure.method}" if failure.method else "")
        place += f", line {failure.line}" if failure.line else ""
        print(f"failed: {failure.code} in {place}: {failure.message}", file=sys.stderr)
        end(EXIT_FAILED)
    if outcome is None and submission.state == "pending":
        end(EXIT_NOT_FINAL)


def split_target(target: str) -> tuple[str, str]:
    """Read contract.method.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    contract, dot, method = target.partition(".")
    if not dot or not contract or not method:
        raise InvalidInput(
            Code.BAD_ARGUMENTS, f"{target!r} is not contract.method", hint="maintenance.status"
        )
    return contract, method
