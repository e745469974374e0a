"""`andon doctor`: what of this machine, its nodes' homes and their network would end in trouble."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from andon.cli.context import EXIT_ERROR, Context, end
from andon.cli.diagnosis import Finding, check_home, check_machine, check_nodes
from andon.cli.network import LocalNetwork, load_network
from andon.cli.status import ask_all
from andon.core.errors import InvalidInput
from andon.core.json_value import Json


@click.command("doctor")
@click.argument("homes", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.pass_obj
def doctor_command(context: Context, homes: tuple[Path, ...]) -> None:
    """Check this machine, node homes and the nodes that answer; exit 1 if something is wrong.

    HOMES are homes of nodes on this machine; without them, those of the local network.
    """
    network = _local(context.home)
    folders = list(homes)
    if network is not None and not folders:
        folders = [network.home / node.home for node in network.manifest.nodes]
    findings = check_machine(context.home if context.home.exists() else Path())
    for folder in folders:
        findings += check_home(folder)
    if context.nodes or network is not None:
        findings += check_nodes(ask_all(context.endpoints()))
    rows: list[Json] = [
        {"name": f.name, "ok": f.is_ok, "seen": f.seen, "advice": f.advice} for f in findings
    ]
    width = min(40, max(len(f.name) for f in findings) + 2)
    context.show({"findings": rows}, "\n".join(_line(finding, width) for finding in findings))
    if not all(finding.is_ok for finding in findings):
        end(EXIT_ERROR)


def _local(home: Path) -> LocalNetwork | None:
    try:
        return load_network(home)
    except InvalidInput:
        return None


def _line(finding: Finding, width: int) -> str:
    columns = shutil.get_terminal_size().columns
    line = f"{'ok  ' if finding.is_ok else 'BAD '}{finding.name:<{width}}{finding.seen}"
    if finding.is_ok:
        return line
    return f"{line}\n{'':<6}{finding.advice}"[: 4 * columns]
