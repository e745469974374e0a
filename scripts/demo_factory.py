"""A two-tier supply network of four organisations: machine, gears, recall, parts, labels, proofs.

`make demo-factory` runs it on generated data; `make demo-factory DATA=../shared/data` on C-MAPSS,
NEU, carparts and Liveline. Sensor messages go through Mosquitto and the gateway if Mosquitto is
installed. It ends with the story, and with a passport and a prediction checked offline.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from andon.client.async_client import AsyncClient
from andon.core.errors import AndonError
from andon.core.genesis import Params, genesis_from_json
from models.environment import prepare_environment
from node.local_network import Plan
from scripts.cluster import Cluster, make_or_load
from scripts.demo import _first
from scripts.demo_factory_acts import Story
from scripts.demo_factory_data import FactoryData, generated, real
from scripts.demo_factory_plant import TITLES, Plant
from scripts.demo_view import View

HOME = Path("out") / "demo-factory"
BASE_PORT = 27856
READY_TIMEOUT_S = 90.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if everything held, 1 if not, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m scripts.demo_factory", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--home", type=Path, default=HOME, help="made anew by every run")
    parser.add_argument("--port", type=int, default=BASE_PORT)
    parser.add_argument("--keep", action="store_true", help="leave the network running")
    options = parser.parse_args(arguments)
    # Before the first JAX call: without the flags, even training meets wrong sums.
    prepare_environment("cpu")
    console = Console()
    cluster: Cluster | None = None
    try:
        data = real(options.data) if options.data else generated()
        with View(console) as view:
            names = ", ".join(f"{org} {title}" for org, title in TITLES.items())
            view.step(f"preparing four validators in {options.home}: {names}")
            plan = Plan(home=options.home, base_port=options.port, params=Params(idle_block_ms=500))
            cluster = make_or_load(plan, reset=True)
            cluster.up()
            cluster.wait_ready(READY_TIMEOUT_S)
            story = asyncio.run(_play(cluster, view, data))
            is_right = check_offline(story, console)
        console.print("\nThe story:", style="bold")
        for number, line in enumerate(story.lines, start=1):
            console.print(f" {number:>2}. {line}", highlight=False, markup=False, soft_wrap=True)
        console.print(f" {story.plant.transactions} transactions; every step is on the chain")
        if options.keep:
            console.print(f" explorer: {cluster.urls()[0]}/   (the network goes on)")
            console.print(f" to end it: andon --home {options.home} down", markup=False)
    except (AndonError, BaseExceptionGroup) as error:
        shown = _first(error) if isinstance(error, BaseExceptionGroup) else error
        console.print(f"failed: {shown}", style="bold red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if cluster is not None and not options.keep:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            cluster.down()
    return 0 if is_right else 1


async def _play(cluster: Cluster, view: View, data: FactoryData) -> Story:
    genesis = genesis_from_json((cluster.home / "genesis.json").read_bytes())
    async with AsyncClient(cluster.urls(), genesis=genesis) as client:
        story = Story(Plant(cluster, client, view), data, cluster.home)
        for act in (
            story.found,
            story.stock,
            story.watch,
            story.produce,
            story.trace,
            story.learn,
            story.certify,
        ):
            await act()
        return story


def check_offline(story: Story, console: Console) -> bool:
    """Check the buyer's passport in a process that knows the code and the genesis alone."""
    command = [
        sys.executable, "-m", "scripts.check_passport", str(story.passport),
        "--code", story.code, "--genesis", str(story.home / "genesis.json"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd())
    story.tell(f"offline check of the passport of motor M3: exit {done.returncode}")
    for line in (done.stdout or done.stderr).splitlines():
        console.print(" " * 9 + line, highlight=False, markup=False, soft_wrap=True)
    return verify_judgement(story, console) and done.returncode == 0


def verify_judgement(story: Story, console: Console) -> bool:
    """Check the last inspection's prediction with `andon verify`, which knows the genesis alone."""
    words = ["verify", str(story.judgement), "--genesis", str(story.home / "genesis.json")]
    command = [sys.executable, "-m", "andon.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path.cwd())
    story.tell(f"andon {' '.join(words)}: exit {done.returncode}")
    for line in (done.stdout or done.stderr).splitlines():
        console.print(" " * 9 + line, highlight=False, markup=False, soft_wrap=True)
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
