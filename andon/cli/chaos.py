"""`andon chaos`: do harm to a local network on purpose, by verbs or by a drawn plan."""

from __future__ import annotations

from pathlib import Path

import click

from andon.cli.context import Context, end
from andon.cli.local import run_launcher

_for = click.option("--for", "for_s", type=float, default=0.0, help="Seconds; else until `heal`.")


@click.group("chaos")
def chaos_command() -> None:
    """Kill, pause, cut off, slow down or corrupt nodes of the local network.

    Verbs on links (partition, cable, one-way, delay, drop, heal) need `andon up --chaos`.
    """


def _verb(context: Context, verb: str, nodes: tuple[str, ...], *more: str) -> None:
    arguments = [verb, *nodes, f"--home={context.home}", *more]
    end(run_launcher("scripts.control_chaos", arguments + ["--json"] * context.as_json))


def _on_one_node(name: str, summary: str) -> None:
    @chaos_command.command(name, help=summary)
    @click.argument("node")
    @click.pass_obj
    def command(context: Context, node: str) -> None:
        _verb(context, name, (node,))


def _on_links(name: str, summary: str) -> None:
    @chaos_command.command(name, help=summary)
    @click.argument("nodes", nargs=-1, required=True)
    @_for
    @click.pass_obj
    def command(context: Context, nodes: tuple[str, ...], *, for_s: float) -> None:
        _verb(context, name, nodes, f"--for={for_s}")


def _with_amount(name: str, unit: str, summary: str) -> None:
    @chaos_command.command(name, help=summary)
    @click.argument("nodes", nargs=-1, required=True)
    @click.option("--amount", type=int, required=True, help=unit)
    @_for
    @click.pass_obj
    def command(context: Context, nodes: tuple[str, ...], *, amount: int, for_s: float) -> None:
        _verb(context, name, nodes, f"--amount={amount}", f"--for={for_s}")


_on_one_node("kill", "SIGKILL a node; `andon start NODE` brings it back.")
_on_one_node("pause", "SIGSTOP a node: it answers nobody but keeps its connections.")
_on_one_node("resume", "Let a paused node, or a hanging worker, go on.")
_on_one_node("worker-hangs", "SIGSTOP the node's model worker.")
_on_one_node("worker-lies", "Restart the node with a worker that gives wrong outputs.")
_on_one_node("disk-full", "Let no file of the node grow any more.")
_on_one_node("mend", "Restart the node without any of these.")
_on_links("partition", "Cut the named nodes off from all others; connections are reset.")
_on_links("cable", "The same, but bytes vanish silently.")
_on_links("one-way", "Let nothing pass from the first named node to the second.")
_with_amount("delay", "Milliseconds one way.", "Slow every link of the named nodes.")
_with_amount("drop", "Per mille of reads.", "Lose data on links of the named nodes.")
_with_amount("skew", "Milliseconds, may be negative.", "Restart a node with its clock off.")
_with_amount("slow-disk", "Milliseconds a write.", "Restart a node whose commits take longer.")


@chaos_command.command("byzantine")
@click.argument("node")
@click.argument("kind", type=click.Choice(["equivocate", "silent", "replay"]))
@click.pass_obj
def byzantine(context: Context, node: str, kind: str) -> None:
    """Restart a validator as one that breaks the rules; `mend` makes it honest again.

    An equivocator is convicted by the votes it signs: the others vote it out and go on without it.
    """
    _verb(context, "byzantine", (node,), f"--kind={kind}")


@chaos_command.command("heal")
@click.pass_obj
def heal(context: Context) -> None:
    """End every fault on links."""
    _verb(context, "heal", ())


@chaos_command.command("run")
@click.argument(
    "plan", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--seed", type=int, help="Draw the plan of this seed instead.")
@click.option("--runs", type=int, default=1, show_default=True, help="So many seeds.")
@click.pass_obj
def run(context: Context, *, plan: Path | None, seed: int | None, runs: int) -> None:
    """Play a PLAN (TOML or JSON) or drawn ones on networks of their own, and check what holds."""
    del context
    arguments = [f"--runs={runs}"]
    if plan is not None:
        arguments.append(f"--plan={plan.resolve()}")
    if seed is not None:
        arguments.append(f"--seed={seed}")
    end(run_launcher("scripts.chaos", arguments))
