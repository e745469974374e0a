"""The links of a local network as a process: every connection between nodes passes through here.

`python -m node.testing.chaos.router --home DIR` puts a proxy on each link of a prepared network,
writes its address into the configuration of the dialling node, and takes commands on a Unix socket:
one JSON line in (`Command`), one out (`Answer`). `andon up --chaos` starts it, `andon chaos` talks
to it. What was done when stands in DIR/chaos.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from node.config import Home, load_config, render_config
from node.local_network import LOOPBACK, MANIFEST_FILE, Manifest, NodeEntry
from node.testing.chaos.links import shape
from node.testing.chaos.log import EventLog
from node.testing.chaos.plan import FAULTS_MAX, LINK_VERBS, Fault, Verb
from node.testing.proxy import Proxy

SOCKET_FILE, PID_FILE, LOG_FILE = "chaos.sock", "chaos.pid", "chaos.jsonl"
NODES_MAX = 16
PORTS_ABOVE = 2000
"""Proxies listen so far above the first peer port: stable, so that a node may be restarted."""
LINE_BYTES_MAX = 64 * 1024
TIMEOUT_S = 5.0


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`heal` ends all faults; any other verb adds one, for `for_ms` or until healed."""

    verb: str
    nodes: tuple[str, ...] = ()
    amount: int = 0
    for_ms: int = 0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`error` is empty if it was done; `faults` is what acts on the links now."""

    error: str = ""
    faults: tuple[str, ...] = ()


class Router:
    """The proxies of one network and the faults on them."""

    def __init__(self, home: Path, manifest: Manifest, log: EventLog) -> None:
        if len(manifest.nodes) > NODES_MAX:
            raise InvalidInput(Code.BAD_CONFIG, f"chaos works for up to {NODES_MAX} nodes")
        self._home = home
        self._nodes = manifest.nodes
        self._names = {node.name for node in manifest.nodes}
        self._log = log
        self._links: dict[tuple[str, str], Proxy] = {}
        self._faults: list[Fault] = []

    async def start(self) -> None:
        """Listen for every link and tell the nodes where, by their configurations."""
        for source in self._nodes:
            addresses: dict[str, str] = {}
            for target in self._nodes:
                if source.name != target.name:
                    proxy = Proxy(LOOPBACK, _peer_port(target))
                    await proxy.start(link_port(self._nodes, source, target))
                    self._links[source.name, target.name] = proxy
                    addresses[target.node_key] = f"{LOOPBACK}:{proxy.port}"
            configure(self._home, source, addresses)

    async def stop(self) -> None:
        """Stop listening and let nodes dial each other directly from their next start."""
        for proxy in self._links.values():
            await proxy.stop()
        for node in self._nodes:
            configure(self._home, node, {})

    def obey(self, command: Command) -> Answer:
        """Do a command at once.

        Raises:
            InvalidInput: BAD_REQUEST with what is wrong.
        """
        if command.verb == "heal":
            self._faults.clear()
            for proxy in self._links.values():
                proxy.delay_ms = proxy.reset_per_mille = 0
        else:
            fault = self._fault(command)
            self._faults.append(fault)
            if command.for_ms:
                loop = asyncio.get_running_loop()
                loop.call_later(command.for_ms / 1000, self._end, fault)
        shape(self._links, self._faults)
        self._log.write("chaos.commanded", **msgspec.to_builtins(command))
        return Answer(faults=tuple(self._said(fault) for fault in self._faults))

    def _fault(self, command: Command) -> Fault:
        try:
            verb = Verb(command.verb)
        except ValueError:
            raise InvalidInput(Code.BAD_REQUEST, f"no verb {command.verb!r}") from None
        unknown = sorted(set(command.nodes) - self._names)
        if verb not in LINK_VERBS or not command.nodes or unknown:
            raise InvalidInput(
                Code.BAD_REQUEST,
                f"{command.verb} needs nodes of this network, not {unknown or 'none'}",
                hint=f"nodes: {', '.join(sorted(self._names))}",
            )
        if verb is Verb.ONE_WAY and len(command.nodes) != 2:
            raise InvalidInput(Code.BAD_REQUEST, "one-way names two nodes")
        if verb in (Verb.DELAY, Verb.DROP) and not 0 < command.amount <= 60_000:
            raise InvalidInput(Code.BAD_REQUEST, f"{command.verb} needs an amount")
        if command.for_ms < 0 or len(self._faults) >= FAULTS_MAX:
            raise InvalidInput(Code.TOO_MANY, f"at most {FAULTS_MAX} faults, for a positive time")
        return Fault(
            verb=verb, at_ms=0, until_ms=command.for_ms, nodes=command.nodes, amount=command.amount
        )

    def _end(self, fault: Fault) -> None:
        if fault in self._faults:  # a heal may have been faster
            self._faults.remove(fault)
            shape(self._links, self._faults)
            self._log.write("chaos.ended", fault=self._said(fault))

    def _said(self, fault: Fault) -> str:
        amount = f" {fault.amount}" if fault.amount else ""
        return f"{fault.verb.value}{amount} {' '.join(fault.nodes)}"


def configure(home: Path, node: NodeEntry, addresses: dict[str, str]) -> None:
    """Write the addresses at which a node finds its peers; it reads them when it starts."""
    place = Home(home / node.home)
    config = msgspec.structs.replace(load_config(place), peer_addresses=addresses)
    place.config.write_text(render_config(config), encoding="utf-8")


def link_port(nodes: list[NodeEntry], source: NodeEntry, target: NodeEntry) -> int:
    """Port of the proxy on one link."""
    names = [node.name for node in nodes]
    place = len(nodes) * names.index(source.name) + names.index(target.name)
    return min(_peer_port(node) for node in nodes) + PORTS_ABOVE + place


def tell(home: Path, command: Command) -> Answer:
    """Give the router of a network a command and wait for its answer. Blocking.

    Raises:
        Unavailable: UNREACHABLE if no router runs.
        InvalidInput: BAD_REQUEST if it refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_S)
            connection.connect(str(home / SOCKET_FILE))
            connection.sendall(msgspec.json.encode(command) + b"\n")
            with connection.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(LINE_BYTES_MAX), type=Answer)
    except (OSError, msgspec.MsgspecError) as error:
        raise Unavailable(
            Code.UNREACHABLE,
            f"nothing stands between the nodes of {home}: {error}",
            hint="start the network with `andon up --chaos`",
        ) from None
    if answer.error:
        raise InvalidInput(Code.BAD_REQUEST, answer.error)
    return answer


