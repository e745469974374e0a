"""Do harm to a local network on purpose: `andon chaos VERB` calls this.

Verbs on processes: kill, pause, resume, worker-hangs. Verbs on links, for a network that was
started with `andon up --chaos`: partition, cable, one-way, delay, drop, heal. Verbs that restart a
node under a changed configuration or as a liar: worker-lies, skew, slow-disk, byzantine, mend.
disk-full takes the right to let files grow; mend gives it back.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.cli.network import load_network
from andon.core.errors import AndonError, Code, InvalidInput, Misuse
from node.config import Config, Home, load_config, render_config
from node.testing import harm
from node.testing.byzantine import Kind
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import LINK_VERBS
from node.testing.chaos.router import LOG_FILE, Command, tell
from scripts.cluster import Cluster

LINKS = (*(verb.value for verb in LINK_VERBS), "heal")
PROCESSES = ("kill", "pause", "resume", "worker-hangs", "disk-full")
SETTINGS = ("worker-lies", "skew", "slow-disk", "mend", "byzantine")
AMOUNTS = {"skew": "ms", "slow-disk": "ms", "delay": "ms", "drop": "per mille"}
KINDS = tuple(kind.value for kind in Kind)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one verb; 0 if it is done."""
    options = _parser().parse_args(arguments)
    try:
        report = act(
            options.home.resolve(),
            Command(
                verb=options.verb,
                nodes=tuple(options.nodes),
                amount=options.amount,
                for_ms=int(options.for_s * 1000),
            ),
            options.kind,
        )
    except AndonError as error:
        print(f"andon: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode({"done": report}).decode() if options.json else report)
    return 0


def act(home: Path, command: Command, kind: str = "") -> str:
    """Do a verb and say what holds now.

    Raises:
        InvalidInput: BAD_REQUEST, NOT_FOUND. Unavailable: UNREACHABLE without `up --chaos`.
    """
    network = load_network(home)
    names = tuple(network.node(name).name for name in command.nodes)
    command = msgspec.structs.replace(command, nodes=names)
    if command.verb in LINKS:
        faults = tell(home, command).faults
        return "links: " + ("; ".join(faults) or "no fault")
    if len(names) != 1:
        raise InvalidInput(Code.BAD_REQUEST, f"{command.verb} takes one node")
    cluster, (name,) = Cluster(network), names
    if command.verb in SETTINGS:
        _change(cluster, name, command, kind)
    else:
        _harm(cluster, name, command.verb)
    with EventLog(home / LOG_FILE, appends=True) as log:
        log.write("chaos.commanded", **msgspec.to_builtins(command), kind=kind)
    return f"{command.verb} {name}: done"


def _harm(cluster: Cluster, name: str, verb: str) -> None:
    if verb == "kill":
        cluster.kill(name)
        return
    pid = cluster.network.alive().get(name)
    if pid is None:
        raise InvalidInput(Code.NOT_FOUND, f"{name} does not run", hint=f"andon start {name}")
    match verb:
        case "pause":
            os.kill(pid, signal.SIGSTOP)
        case "resume":
            harm.resume(pid)
        case "worker-hangs":
            harm.hang_worker(pid)
        case "disk-full":
            harm.fill_disk(pid, cluster.home / cluster.network.node(name).home / "data")
        case _:
            raise Misuse(Code.BAD_REQUEST, f"no verb {verb!r}")


def _change(cluster: Cluster, name: str, command: Command, kind: str) -> None:
    """Restart a node under a configuration with one fault more, or with none."""
    home = Home(cluster.home / cluster.network.node(name).home)
    if command.verb == "byzantine":
        if kind not in KINDS:
            raise InvalidInput(Code.BAD_REQUEST, f"byzantine takes one of {', '.join(KINDS)}")
        cluster.stop(name)
        cluster.start(name, ("node.testing.byzantine", kind))
        return
    changes: dict[str, object]
    match command.verb:
        case "worker-lies":
            changes = {"worker_fault": "wrong-output"}
        case "skew":
            changes = {"clock_skew_ms": command.amount}
        case "slow-disk":
            changes = {"storage_delay_ms": command.amount}
        case _:
            changes = dict(harm.HARMLESS)
    config: Config = msgspec.structs.replace(load_config(home), **changes)
    home.config.write_text(render_config(config), encoding="utf-8")
    cluster.stop(name)
    cluster.start(name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.control_chaos", description=__doc__)
    parser.add_argument("verb", choices=(*LINKS, *PROCESSES, *SETTINGS))
    parser.add_argument("nodes", nargs="*")
    parser.add_argument("--home", type=Path, default=Path(".andon"))
    parser.add_argument("--amount", type=int, default=0, help="ms, or per mille for drop")
    parser.add_argument(
        "--for", dest="for_s", type=float, default=0.0, help="seconds, or until heal"
    )
    parser.add_argument("--kind", default="", help="of byzantine: how the node breaks the rules")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
