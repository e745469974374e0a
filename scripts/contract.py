"""The workbench of contract authors: check, test, gas, abi; `andon contract` calls it.

It needs the engine, so it runs from a checkout; `andon contract client` does not need it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from andon.cli.context import parse_arguments, shown
from andon.core.codec import decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.json_value import value_to_json
from contracts_py.engine import Contract, ContractRefused, Engine, Profile
from node.testing.contracts import Called, Contracts

SHARE_WIDTH = 20
STUBS = "from andon.contract import *"
MYPY_OPTIONS = (
    "--config-file=",
    "--ignore-missing-imports",
    "--check-untyped-defs",
    "--disable-error-code=var-annotated",
    "--no-error-summary",
)
REFUSED = 1
FAILED = 5


def main() -> int:
    """Run one verb; exit 1 if a source is refused, 5 if a call fails."""
    parser = argparse.ArgumentParser(prog="andon contract")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("check", "abi", "gas"):
        verbs.add_parser(verb).add_argument("paths", nargs="+", type=Path)
    calls = verbs.choices["gas"]
    calls.add_argument("--call", default="", help="method to run and profile")
    calls.add_argument("--with", dest="pairs", action="append", default=[], help="name=value")
    calls.add_argument("--init", action="append", default=[], help="name=value for @init")
    calls.add_argument("--role", action="append", default=[], help="a role of the sender")
    calls.add_argument("--model", action="append", default=[], help="alias=number or package")
    verbs.choices["check"].add_argument("--types", action="store_true", help="ask mypy, too")
    verbs.add_parser("test", help="run pytest with the fixture `contracts`")
    for each in ("check", "abi", "gas"):
        verbs.choices[each].add_argument("--json", action="store_true")
    if sys.argv[1:2] == ["test"]:
        return test(sys.argv[2:])
    options = parser.parse_args()
    match options.verb:
        case "check":
            refused = check(options.paths, as_json=options.json)
            return refused or (types(options.paths) if options.types else 0)
        case "abi":
            return abi(options.paths[0], as_json=options.json)
        case _:
            return gas(options)


def check(paths: list[Path], *, as_json: bool) -> int:
    """Check sources; a refusal shows rule, line, caret and fix."""
    engine, refused = Engine(), 0
    found: list[dict[str, str | int | bool]] = []
    for path in paths:
        source = path.read_bytes()
        try:
            contract = engine.check(source)
        except ContractRefused as refusal:
            refused += 1
            found.append(
                {
                    "path": str(path),
                    "ok": False,
                    "rule": refusal.rule,
                    "line": refusal.line,
                    "column": refusal.column,
                    "message": refusal.message,
                    "fix": refusal.fix,
                }
            )
            if not as_json:
                print(diagnosis(path, source, refusal))
            continue
        found.append({"path": str(path), "ok": True, "source_hash": contract.code_hash.hex()})
        if not as_json:
            print(f"{path}: accepted, {len(contract.methods)} methods, {contract.code_hash.hex()}")
    if as_json:
        print(json.dumps(found))
    return REFUSED if refused else 0


def types(paths: list[Path]) -> int:
    """Run mypy over contracts, with the names of the language from `andon.contract`."""
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            copy = Path(folder) / path.name
            copy.write_text(f"{STUBS}\n{path.read_text(encoding='utf-8')}", encoding="utf-8")
            command = [sys.executable, "-m", "mypy", *MYPY_OPTIONS, str(copy)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            for row in done.stdout.splitlines():
                place, _, text = row.removeprefix(f"{copy}:").partition(":")
                # The line above the source names the stubs.
                print(f"{path}:{int(place) - 1}:{text}" if place.isdigit() else row)
            if done.returncode:
                print(done.stderr, end="", file=sys.stderr)
                found = REFUSED
    return found


def diagnosis(path: Path, source: bytes, refusal: ContractRefused) -> str:
    """Write a refusal with its line and a caret below the column."""
    where = f"{path}:{refusal.line}:{refusal.column}" if refusal.line else str(path)
    text = refusal.message.removeprefix(f"line {refusal.line}, column {refusal.column}: ")
    parts = [f"{where}: [{refusal.rule}] {text}"]
    lines = source.decode("utf-8", "replace").split("\n")
    if 0 < refusal.line <= len(lines):
        number = f"{refusal.line:5} | "
        parts.append(number + lines[refusal.line - 1])
        parts.append(" " * (len(number) + max(0, refusal.column - 1)) + "^")
    if refusal.fix:
        parts.append(f"  fix: {refusal.fix}")
    return "\n".join(parts)


def abi(path: Path, *, as_json: bool) -> int:
    """Print the description that the chain would keep, as JSON or as hex of its bytes."""
    try:
        found = Engine().check(path.read_bytes()).abi()
    except ContractRefused as refusal:
        print(diagnosis(path, path.read_bytes(), refusal), file=sys.stderr)
        return REFUSED
    print(json.dumps(value_to_json(found), indent=2) if as_json else encode_value(found).hex())
    return 0


def gas(options: argparse.Namespace) -> int:
    """Print static bounds, or what one call costs line by line with what it reads and writes."""
    path: Path = options.paths[0]
    source = path.read_bytes()
    try:
        contract = Engine().check(source)
    except ContractRefused as refusal:
        print(diagnosis(path, source, refusal), file=sys.stderr)
        return REFUSED
    if not options.call:
        print(bounds(contract))
        return 0
    profile = Profile()
    world = Contracts(profile=profile)
    sender = world.member("author", *options.role)
    for entry in options.model:
        alias, _, model = entry.partition("=")
        if model.lstrip("-").isdigit():
            world.model(alias, constant(int(model)))
        else:
            world.real_model(alias, Path(model))
    world.deploy(path.stem, source, sender=sender, **parse_arguments(options.init))
    profile.lines.clear()
    arguments = parse_arguments(options.pairs)
    called = world.run(f"{path.stem}.{options.call}", arguments, sender=sender)
    print(report(path.stem, source.decode(), profile, called))
    return FAILED if called.failure else 0


def constant(number: int) -> Callable[[bytes], int]:
    """A model that always answers the same."""

    def answer(window: bytes) -> int:
        del window
        return number

    return answer


def bounds(contract: Contract) -> str:
    """A line for each method: the most that its body can cost, where loops are bounded."""
    rows = [f"{'method':32} {'kind':10} {'gas at most':>12}"]
    for method in contract.methods.values():
        bound = "depends" if method.gas_bound is None else f"{method.gas_bound:,}"
        rows.append(f"{method.name:32} {method.kind:10} {bound:>12}")
    rows.append("without other contracts and sizes of data; 'depends': a loop has no fixed bound")
    return "\n".join(rows)


def report(name: str, source: str, profile: Profile, called: Called) -> str:
    """The source with gas before each line, then totals, reads, writes, events."""
    most = max((line.gas for line in profile.lines.values()), default=1)
    rows = [f"{'gas':>9} {'times':>6}"]
    for number, text in enumerate(source.rstrip("\n").split("\n"), 1):
        found = profile.lines.get((name, number))
        spent = f"{'':16}" if found is None else f"{found.gas:9,} {found.count:6}"
        bar = "" if found is None else "#" * (found.gas * SHARE_WIDTH // max(1, most))
        rows.append(f"{spent} |{bar:{SHARE_WIDTH}}| {text}")
    elsewhere = sum(line.gas for (contract, _), line in profile.lines.items() if contract != name)
    rows.append(f"{called.gas_used - profile.total():9,} to enter, with arguments and result")
    if elsewhere:
        rows.append(f"{elsewhere:9,} in other contracts")
    rows.append(f"{called.gas_used:9,} in all")
    rows += [f"read  {_key_text(key)}" for key in called.reads]
    rows += [f"write {_key_text(key)}" for key in called.writes]
    rows += [f"event {owner}.{event} {shown(fields)}" for owner, event, fields in called.events]
    if called.failure is None:
        rows.append(f"result {shown(called.value)}")
    else:
        failure = called.failure
        rows.append(f"failed: {failure.code}, line {failure.line}: {failure.message}")
    return "\n".join(rows)


def test(arguments: list[str]) -> int:
    """Run pytest with the fixture `contracts`; arguments go through."""
    import pytest  # noqa: PLC0415 - the other verbs do not need it

    return int(pytest.main(["-p", "node.testing.contracts.plugin", *arguments]))


def _key_text(key: bytes) -> str:
    """A state key as its author wrote it: contract.variable[key]."""
    contract, variable, rest = key.split(b"\0", 2)
    name = f"{contract.decode()}.{variable.decode()}"
    return f"{name}[{shown(decode_value(rest))}]" if rest else name


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InvalidInput, AssertionError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(REFUSED)
