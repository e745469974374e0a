"""How many messages a second one gateway process takes: broker to disk, acknowledgement, chain.

The messages wait at a real Mosquitto; then the gateway starts and drains them. The rate by the
clock runs from the first journalled message to the last, so start-up is left out and the work of
sending to a real node is in. The rate by processor time counts what the process used in all.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import lmdb
import msgspec

from andon.gateway.config import OutboxTable
from node.testing.broker import Broker, find_mosquitto
from node.testing.local_net import LocalNet, NetPlan
from scripts.gateway_campaign import Gateway, config, publish

MESSAGES = int(os.environ.get("GATEWAY_MESSAGES", "60000"))
POLL_S = 0.05
WAIT_S = 300.0


def main() -> None:
    """Print the rates."""
    if find_mosquitto() is None:
        print("skipped: mosquitto is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> None:
    async with (
        LocalNet(NetPlan(home=folder / "net", validators=1, seed=61)) as net,
        Broker(folder / "broker", 62) as broker,
    ):
        home = folder / "gateway"
        home.mkdir()
        entry = next(a for a in net.manifest.accounts if a.name == "org-1-operator")
        shutil.copy(net.plan.home / entry.key_file, home / "gateway.key")
        (home / "gw.toml").write_text(config(broker.port, net.node("node-1").rpc, MESSAGES))
        gateway = Gateway(home)
        await gateway.first_session()
        await asyncio.to_thread(publish, broker.port, MESSAGES)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        await gateway.start()
        seconds, counted = await asyncio.to_thread(_drained, home / "gateway.outbox")
        gateway.check()
        await gateway.end()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"messages drained                   {counted:10}")
    print(f"messages a second by the clock     {counted / seconds:10.0f}")
    print(f"messages a second of processor     {counted / used:10.0f}  ({used:.1f} s with start)")


def _drained(outbox: Path) -> tuple[float, int]:
    """Seconds from the first journalled message to the last, and how many there are."""
    size = OutboxTable().size_mb << 20  # a reader needs the map of the writer
    env = lmdb.open(str(outbox), map_size=size, readonly=True, max_dbs=16)
    counters = env.open_db(b"counters", create=False)
    began, first, deadline = 0.0, 0, time.monotonic() + WAIT_S
    while True:
        with env.begin(counters) as read:
            raw = read.get(b"messages")
        found = 0 if raw is None else msgspec.msgpack.decode(raw, type=int)
        now = time.monotonic()
        if found and not began:
            began, first = now, found
        if found >= MESSAGES or now > deadline:
            env.close()
            return max(now - began, 1e-9), found - first
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
