"""Verbs for a network on this machine: up, down, start, stop, restart, prune, logs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import msgspec

from andon.cli.context import Context, end
from andon.cli.network import MANIFEST_FILE
from andon.core.errors import Code, InvalidInput

FOLLOW_PAUSE_S = 0.25
COMPANIONS = ("explorer", "mqtt", "prometheus")
_PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


def checkout() -> Path:
    """Folder from which nodes run: a checkout, or what ANDON_CHECKOUT names.

    Raises:
        InvalidInput: NOT_FOUND where only the SDK is installed.
    """
    named = os.environ.get("ANDON_CHECKOUT")
    root = Path(named) if named else Path(__file__).resolve().parents[2]
    if not (root / "node" / "__main__.py").exists():
        raise InvalidInput(
            Code.NOT_FOUND,
            f"{root} holds no node: the installed SDK alone cannot run one",
            hint="run it in a checkout, set ANDON_CHECKOUT to one, or use the image",
        )
    return root


def run_launcher(module: str, arguments: list[str]) -> int:
    """Run a launcher of the checkout in this terminal."""
    root = checkout()
    environment = {**os.environ, "PYTHONPATH": str(root)}
    child = subprocess.Popen(  # noqa: S603 - our own module with our own arguments
        [sys.executable, "-m", module, *arguments], env=environment
    )
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # Ctrl-C reached the child too; it stops the nodes, we wait for it


def _companions(
    context: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name for text in given for name in text.split(",")))
    for name in names:
        if name not in COMPANIONS:
            reason = f"{name!r} is none of {', '.join(COMPANIONS)}"
            raise click.BadParameter(reason, context, parameter)
    return names


@click.command("up")
@click.option("--manifest", type=_PATH, help="What to make, as `andon init` writes it.")
@click.option("--validators", type=int, help="[default: 4]")
@click.option("--observers", type=int, help="Nodes that follow and do not vote. [default: 0]")
@click.option("--base-port", type=int, help="[default: 26656]")
@click.option("--seed", type=int, help="Reproducible keys and genesis: tests only.")
@click.option("--worker", help="none, cpu, gpu or tpu. [default: cpu]")
@click.option("--idle-block-ms", type=int, help="How long to wait for work before an empty block.")
@click.option("--fast", is_flag=True, help="No model workers, short waits: for tests of contracts.")
@click.option("--reset", is_flag=True, help="Delete the network's state first.")
@click.option("--chaos", is_flag=True, help="Put links between nodes that `andon chaos` can harm.")
@click.option(
    "--with", "companions", multiple=True, metavar="NAME", callback=_companions,
    help="explorer (an observer for it), mqtt (Mosquitto), prometheus; repeatable, or a,b.",
)  # fmt: skip
@click.option("--detach", is_flag=True, help="Leave the nodes running; `andon down` stops them.")
@click.pass_obj
def up_command(
    context: Context,
    /,
    *,
    manifest: Path | None,
    fast: bool,
    reset: bool,
    detach: bool,
    chaos: bool,
    companions: tuple[str, ...],
    **given: int | str | None,
) -> None:
    """Start a local network, or go on with the one in --home.

    Options count more than the manifest. The network in --home keeps what it was made with. What
    --with names is started beside it, as it is installed here, and `andon down` stops it.
    """
    from andon.cli.manifest import FAST_IDLE_BLOCK_MS, NetworkFile, load_network_file

    plan = NetworkFile() if manifest is None else load_network_file(manifest)
    values: dict[str, int | str | None] = msgspec.to_builtins(plan)
    if fast:
        values |= {"worker": "none", "idle_block_ms": FAST_IDLE_BLOCK_MS}
    if manifest is None and not reset:
        values |= _made(context)
    values |= {name: value for name, value in given.items() if value is not None}
    if "explorer" in companions:
        values["observers"] = values["observers"] or 1
    arguments = [f"--home={context.home}", *(f"--with={name}" for name in companions)]
    arguments += [
        f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value is not None
    ]
    flags = {"--reset": reset, "--detach": detach, "--json": context.as_json, "--chaos": chaos}
    arguments += [name for name, is_set in flags.items() if is_set]
    end(run_launcher("scripts.launch_cluster", arguments))


def _made(context: Context) -> dict[str, int]:
    """How many nodes the network in --home has, so that nobody has to say it again."""
    if not (context.home / MANIFEST_FILE).exists():
        return {}
    nodes = context.network().manifest.nodes
    voting = sum(1 for node in nodes if node.validator_key)
    return {"validators": voting, "observers": len(nodes) - voting}


@click.command("down")
@click.pass_obj
def down_command(context: Context) -> None:
    """Stop all nodes in order; works on a half-started network too."""
    end(_control(context, "down"))


@click.command("stop")
@click.argument("node")
@click.pass_obj
def stop_command(context: Context, node: str) -> None:
    """Stop one node in order."""
    end(_control(context, "stop", node))


@click.command("start")
@click.argument("node")
@click.pass_obj
def start_command(context: Context, node: str) -> None:
    """Start one node."""
    end(_control(context, "start", node))


@click.command("restart")
@click.argument("node")
@click.pass_obj
def restart_command(context: Context, node: str) -> None:
    """Stop and start one node."""
    end(_control(context, "restart", node))


@click.command("prune")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def prune_command(context: Context, *, yes: bool) -> None:
    """Stop the network and delete its folder."""
    if not yes:
        click.confirm(f"Delete the network in {context.home}, keys and state?", abort=True)
    end(_control(context, "prune"))


@click.command("logs")
@click.argument("node")
@click.option("-n", "lines", type=int, default=50, show_default=True)
@click.option("-f", "follow", is_flag=True, help="Go on as the log grows.")
@click.pass_obj
def logs_command(context: Context, *, node: str, lines: int, follow: bool) -> None:
    """Show the end of a node's log."""
    network = context.network()
    path = network.home / network.node(node).home / "logs" / "node.log"
    if not path.exists():
        raise InvalidInput(Code.NOT_FOUND, f"{path} does not exist", hint="did the node ever run?")
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file.readlines()[-lines:]:
            print(line, end="")
        while follow:
            line = file.readline()
            if line:
                print(line, end="", flush=True)
            else:
                import time

                time.sleep(FOLLOW_PAUSE_S)


def _control(context: Context, verb: str, node: str | None = None) -> int:
    arguments = [verb, f"--home={context.home}"]
    if node is not None:
        arguments.append(f"--node={node}")
    if context.as_json:
        arguments.append("--json")
    return run_launcher("scripts.control_cluster", arguments)
