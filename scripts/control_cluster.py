"""Stop, start, restart and delete nodes of a local network; `andon down` and its kin call this."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.cli.context import exit_code, print_error
from andon.cli.network import load_network
from andon.core.errors import AndonError
from scripts.chaos_links import stop_links
from scripts.cluster import Cluster, remove
from scripts.companions import stop_companions


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one thing; 0 if it is done, also if there was nothing to do."""
    options = _parser().parse_args(arguments)
    try:
        report = _act(options)
    except AndonError as error:
        print_error(error, as_json=options.json)
        return exit_code(error)
    if options.json:
        print(msgspec.json.encode({"done": report}).decode())
    else:
        print(report)
    return 0


def _act(options: argparse.Namespace) -> str:
    if options.verb == "prune":
        stop_companions(options.home)
        stop_links(options.home)
        remove(options.home)
        return f"deleted {options.home}"
    cluster = Cluster(load_network(options.home))
    if options.verb == "down":
        stopped = [*stop_companions(cluster.home), *cluster.down()]
        stop_links(cluster.home)
        return "stopped " + ", ".join(stopped) if stopped else "nothing was running"
    name = cluster.network.node(options.node or "").name
    if options.verb in ("stop", "restart"):
        cluster.stop(name)
    if options.verb in ("start", "restart"):
        cluster.start(name)
    return f"{options.verb} {name}: done"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.control_cluster", description=__doc__)
    parser.add_argument("verb", choices=("down", "stop", "start", "restart", "prune"))
    parser.add_argument("--home", type=Path, default=Path(".andon"))
    parser.add_argument("--node", help="name or number of a node")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
