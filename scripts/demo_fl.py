"""`make demo-fl`: four validators, four plants, one model, no data leaves a plant.

Act 1 sums masked updates; one plant is killed in the middle and comes back. Act 2 trains on under
record-level differential privacy with single updates in the open, so that the rule can outvote the
plant that poisons. Every validator recomputes every aggregate; the result becomes a certified
package, is activated by the validators' attestations and predicts. Plants and the validators'
recomputation run as tasks of this process with their own keys; the four nodes are real processes.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from andon.client.async_client import AsyncClient
from andon.client.federated import CONTRACTS, TrainingLedger, contract_of
from andon.client.models import Models
from andon.client.wallet import load_key_file
from andon.core.block import prediction_id
from andon.core.codec import Value
from andon.core.errors import AndonError
from andon.core.genesis import Genesis, Params, genesis_from_json
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call
from models.federated import privacy
from models.federated.command import DELTA, FINE_BITS
from models.federated.journal import open_journal
from models.federated.plant import Plant
from models.federated.rul import Data, Local
from models.federated.service import Watcher, run_plant, run_validator
from models.federated.strategies import (
    ServerState,
    initial_state,
    model_from_fine,
    model_to_fine,
    state_digest,
    state_from_bytes,
    state_to_bytes,
)
from models.federated.trained import Floats, Trained
from models.federated.validation import validation_to_bytes
from models.package import Description, Package
from node.local_network import Plan
from scripts.cluster import ROOT, Cluster, make_or_load
from scripts.demo_fl_acts import EPSILON, Act, PlantKilledError
from scripts.demo_fl_data import Sites, cmapss_sites, generated_sites

HOME = Path("out") / "demo-fl"
BASE_PORT = 27756
ALIAS = "turbofan-rul"
READY_TIMEOUT_S = 60.0
ACTIVE_TIMEOUT_S = 60.0
DROPPER, POISONER = 3, 2
DROP_ROUND = 3
PREDICTIONS = 30
# A certified integer model differs from its floats by about one cycle.
CONVERSION_MAX = 4.0
PLAIN_STEPS = 60
PRIVATE_STEPS = 10
SAMPLE_RATE = 0.1


@dataclass(slots=True)
class Demo:
    """One demonstration: network, data, keys, and what was measured."""

    cluster: Cluster
    sites: Sites
    genesis: Genesis
    console: Console
    client: AsyncClient
    began: float = field(default_factory=time.monotonic)
    round_s: list[float] = field(default_factory=list)
    spent: int = 0
    is_down: bool = False
    """Whether the dropping plant has been killed; it is killed once."""

    async def run(self) -> bool:
        """All steps; True if everything held."""
        network = self.sites.network
        start = initial_state(model_to_fine(network.initial(0), FINE_BITS))
        self.say(f"data: {self.sites.title}; {network.parameters} parameters")
        self.say(f"model before training: RMSE {self.error(start):.2f} cycles")
        await self.deploy()
        masked = await self.federate(
            Act(
                run="masked",
                mode="full",
                rule="mean",
                rounds=6,
                local=Local(steps=PLAIN_STEPS),
                dropper=DROPPER,
            ),
            start,
        )
        rounds = 6
        steps = rounds * PRIVATE_STEPS
        mechanism = privacy.mechanism_for(EPSILON, DELTA, clip=0.1, rate=SAMPLE_RATE, steps=steps)
        private = await self.federate(
            Act(
                run="private",
                mode="plain",
                rule="trimmed",
                rounds=rounds,
                local=Local(steps=PRIVATE_STEPS, mechanism=mechanism, rate=5e-4),
                poisoner=POISONER,
            ),
            masked,
        )
        self.say(f"median round over the ledger: {float(np.median(self.round_s)):.1f} s")
        return await self.activate(private)

    async def deploy(self) -> None:
        """Deploy the contracts of federated runs."""
        for name in CONTRACTS:
            path = ROOT / "contracts_py" / "library" / f"{name}.py"
            source = path.read_text(encoding="utf-8")
            arguments: dict[str, Value] = {"name": name, "source": source, "args": {}}
            call = make_call("contracts", "deploy", arguments)
            submission = await self.client.submit(call, key=self.account("deployer"))
            submission.require()
        self.say(f"contracts of federated runs deployed: {', '.join(CONTRACTS)}")

    async def federate(self, act: Act, start: ServerState) -> ServerState:
        """Create a run, let plants and validators work, watch until it ends."""
        async with AsyncExitStack() as stack:
            plants = [
                await stack.enter_async_context(self.ledger(self.account("operator", k), k))
                for k in range(len(self.sites.plants))
            ]
            owner = await stack.enter_async_context(self.ledger(self.account("modeler"), 0))
            await self.create(owner, act, start)
            async with asyncio.TaskGroup() as group:
                for k, ledger in enumerate(plants):
                    group.create_task(self.plant(act, ledger, k))
                for k in range(len(self.cluster.nodes)):
                    key = self.validator(k)
                    ledger = await stack.enter_async_context(self.ledger(key, k))
                    group.create_task(run_validator(ledger, act.run, key.public, report=self.quiet))
                await self.watch(act, owner, group, plants)
            await self.show_worth(act, owner)
            value = await owner.state("runs", act.run)
            assert isinstance(value, dict)
            blob = value["blob"]
            assert isinstance(blob, bytes)
            return state_from_bytes(await owner.blob(blob))

    async def create(self, owner: TrainingLedger, act: Act, start: ServerState) -> None:
        """Put the run on the ledger."""
        blob = await owner.publish(state_to_bytes(start))
        members = [self.account("operator", k).public for k in range(len(self.sites.plants))]
        judge = validation_to_bytes(self.sites.network.validation(self.sites.validation))
        blobs = (state_digest(start), blob, await owner.publish(judge))
        arguments = act.arguments(members, self.sites.network.parameters, blobs)
        await owner.send("create", arguments)
        self.say(
            f"run `{act.run}`: mode {act.mode}, rule {act.rule}, {act.rounds} rounds"
            + (f", epsilon at most {EPSILON:g} a plant" if act.local.mechanism else "")
        )

    async def plant(self, act: Act, ledger: TrainingLedger, index: int) -> str:
        """One plant: its own data, key and journal."""
        data: Data = self.sites.plants[index]
        key = self.account("operator", index)
        network = self.sites.network

        def train(weights: Floats, number: int) -> Trained:
            # Training comes after the shares are dealt and before the masked update is sent.
            if index == act.dropper and number == DROP_ROUND and not self.is_down:
                self.is_down = True
                raise PlantKilledError
            trained = network.train(weights, data, act.local)
            if index == act.poisoner:
                return Trained(update=-5 * trained.update, rho=trained.rho)
            return trained

        folder = self.cluster.home / "plants" / f"plant-{index + 1}" / act.run
        try:
            with open_journal(folder) as journal:
                plant = Plant(key.public, journal, train)
                return await run_plant(ledger, act.run, key.public, plant, self.quiet)
        except PlantKilledError:
            return "killed"

    async def watch(
        self,
        act: Act,
        owner: TrainingLedger,
        group: asyncio.TaskGroup,
        plants: list[TrainingLedger],
    ) -> None:
        """Show closed rounds; kill one plant in the middle and start it again."""
        watcher = Watcher(owner, act.run)
        seen, began = 0, time.monotonic()
        is_told = False
        while True:
            plan = await watcher.plan()
            if act.dropper is not None and self.is_down and not is_told:
                is_told = True
                self.say(f"  plant {act.dropper + 1} was killed after it had dealt its shares")
            while seen < plan.round - 1 or (seen < plan.round and plan.status != "RUNNING"):
                seen += 1
                now = time.monotonic()
                self.round_s.append(now - began)
                await self.show_round(act, owner, plan.accounts(), seen)
                began = now
                if self.is_down and act.dropper is not None and seen == DROP_ROUND:
                    ledger = plants[act.dropper]
                    group.create_task(self.plant(act, ledger, act.dropper))
                    self.say(f"  plant {act.dropper + 1} runs again")
            if plan.status != "RUNNING":
                return
            await asyncio.sleep(0.1)

    async def show_round(
        self,
        act: Act,
        owner: TrainingLedger,
        accounts: tuple[bytes, ...],
        number: int,
    ) -> None:
        """One line a round: who, how good, what was flagged, what privacy is left."""
        value = await owner.state("rounds", (act.run, number))
        assert isinstance(value, dict)
        result, frozen = value.get("result"), value["frozen"]
        assert isinstance(frozen, list)
        if not isinstance(result, dict):
            self.say(f"  round {number}: aborted, {value.get('reason')!r}")
            return
        blob = result["blob"]
        assert isinstance(blob, bytes)
        error = self.error(state_from_bytes(await owner.blob(blob)))
        line = f"  round {number}: RMSE {error:6.2f}  updates {len(frozen)}/4"
        line += f"  {self.round_s[-1]:4.1f} s"
        for word, part in (("flagged", "flags"), ("left out", "left_out")):
            if isinstance(names := result[part], list) and names:
                line += f"  {word} " + ", ".join(self.name_of(name) for name in names)
        if act.local.mechanism:
            place = (act.run, number, value["attempt"], accounts[0])
            commit = await owner.state("commits", place)  # type: ignore[arg-type] # an int
            if isinstance(commit, dict) and isinstance(commit["rho"], int):
                self.spent += commit["rho"]
            epsilon = privacy.epsilon_of(self.spent, DELTA, act.local.mechanism.order)
            line += f"  epsilon spent {epsilon:.2f}"
        if not result["kept"]:
            line += "  rolled back by the validation gate"
        self.say(line)

    async def show_worth(self, act: Act, owner: TrainingLedger) -> None:
        """What each plant's updates were worth: Shapley values that all validators computed."""
        if not act.contributions:
            return
        shown = []
        for k in range(len(self.sites.plants)):
            earned = await owner.state("earned", (act.run, self.account("operator", k).public))
            shown.append(f"plant {k + 1} {earned if isinstance(earned, int) else 0:+d}")
        self.say("  Shapley values, thousandths of a cycle: " + ", ".join(shown))

    async def activate(self, state: ServerState) -> bool:
        """Certify, publish, wait for the validators, predict with it on the ledger."""
        network, sites = self.sites.network, self.sites
        weights = model_from_fine(state.model, FINE_BITS)
        lineage = (
            ("recipe", "scripts.demo_fl"),
            ("data", sites.title),
            ("run", "private"),
            ("run.before", "masked"),
            ("state", state_digest(state).hex()),
            ("privacy", f"acts: masked sums without DP, then record-level epsilon {EPSILON:g}"),
        )
        description = Description(
            name="federated-rul", version="1", task="rul", scale_num=1, scale_den=256,
            training=lineage, card="Trained by four plants; lineage names the state of each run.",
        )  # fmt: skip
        package = network.package(weights, sites.quantiser, sites.validation.inputs, description)
        registry = Models(self.client, self.account("modeler"))
        identity = await registry.publish(package.to_blob(), package.manifest)
        await registry.wait_active(identity, ACTIVE_TIMEOUT_S)
        await registry.set_alias(ALIAS, identity)
        adoption: dict[str, Value] = {"run": "private", "model_id": identity}
        call = make_call(contract_of("adopt"), "adopt", adoption)
        (await self.client.submit(call, key=self.account("modeler"))).require()
        self.say(f"model {identity.hex()[:16]} certified, attested and active as {ALIAS}")
        places = np.linspace(0, len(sites.test.lives) - 1, PREDICTIONS).astype(int)
        floats = network.predict(weights, sites.test.inputs[places])
        found = [await self.predict(int(place), package) for place in places]
        truth = sites.test.lives[places]
        gap = _rms(np.array(found) - floats)
        self.say(
            f"{len(found)} committed predictions by the federated model: RMSE "
            f"{_rms(np.array(found) - truth):.2f} (the float model on the same windows: "
            f"{_rms(floats - truth):.2f})"
        )
        before = self.error(initial_state(model_to_fine(network.initial(0), FINE_BITS)))
        return gap < CONVERSION_MAX and self.error(state) < before / 2

    async def predict(self, place: int, package: Package) -> float:
        """One assessment in a transaction; the value that the validators voted on."""
        window = self.sites.test.inputs[place].tobytes()
        call = make_call("maintenance", "assess", {"machine": f"m-{place}", "window": window})
        submission = await self.client.submit(call, key=self.account("operator"))
        submission.require()
        found = await self.client.prediction(prediction_id(submission.hash, 0))
        return float(package.value(found.output[0]))

    def error(self, state: ServerState) -> float:
        """RMSE on the test set, in cycles."""
        found = self.sites.network.predict(
            model_from_fine(state.model, FINE_BITS), self.sites.test.inputs
        )
        return _rms(found - self.sites.test.lives)

    def ledger(self, key: PrivateKey, index: int) -> TrainingLedger:
        """The ledger as one account sees it; its own organisation's node is asked first."""
        urls = self.cluster.urls()
        return TrainingLedger([*urls[index:], *urls[:index]], key, genesis=self.genesis)

    def account(self, role: str, index: int = 0) -> PrivateKey:
        """The key of a role in an organisation."""
        entries = [a for a in self.cluster.network.manifest.accounts if role in a.roles]
        return load_key_file(self.cluster.home / entries[index].key_file)

    def validator(self, index: int) -> PrivateKey:
        """The key of a validator."""
        node = self.cluster.nodes[index]
        return load_key_file(self.cluster.home / node.home / "keys" / "validator.key")

    def name_of(self, account: Value) -> str:
        """Which plant an account is."""
        for k in range(len(self.sites.plants)):
            if self.account("operator", k).public == account:
                return f"plant {k + 1}"
        return "unknown"

    def say(self, text: str) -> None:
        """One line with the seconds since the start."""
        seconds = time.monotonic() - self.began
        self.console.print(
            f"{seconds:7.1f} s  {text}", highlight=False, markup=False, soft_wrap=True
        )

    def quiet(self, text: str) -> None:
        """Reports of plants and validators go to a file."""
        with (self.cluster.home / "federated.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.monotonic() - self.began:.2f} {text}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demonstration; 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo_fl", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the C-MAPSS files")
    parser.add_argument("--home", type=Path, default=HOME, help="made anew by every run")
    parser.add_argument("--port", type=int, default=BASE_PORT)
    options = parser.parse_args(arguments)
    console = Console()
    cluster: Cluster | None = None
    try:
        sites = cmapss_sites(options.data) if options.data else generated_sites()
        params = Params(idle_block_ms=500)
        plan = Plan(home=options.home, base_port=options.port, params=params)
        cluster = make_or_load(plan, reset=True)
        cluster.up()
        seconds = cluster.wait_ready(READY_TIMEOUT_S)
        console.print(f"          four validators ready after {seconds:.1f} s", highlight=False)
        held = asyncio.run(_run(cluster, sites, console))
    except AndonError as error:
        console.print(f"failed: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if cluster is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            cluster.down()
    return 0 if held else 1


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


async def _run(cluster: Cluster, sites: Sites, console: Console) -> bool:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    async with AsyncClient(cluster.urls(), genesis=genesis) as client:
        return await Demo(cluster, sites, genesis, console, client).run()


if __name__ == "__main__":
    sys.exit(main())
