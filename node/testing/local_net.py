"""A network of real node processes: `async with LocalNet(validators=4, seed=1) as net`.

Nodes reach each other through chaos proxies, one a direction and pair, so that partitions, delays
and cuts need no root. Processes are started from this checkout and die with the block.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from andon.client import AsyncClient
from andon.core.errors import Code, Unavailable
from andon.core.genesis import Params, genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.rpc_schema import StatusReply
from node.checkout import CHECKOUT
from node.config import Config, Home, load_config, render_config
from node.keystore import load_key
from node.local_network import LOOPBACK, Manifest, NodeEntry, Plan, prepare
from node.testing import harm
from node.testing.proxy import Mode, Proxy

START_S = 180.0
"""An overloaded machine takes long; a node that ended instead is noticed at once."""
STOP_S = 10.0
POLL_S = 0.05
NODE = ("node",)
_PORTS = range(20_000, 30_000)
"""These and the links' proxies, 2,000 above, stay below 32,768: there the system gives ports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetPlan:
    """What to start. `faults` gives a worker fault by node name."""

    home: Path
    validators: int = 4
    observers: int = 0
    seed: int = 1
    worker_backend: str = "none"
    params: Params = field(default_factory=lambda: Params(idle_block_ms=200))
    faults: dict[str, str] = field(default_factory=dict)
    log_level: str = "debug"


