"""Start a local network of real node processes: `python -m scripts.launch_cluster --help`.

`andon up` calls this. In the foreground it stays until Ctrl-C and then stops the nodes in order;
with --detach it leaves them running for `andon down`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec

from andon.cli.context import EXIT_NOT_READY, exit_code, print_error
from andon.core.errors import AndonError
from andon.core.genesis import Params
from node.local_network import Plan
from scripts.chaos_links import forget_links, start_links, stop_links
from scripts.cluster import Cluster, make_or_load
from scripts.companions import NAMES, check_installed, start_companions, stop_companions

WATCH_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Start, report, and in the foreground stay; 0, 1 or 7 (not ready)."""
    options = _parser().parse_args(arguments)
    try:
        check_installed(options.companions)
        if options.reset:
            stop_companions(options.home)
        cluster = make_or_load(_plan(options), reset=options.reset)
        began = time.monotonic()
        (start_links if options.chaos else forget_links)(cluster)
        started = cluster.up()
    except AndonError as error:
        print_error(error, as_json=options.json)
        return exit_code(error)
    if not options.detach:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        _report(cluster, options, started, began)
        if options.detach:
            return 0
        return _stay(cluster)
    except AndonError as error:
        print_error(error, as_json=options.json)
        return EXIT_NOT_READY
    except KeyboardInterrupt:
        return _end(cluster)


def _report(
    cluster: Cluster, options: argparse.Namespace, started: list[str], began: float
) -> None:
    cluster.wait_ready(options.timeout)
    companions = start_companions(cluster, options.companions)
    seconds = time.monotonic() - began
    if options.json:
        document = {
            "home": str(cluster.home),
            "chain_id": cluster.network.manifest.chain_id,
            "ready_s": f"{seconds:.2f}",
            "started": started,
            "nodes": [
                {"name": node.name, "rpc": node.rpc, "pid": cluster.network.alive().get(node.name)}
                for node in cluster.nodes
            ],
            "companions": companions,
        }
        print(msgspec.json.encode(document).decode(), flush=True)
        return
    print(table(cluster))
    for name, url in companions.items():
        print(f"{name:<12}{url}")
    print(f"ready in {seconds:.1f} s ({len(started)} started)", flush=True)
    if not options.detach:
        print("Ctrl-C stops the network; its state stays for the next time.", flush=True)


def table(cluster: Cluster) -> str:
    """Nodes with process id, URLs and log, and the accounts that may sign."""
    alive = cluster.network.alive()
    lines = [f"{'node':<12}{'organisation':<14}{'pid':>8}  {'rpc and explorer':<26}log"]
    lines += [
        f"{node.name:<12}{node.organisation:<14}{alive.get(node.name, 0):>8}  {node.rpc:<26}"
        f"{cluster.log_path(node.name)}"
        for node in cluster.nodes
    ]
    accounts = cluster.network.manifest.accounts
    lines.append("accounts: " + ", ".join(account.name for account in accounts[:4]) + ", …")
    return "\n".join(lines)


def _stay(cluster: Cluster) -> int:
    told: set[str] = set()
    while True:
        time.sleep(WATCH_S)
        for child in cluster.children.values():
            child.poll()
        alive = cluster.network.alive()
        for name in cluster.network.run().processes:
            if name not in alive and name not in told:
                told.add(name)
                print(f"{name} ended; log: {cluster.log_path(name)}", file=sys.stderr)


def _end(cluster: Cluster) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("\nstopping …", file=sys.stderr, flush=True)
    stop_companions(cluster.home, cluster.children)
    cluster.down()
    stop_links(cluster.home)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        home=options.home,
        validators=options.validators,
        observers=options.observers,
        base_port=options.base_port,
        chain_id=options.chain_id,
        seed=options.seed,
        worker_backend=options.worker,
        params=Params(idle_block_ms=options.idle_block_ms),
        log_level=options.log_level,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.launch_cluster", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".andon"))
    parser.add_argument("--validators", type=int, default=4)
    parser.add_argument("--observers", type=int, default=0)
    parser.add_argument("--base-port", type=int, default=26656)
    parser.add_argument("--chain-id", default="andon-local")
    parser.add_argument("--seed", type=int, help="reproducible keys: tests only")
    parser.add_argument("--worker", default="cpu", help="none, cpu, gpu or tpu")
    parser.add_argument("--idle-block-ms", type=int, default=Params().idle_block_ms)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for ready")
    parser.add_argument("--reset", action="store_true", help="delete the network's state first")
    parser.add_argument("--detach", action="store_true", help="leave the nodes running")
    parser.add_argument("--chaos", action="store_true", help="links that `andon chaos` can harm")
    parser.add_argument(
        "--with", dest="companions", action="append", choices=NAMES, default=[],
        help="a program beside the network; repeatable",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