async def serve(home: Path) -> None:
    """Run the router of a network until cancelled."""
    manifest = msgspec.json.decode((home / MANIFEST_FILE).read_bytes(), type=Manifest)
    with EventLog(home / LOG_FILE, appends=True) as log:
        router = Router(home, manifest, log)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    line = await reader.readline()
                answer = router.obey(msgspec.json.decode(line, type=Command))
            except (AndonError, msgspec.MsgspecError, ValueError, TimeoutError) as error:
                answer = Answer(error=str(error))
            with contextlib.suppress(OSError):
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
            writer.close()

        path = home / SOCKET_FILE
        path.unlink(missing_ok=True)
        await router.start()
        server = await asyncio.start_unix_server(talk, path, limit=LINE_BYTES_MAX)
        (home / PID_FILE).write_text(f"{os.getpid()}\n")
        try:
            async with server:
                await asyncio.Event().wait()
        finally:
            await router.stop()
            path.unlink(missing_ok=True)
            (home / PID_FILE).unlink(missing_ok=True)


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    home = parser.parse_args().home.resolve()

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio.run makes one"
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        await serve(home)

    try:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run())
    except (AndonError, OSError) as error:
        print(f"andon chaos: {error}", file=sys.stderr)  # noqa: T201 - its only voice
        return 1
    return 0


def _peer_port(node: NodeEntry) -> int:
    return int(node.peer.rpartition(":")[2])


if __name__ == "__main__":
    sys.exit(main())