class LocalNet:
    """A running network; methods name nodes as the manifest does (`node-1`, …)."""

    def __init__(
        self,
        plan: NetPlan | None = None,
        *,
        validators: int = 4,
        observers: int = 0,
        seed: int = 1,
        worker_backend: str = "none",
    ) -> None:
        """Prepare nothing yet. Without a plan its folder is made and removed with the block."""
        self._owns_home = plan is None
        if plan is None:
            plan = NetPlan(
                home=Path(tempfile.gettempdir()) / f"andon-net-{secrets.token_hex(8)}",
                validators=validators,
                observers=observers,
                seed=seed,
                worker_backend=worker_backend,
            )
        self.plan = plan
        self.manifest: Manifest
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._proxies: dict[tuple[str, str], Proxy] = {}

    async def __aenter__(self) -> Self:
        plan = self.plan
        self.manifest = prepare(
            Plan(
                home=plan.home,
                validators=plan.validators,
                observers=plan.observers,
                base_port=free_ports(2 * (plan.validators + plan.observers), plan.seed),
                chain_id=f"test-{plan.seed}",
                seed=plan.seed,
                worker_backend=plan.worker_backend,
                params=plan.params,
                log_level=plan.log_level,
            )
        )
        await self._put_proxies_between()
        try:
            await asyncio.gather(*(self.start(name) for name in self.names))
            await self.wait(self._has_started, START_S)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self.stop(name) for name in self.names))
        for proxy in self._proxies.values():
            await proxy.stop()
        if self._owns_home:
            await asyncio.to_thread(shutil.rmtree, self.plan.home)

    def _has_started(self, statuses: dict[str, StatusReply]) -> bool:
        ended = [name for name in self.names if not self.is_alive(name)]
        if ended:
            logs = self.home(ended[0]).logs
            said = (logs / "stderr.log").read_text(encoding="utf-8", errors="replace")
            raise Unavailable(
                Code.NOT_READY, f"{ended[0]} ended while it started: {said[-500:]}", hint=str(logs)
            )
        return len(statuses) == len(self.names)

    # -- names ----------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of all nodes."""
        return [node.name for node in self.manifest.nodes]

    def node(self, name: str) -> NodeEntry:
        """The manifest's entry."""
        return next(node for node in self.manifest.nodes if node.name == name)

    def home(self, name: str) -> Home:
        """A node's files."""
        return Home(self.plan.home / self.node(name).home)

    def key(self, account: str) -> PrivateKey:
        """The private key of a member account, such as `org-1-operator`."""
        entry = next(item for item in self.manifest.accounts if item.name == account)
        return load_key(self.plan.home / entry.key_file)

    def client(self, *names: str, account: str = "") -> AsyncClient:
        """A client of the named nodes (all if none is named) that signs for an account."""
        return AsyncClient(
            [self.node(name).rpc for name in names or self.names],
            genesis=genesis_from_json((self.plan.home / "genesis.json").read_bytes()),
            key=self.key(account) if account else None,
        )

    # -- processes ------------------------------------------------------------------------

    async def start(self, name: str, module: Sequence[str] = NODE) -> None:
        """Start a node's process; returns before it is ready.

        `module`, with arguments, may be another node: `node.testing.byzantine`.
        """
        home = self.home(name)
        with (home.logs / "stderr.log").open("ab") as output:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *module,
                "--home",
                str(home.path),
                cwd=CHECKOUT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    async def kill(self, name: str) -> None:
        """End it with SIGKILL."""
        await self._signal(name, signal.SIGKILL)

    async def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL if that does not help in time."""
        await self._signal(name, signal.SIGTERM)

    async def restart(self, name: str, **changes: object) -> None:
        """Stop it if it runs, change settings (`clock_skew_ms`, `storage_delay_ms`), start it."""
        await self.stop(name)
        self.reconfigure(name, **changes)
        await self.start(name)

    async def corrupt(self, name: str, kind: str) -> None:
        """Start it again as a node that breaks the rules of consensus: see `Kind`."""
        await self.stop(name)
        await self.start(name, ("node.testing.byzantine", kind))

    def pause(self, name: str) -> None:
        """Stop its clock (SIGSTOP): it answers nobody but keeps its connections."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused process and a hanging worker go on."""
        harm.resume(self._processes[name].pid)

    def hang_worker(self, name: str) -> None:
        """Stop the clock of its model worker."""
        harm.hang_worker(self._processes[name].pid)

    def fill_disk(self, name: str) -> None:
        """Let none of its files grow; the limit ends with the process."""
        harm.fill_disk(self._processes[name].pid, self.home(name).data)

    async def _signal(self, name: str, number: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a paused process would not hear SIGTERM
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def wait_ended(self, timeout_s: float) -> None:
        """Wait until every process has ended by itself."""
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*(process.wait() for process in self._processes.values()))

    def is_alive(self, name: str) -> bool:
        """Tell whether the node's process runs."""
        process = self._processes.get(name)
        return process is not None and process.returncode is None

    def pid(self, name: str) -> int:
        """The number of the node's process."""
        return self._processes[name].pid

    # -- looking --------------------------------------------------------------------------

    async def statuses(self, names: Collection[str] = ()) -> dict[str, StatusReply]:
        """Status of every named node that answers."""

        async def ask(name: str) -> tuple[str, StatusReply | None]:
            async with AsyncClient(self.node(name).rpc, timeout_ms=2000) as client:
                try:
                    return name, await client.status()
                except Unavailable:
                    return name, None

        found = await asyncio.gather(*(ask(name) for name in names or self.names))
        return {name: status for name, status in found if status is not None}

    async def wait(
        self,
        condition: Callable[[dict[str, StatusReply]], bool],
        timeout_s: float,
        names: Collection[str] = (),
    ) -> dict[str, StatusReply]:
        """Poll statuses until a condition holds.

        Raises:
            Unavailable: CONFIRMATION_TIMEOUT with the last heights seen.
        """
        watched = list(names)
        deadline = time.monotonic() + timeout_s
        while True:
            statuses = await self.statuses(watched)
            if condition(statuses):
                return statuses
            if time.monotonic() > deadline:
                heights = {name: status.height for name, status in statuses.items()}
                raise Unavailable(
                    Code.CONFIRMATION_TIMEOUT,
                    f"condition not met in {timeout_s} s; heights {heights}",
                    hint=f"logs lie in {self.plan.home}",
                )
            await asyncio.sleep(POLL_S)

    async def wait_height(self, height: int, timeout_s: float, names: Collection[str] = ()) -> None:
        """Wait until all named nodes have reached a height."""
        watched = list(names) or self.names
        await self.wait(
            lambda statuses: (
                len(statuses) == len(watched)
                and all(int(status.height) >= height for status in statuses.values())
            ),
            timeout_s,
            watched,
        )

    async def height(self) -> int:
        """The greatest height of any node."""
        statuses = await self.statuses()
        return max((int(status.height) for status in statuses.values()), default=0)

    # -- faults ---------------------------------------------------------------------------

    @property
    def links(self) -> Mapping[tuple[str, str], Proxy]:
        """The proxies by (dialling node, dialled node)."""
        return self._proxies

    def partition(self, *groups: Collection[str], mode: Mode = Mode.CUT) -> None:
        """Cut every link between nodes of different groups."""
        group_of = {name: index for index, group in enumerate(groups) for name in group}
        for (source, target), proxy in self._proxies.items():
            if group_of.get(source) != group_of.get(target):
                proxy.set_mode(mode)

    def heal(self) -> None:
        """Let all bytes pass again."""
        for proxy in self._proxies.values():
            proxy.set_mode(Mode.PASS)
            proxy.delay_ms = proxy.reset_per_mille = 0

    def delay(self, delay_ms: int) -> None:
        """Slow every link in each direction."""
        for proxy in self._proxies.values():
            proxy.delay_ms = delay_ms

    async def _put_proxies_between(self) -> None:
        for source in self.manifest.nodes:
            addresses: dict[str, str] = {}
            for target in self.manifest.nodes:
                if source is target:
                    continue
                port = int(target.peer.rpartition(":")[2])
                proxy = Proxy(LOOPBACK, port)
                await proxy.start()
                self._proxies[source.name, target.name] = proxy
                addresses[target.node_key] = f"{LOOPBACK}:{proxy.port}"
            self.reconfigure(
                source.name,
                peer_addresses=addresses,
                worker_fault=self.plan.faults.get(source.name, "none"),
            )

    def reconfigure(self, name: str, **changes: object) -> None:
        """Change settings of a node; they count from its next start."""
        home = self.home(name)
        config: Config = msgspec.structs.replace(load_config(home), **changes)
        home.config.write_text(render_config(config), encoding="utf-8")


def free_ports(count: int, seed: int) -> int:
    """Find `count` neighbouring free ports on loopback."""
    draw = random.Random(f"{seed} {time.monotonic_ns()}")  # noqa: S311 - no secret
    for _ in range(100):
        base = draw.choice(_PORTS)
        if all(_is_free(port) for port in range(base, base + count)):
            return base
    raise Unavailable(Code.PORT_IN_USE, f"found no {count} neighbouring free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
