"""`andon bench`: load on a running network, with what was offered, accepted and final apart."""

from __future__ import annotations

from pathlib import Path

import click

from andon.cli.context import Context, end
from andon.cli.local import run_launcher
from andon.client.defaults import GAS_LIMIT


@click.command("bench")
@click.argument("target")
@click.argument("arguments", nargs=-1)
@click.option("--rate", type=float, default=50.0, show_default=True, help="Transactions a second.")
@click.option("--seconds", type=float, default=10.0, show_default=True, help="Of each step.")
@click.option(
    "--controller", type=click.Choice(["fixed-rate", "ramp"]), default="fixed-rate",
    show_default=True, help="One rate, or four steps that rise to it.",
)  # fmt: skip
@click.option("--from", "senders", multiple=True, default=("operator",), help="Key or role.")
@click.option("--gas", "gas_limit", type=int, default=GAS_LIMIT, show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Report as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Report as a page.")
@click.pass_obj
def bench_command(
    context: Context,
    *,
    target: str,
    arguments: tuple[str, ...],
    rate: float,
    seconds: float,
    controller: str,
    senders: tuple[str, ...],
    gas_limit: int,
    out: Path | None,
    html: Path | None,
) -> None:
    """Offer calls of TARGET (contract.method) with name=value; `{n}` is the call's number.

    Calls are due at fixed times, whatever the network does, and latency counts from then. Exit 1
    if nothing became final. With a network in --home, the report tells what its processes used.
    """
    options = [f"--home={context.home}", f"--rate={rate}", f"--seconds={seconds}"]
    options += [f"--controller={controller}", f"--gas={gas_limit}"]
    options += [f"--node={url}" for url in context.nodes]
    options += [f"--sender={name}" for name in senders]
    options += [f"--out={out}"] if out is not None else []
    options += [f"--html={html}"] if html is not None else []
    options += ["--json"] if context.as_json else []
    end(run_launcher("scripts.load_network", [*options, "--", target, *arguments]))
