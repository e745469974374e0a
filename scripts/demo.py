"""The main job, live: four validators, one contract, one model, votes on every prediction.

`make demo` runs it on generated data; `make demo DATA=../shared/data/cmapss` on NASA C-MAPSS FD001,
where it ends with RMSE and NASA score of the committed predictions. Steps: start four validator
processes, deploy the maintenance contract over RPC, publish and activate the model, stream windows
as signed transactions, kill one validator, restart it, verify a proof offline.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from andon.client.async_client import AsyncClient
from andon.client.models import Models
from andon.client.results import Prediction, Submission
from andon.client.wallet import load_key_file
from andon.core.block import prediction_id
from andon.core.codec import Dec, Value
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.genesis import Params, genesis_from_json
from andon.core.json_value import dec_to_text
from andon.core.keys import PrivateKey
from andon.core.proof import encode_bundle
from andon.core.transaction import make_call
from node.local_network import Plan
from scripts.cluster import ROOT, Cluster, make_or_load
from scripts.demo_data import Feed, Reading, cmapss_feed, generated_feed, metrics
from scripts.demo_view import Row, View

HOME = Path("out") / "demo"
BASE_PORT = 27656
CONTRACT = "line_one"
ALIAS = "turbofan-rul"
READY_TIMEOUT_S = 60.0
ACTIVE_TIMEOUT_S = 60.0
SUBMIT_TIMEOUT_MS = 30_000
CATCH_UP_TIMEOUT_S = 30.0
ROUND_PAUSE_S = 0.4
ALERTS = ("Alert", "WorkOrder")
RMSE_MAX = 13.5
"""The acceptance bound on C-MAPSS FD001 with capped test labels."""


@dataclass(slots=True)
class Demo:
    """One run: its cluster, client, view and what was committed so far."""

    cluster: Cluster
    feed: Feed
    view: View
    client: AsyncClient
    predicted: list[float] = field(default_factory=list)
    actual: list[float] = field(default_factory=list)
    last: Prediction | None = None
    fresh: list[tuple[Row, bytes]] = field(default_factory=list)
    """Rows of the last round, whose votes are counted again in the next."""

    def key(self, role: str) -> PrivateKey:
        """Key of the first account with that role."""
        network = self.cluster.network
        return load_key_file(network.home / network.account(role).key_file)

    async def run(self) -> None:
        """All steps in order."""
        await self.publish_model()
        await self.deploy()
        rounds = self.feed.rounds
        outage = max(1, len(rounds) // 2)
        self.view.step(f"streaming {self.feed.title} as signed transactions")
        for readings in rounds[:outage]:
            await self.commit_round(readings)
        await self.without_one_validator(rounds[outage : outage + 2])
        for readings in rounds[outage + 2 :]:
            await self.commit_round(readings)
        await self.commit_round(())
        if self.last is not None:
            self.last = await self.client.prediction(self.last.id)

    async def publish_model(self) -> None:
        """Blob to one node, proposal on chain, wait for the validators' attestations, alias."""
        package = self.feed.package
        blob = package.to_blob()
        name = f"{package.manifest.name} {package.manifest.version}"
        self.view.step(f"publishing model {name} ({len(blob) // 1024} KiB)")
        registry = Models(self.client, self.key("modeler"))
        identity = await registry.publish(blob, package.manifest)
        self.view.step("validators fetch it, run its golden vectors and attest")
        await registry.wait_active(identity, ACTIVE_TIMEOUT_S)
        await registry.set_alias(ALIAS, identity)
        self.view.step(f"model {identity.hex()[:16]} is active, alias {ALIAS}")

    async def deploy(self) -> None:
        """Deploy the maintenance contract over RPC."""
        source = (ROOT / "contracts_py" / "library" / "maintenance.py").read_text(encoding="utf-8")
        arguments: Value = {"model": ALIAS}
        call = make_call(
            "contracts", "deploy", {"name": CONTRACT, "source": source, "args": arguments}
        )
        submission = await self.client.submit(
            call, key=self.key("deployer"), timeout_ms=SUBMIT_TIMEOUT_MS
        )
        submission.require()
        self.view.step(f"contract {CONTRACT} deployed at height {submission.height}")

    async def commit_round(self, readings: Sequence[Reading]) -> None:
        """Submit a round at once and show what was committed."""
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                for reading in readings:
                    group.create_task(self.commit(reading))
                for row, identity in self.fresh:
                    group.create_task(self.count_votes(row, identity))
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        self.fresh = self.fresh[len(self.fresh) - len(readings) :]
        await asyncio.sleep(max(0.0, ROUND_PAUSE_S - (time.monotonic() - began)))

    async def commit(self, reading: Reading) -> None:
        """Submit one window, wait until it is final, fetch its prediction with proof."""
        began = time.monotonic()
        call = make_call(CONTRACT, "assess", {"machine": reading.machine, "window": reading.window})
        submission = await self.client.submit(
            call, key=self.key("operator"), timeout_ms=SUBMIT_TIMEOUT_MS
        )
        latency_ms = int((time.monotonic() - began) * 1000)
        submission.require()
        prediction = await self.client.prediction(prediction_id(submission.hash, 0))
        value = self.feed.package.value(prediction.output[0])
        self.predicted.append(value)
        self.actual.append(reading.truth)
        self.last = prediction
        row = Row(
            machine=reading.machine,
            cycle=reading.cycle,
            rul=value,
            truth=reading.truth,
            votes=prediction.votes,
            validators=prediction.validators,
            height=prediction.height,
            latency_ms=latency_ms,
        )
        self.fresh.append((row, prediction.id))
        self.view.add(row)
        self.show_alerts(submission)

    async def count_votes(self, row: Row, identity: bytes) -> None:
        """Count again a block later: the child carries the Notar certificate with more voters."""
        prediction = await self.client.prediction(identity)
        self.view.update(replace(row, votes=prediction.votes))

    def show_alerts(self, submission: Submission) -> None:
        """Show the events that the contract raised."""
        if submission.outcome is None:
            return
        for event in submission.outcome.events:
            if event.name not in ALERTS:
                continue
            fields = "  ".join(f"{name} {_plain(value)}" for name, value in event.fields.items())
            self.view.alert(f"height {event.height}: {event.name}  {fields}")

    async def without_one_validator(self, rounds: Sequence[Sequence[Reading]]) -> None:
        """Kill one validator, go on without it, restart it and wait until it has caught up."""
        victim = self.cluster.nodes[-1]
        await asyncio.to_thread(self.cluster.kill, victim.name)
        self.view.step(f"killed {victim.name} (SIGKILL); three of four go on")
        for readings in rounds:
            await self.commit_round(readings)
        height = int((await self.client.status()).height)
        self.view.step(f"restarting {victim.name}; the chain is at height {height}")
        began = time.monotonic()
        await asyncio.to_thread(self.cluster.start, victim.name)
        await self.caught_up(victim.rpc, height)
        self.view.step(
            f"{victim.name} caught up to height {height} in {time.monotonic() - began:.1f} s"
        )

    async def caught_up(self, url: str, height: int) -> None:
        """Wait until one node has reached a height.

        Raises:
            Unavailable: what the node said last, if it does not in time.
        """
        deadline = time.monotonic() + CATCH_UP_TIMEOUT_S
        async with AsyncClient(url, timeout_ms=2000) as client:
            while True:
                try:
                    if int((await client.status()).height) >= height:
                        return
                except Unavailable:
                    if time.monotonic() > deadline:
                        raise
                if time.monotonic() > deadline:
                    raise Unavailable(Code.SYNCING, f"{url} did not reach height {height} in time")
                await asyncio.sleep(0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if everything held, 1 if not, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    cluster: Cluster | None = None
    try:
        feed = cmapss_feed(options.data) if options.data else generated_feed()
        with View(console) as view:
            view.step(f"preparing four validators in {options.home}, ports from {options.port}")
            plan = Plan(home=options.home, base_port=options.port, params=Params(idle_block_ms=500))
            cluster = make_or_load(plan, reset=True)
            cluster.up()
            seconds = cluster.wait_ready(READY_TIMEOUT_S)
            view.step(f"four validators ready after {seconds:.1f} s")
            demo = asyncio.run(_run(cluster, feed, view))
            is_right = verify_offline(demo) and report(demo)
        console.print(pieces(cluster, keep=options.keep), highlight=False, soft_wrap=True)
    except AndonError as error:
        console.print(f"failed: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nstopping …")
        return 130
    finally:
        if cluster is not None and not options.keep:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            cluster.down()
    return 0 if is_right else 1


async def _run(cluster: Cluster, feed: Feed, view: View) -> Demo:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    # The last node will be killed; the client would fail over, but its latency would suffer.
    async with AsyncClient(cluster.urls()[:-1], genesis=genesis) as client:
        demo = Demo(cluster, feed, view, client)
        await demo.run()
        return demo


def verify_offline(demo: Demo) -> bool:
    """Write the last prediction's proof and check it in a process that knows the genesis alone."""
    if demo.last is None or demo.last.proof is None:
        return False
    path = demo.cluster.home / "prediction.proof"
    path.write_bytes(encode_bundle(demo.last.proof))
    genesis = demo.cluster.home / "genesis.json"
    command = ["-m", "andon.cli.main", "verify", str(path), "--genesis", str(genesis)]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    demo.view.step(f"andon verify {path} --genesis {genesis}   (offline: exit {done.returncode})")
    for line in (done.stdout or done.stderr).splitlines():
        demo.view.console.print(" " * 9 + line, highlight=False, markup=False, soft_wrap=True)
    return done.returncode == 0


def report(demo: Demo) -> bool:
    """Print the metrics of the committed predictions; False if they miss the acceptance bound."""
    rmse, score = metrics(demo.predicted, demo.actual)
    demo.view.step(
        f"{len(demo.predicted)} committed predictions: RMSE {rmse:.2f} cycles, NASA score "
        f"{score:.0f} ({demo.feed.convention})"
    )
    counts = ", ".join(f"{count} with {n}/4" for n, count in sorted(demo.view.votes.items()))
    demo.view.step(f"votes counted a block later: {counts}")
    return rmse <= RMSE_MAX


def pieces(cluster: Cluster, *, keep: bool) -> str:
    """Where everything is."""
    first = cluster.nodes[0]
    state = "runs on" if keep else f"is stopped; go on with: andon --home {cluster.home} up"
    if not keep:
        state += f" --base-port {first.peer.rsplit(':', 1)[1]}"
    return "\n".join(
        (
            f"  RPC       {first.rpc}/rpc   (REST {first.rpc}/v1/status, metrics /metrics)",
            f"  events    {first.rpc}/v1/events?cursor=0-0-0",
            f"  logs      {cluster.log_path(first.name)} and its siblings",
            f"  data      {cluster.home / first.home / 'data'} and its siblings",
            f"  genesis   {cluster.home / 'genesis.json'}",
            f"  the network {state}",
        )
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = errors.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _plain(value: Value) -> str:
    return dec_to_text(value) if isinstance(value, Dec) else str(value)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.demo", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the C-MAPSS files")
    parser.add_argument("--home", type=Path, default=HOME, help="made anew by every run")
    parser.add_argument("--port", type=int, default=BASE_PORT)
    parser.add_argument("--keep", action="store_true", help="leave the network running")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
