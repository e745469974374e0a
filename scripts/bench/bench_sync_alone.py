"""How fast a node fetches a chain when nothing else runs: both ways of `sync_verify`.

A validator serves a generated chain, ANDON_BENCH_BLOCKS (300) blocks with a window of readings of
each of ANDON_BENCH_MACHINES (200) machines; an observer begins with an empty chain and fetches all
of it. Told are transactions a second and the processor time of both, which other work on the
machine changes little. `bench_sync` does it under load.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import msgspec

from andon.cli.network import load_network
from node.config import CONFIG_FILE, SYNC_VERIFY, Home
from node.home import open_home
from node.keystore import VALIDATOR_KEY, load_key
from node.local_network import Plan, prepare
from node.testing.vitals import NODE
from scripts.bench.generated_store import NODE as SERVER
from scripts.bench.generated_store import SEED, GeneratedChain
from scripts.bench.usage import measure
from scripts.cluster import Cluster

BLOCKS = int(os.environ.get("ANDON_BENCH_BLOCKS", "300"))
MACHINES = int(os.environ.get("ANDON_BENCH_MACHINES", "200"))
BATCH_BLOCKS = 20
PORT = 32_056
LATE = "observer-1"
LATE_S_MAX = 300.0
POLL_S = 0.05
CHAIN = "data/chain"


@dataclass(frozen=True, slots=True)
class Fetched:
    """From the first answer of the late node until it held the chain."""

    transactions: int
    seconds: float
    cpu_s: float
    serving_cpu_s: float


def main() -> None:
    """Make the chain and print a line a way."""
    with tempfile.TemporaryDirectory(prefix="andon-sync-") as folder:
        home = Path(folder) / "net"
        plan = Plan(
            home=home, validators=1, observers=1, base_port=PORT, seed=SEED, worker_backend="none"
        )
        prepare(plan)
        transactions = _fill(home)
        cluster = Cluster(load_network(home))
        try:
            cluster.start(SERVER)
            _wait_height(cluster, SERVER, BLOCKS)
            each = {way: _fetch(cluster, way, transactions) for way in SYNC_VERIFY}
        finally:
            cluster.down()
    for way, found in each.items():
        cpu_us, serving_us = (1e6 * s / transactions for s in (found.cpu_s, found.serving_cpu_s))
        print(
            f"  {way}: {BLOCKS} blocks, {transactions} transactions in {found.seconds:.1f} s, "
            f"{transactions / found.seconds:.0f} tx/s; processor time a transaction "
            f"{cpu_us:.0f} us, of who serves {serving_us:.0f} us",
            flush=True,
        )


def _fill(home: Path) -> int:
    transactions = 0
    with open_home(home / SERVER) as opened:
        key = load_key(Home(home / SERVER).keys / VALIDATOR_KEY)
        chain = GeneratedChain(home, opened.store, key, MACHINES)
        assert opened.signer is not None, "the home of a validator"
        for start in range(0, BLOCKS, BATCH_BLOCKS):
            made = [chain.extend(1) for _ in range(min(BATCH_BLOCKS, BLOCKS - start))]
            opened.signer.advance(chain.parent.header.epoch, chain.parent.header.slot)
            opened.store.append(made)
            transactions += sum(len(item.block.transactions) for item in made)
    return transactions


def _fetch(cluster: Cluster, way: str, transactions: int) -> Fetched:
    home = cluster.home / LATE
    shutil.rmtree(home / CHAIN, ignore_errors=True)
    config = home / CONFIG_FILE
    lines = config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("sync_verify")]
    config.write_text("\n".join([f'sync_verify = "{way}"', *kept, ""]), encoding="utf-8")
    cluster.start(LATE)
    _wait_height(cluster, LATE, 0)
    began_s, before = time.monotonic(), measure(cluster.home, ()).cpu_s
    _wait_height(cluster, LATE, BLOCKS)
    seconds, after = time.monotonic() - began_s, measure(cluster.home, ()).cpu_s
    cluster.stop(LATE)
    late, server = (after[name] - before[name] for name in (f"{LATE} {NODE}", f"{SERVER} {NODE}"))
    return Fetched(transactions, seconds, late, server)


def _wait_height(cluster: Cluster, name: str, height: int) -> None:
    url = cluster.network.node(name).rpc + "/v1/status"
    deadline = time.monotonic() + LATE_S_MAX
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - loopback
                status = msgspec.json.decode(reply.read(), type=dict[str, object])
            if int(str(status["height"])) >= height:
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} is not at height {height} after {LATE_S_MAX:.0f} s")
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
