"""The entry point: a lazy table of verbs, global options, exit codes, errors without traceback.

Exit codes: 0 ok, 1 error, 2 usage, 3 submitted but not final (hash printed), 4 refused before
execution, 5 executed and failed, 6 no node reachable, 7 not ready, 8 assertion failed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

import andon
from andon.cli.context import Context, exit_code, print_error
from andon.core.errors import AndonError

VERBS: dict[str, tuple[str, str]] = {
    "init": ("andon.cli.manifest", "write a commented manifest of a local network"),
    "validate": ("andon.cli.manifest", "check such a manifest"),
    "up": ("andon.cli.local", "start a local network of validators"),
    "down": ("andon.cli.local", "stop the local network; its state stays"),
    "stop": ("andon.cli.local", "stop one node"),
    "start": ("andon.cli.local", "start one node"),
    "restart": ("andon.cli.local", "restart one node"),
    "prune": ("andon.cli.local", "delete the local network and its state"),
    "logs": ("andon.cli.local", "show the log of a node"),
    "tail": ("andon.cli.tail", "follow the logs of all nodes, by level and event"),
    "status": ("andon.cli.status", "show every node: height, peers, readiness and why not"),
    "doctor": ("andon.cli.doctor", "check versions, disk, limits and ports of this machine"),
    "contract": ("andon.cli.contract", "write contracts: check, test, gas, abi, client, approve"),
    "deploy": ("andon.cli.contracts", "deploy or upgrade a contract"),
    "call": ("andon.cli.contracts", "read: run a view of a contract"),
    "send": ("andon.cli.contracts", "write: submit a call of a contract"),
    "predict": ("andon.cli.predict", "assess a machine: a voted prediction with its proof"),
    "models": ("andon.cli.models", "publish, alias, list, retire model packages"),
    "private": ("andon.cli.private", "payloads that only some organisations may read"),
    "fl": ("andon.cli.fl", "take part in federated training, attest its aggregates"),
    "tx": ("andon.cli.query", "wait for, or submit, a transaction"),
    "query": ("andon.cli.query", "read blocks, transactions, state, predictions, machines, lots"),
    "watch": ("andon.cli.watch", "follow events, blocks, predictions, runs; with where to resume"),
    "gateway": ("andon.cli.gateway", "run the gateway of a plant, check its configuration"),
    "sink": ("andon.cli.sink", "follow the chain into PostgreSQL, MQTT, web hooks"),
    "reindex": ("andon.cli.sink", "write what a database holds from a height on again"),
    "keys": ("andon.cli.keys", "make, list, import, export and rotate keys; sign files"),
    "verify": ("andon.cli.verify", "check a proof offline with only the genesis file"),
    "audit": ("andon.cli.audit", "recompute the committed predictions of a range of heights"),
    "assert": ("andon.cli.assertion", "wait for a condition, or exit 8: 'height >= 10 within 30s'"),
    "bench": ("andon.cli.bench", "offer load to a network: offered, accepted, final, latencies"),
    "snapshot": ("andon.cli.storage", "make, list and restore snapshots of a node's state"),
    "replay": ("andon.cli.storage", "execute a node's chain again and compare every root"),
    "export": ("andon.cli.storage", "write blocks or predictions as JSON lines, all as Parquet"),
    "chaos": ("andon.cli.chaos", "harm nodes and links of the local network on purpose"),
    "new": ("andon.cli.scaffold", "write a new project: contract, tests, gateway script"),
    "completion": ("andon.cli.completion", "print the completion script of a shell"),
}


GLOBAL_FLAGS = ("--json", "--quiet")
GLOBAL_OPTIONS = ("--home", "--node", "--timeout")


class LazyGroup(click.Group):
    """Loads a verb's module when the verb is used; `--help` needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs in the order of the table."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl([(name, summary) for name, (_, summary) in VERBS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path(".andon"),
    envvar="ANDON_HOME",
    show_default=True,
    help="Folder of the local network.",
)
@click.option(
    "--node", "nodes", multiple=True, envvar="ANDON_NODE", help="RPC URL of a node; repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="No diagnostics.")
@click.option("--timeout", "timeout_s", type=float, default=15.0, show_default=True)
@click.version_option(andon.__version__, prog_name="andon")
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    home: Path,
    nodes: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    timeout_s: float,
) -> None:
    """A network of organisations that agrees on machine-learning predictions."""
    ctx.obj = Context(
        home=home, nodes=nodes, as_json=as_json, quiet=quiet, timeout_ms=int(timeout_s * 1000)
    )


def hoist(arguments: list[str]) -> list[str]:
    """Move global options to the front, so that they may stand behind the verb too."""
    front: list[str] = []
    rest: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--":
            rest += [item, *items]
        elif item in GLOBAL_FLAGS or item.split("=", 1)[0] in GLOBAL_OPTIONS:
            front.append(item)
            if item in GLOBAL_OPTIONS:
                front += [value for value in [next(items, None)] if value is not None]
        else:
            rest.append(item)
    return front + rest


def main() -> None:
    """Run the command line and exit."""
    arguments = hoist(sys.argv[1:])
    as_json = "--json" in arguments
    try:
        code = cli.main(args=arguments, prog_name="andon", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except AndonError as error:
        print_error(error, as_json=as_json)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
