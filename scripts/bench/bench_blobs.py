"""A blob of a gibibyte to a node and back, with the node killed in the middle: seconds and memory.

The node is a real process of a network of one; what it held at most is `VmHWM` of /proc (Linux).
`BLOB_MIB=1024` chooses the size.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec

from andon.core.errors import AndonError
from andon.core.hashing import Domain, digest_of_parts
from andon.core.json_value import to_hex
from andon.core.rpc_schema import BlobReply
from node.testing.local_net import LocalNet, NetPlan

MIB = 1024 * 1024
KILLED_AT = 0.5
NODE = "node-1"


def main() -> None:
    """Run it in a folder of its own."""
    size = int(os.environ.get("BLOB_MIB", "1024")) * MIB
    with tempfile.TemporaryDirectory(prefix="andon-bench-") as folder:
        asyncio.run(_measure(Path(folder), size))


async def _measure(folder: Path, size: int) -> None:
    file = folder / "blob"
    _write(file, size)
    identity = digest_of_parts(Domain.BLOB, _parts(file))
    async with LocalNet(NetPlan(home=folder / "net", validators=1)) as net:
        await net.wait_height(1, 60)
        idle = _peak_mib(net)
        async with net.client(NODE) as client:
            began = time.perf_counter()
            async with asyncio.TaskGroup() as group:
                group.create_task(_kill(net, identity, int(size * KILLED_AT)))
                try:
                    await client.publish_file(file)
                except AndonError as error:
                    print(f"killed in the middle: {error.code.name}")
            await net.start(NODE)
            await net.wait_height(1, 60)
            here = await _here(net, identity)
            assert await client.publish_file(file) == identity
            print(f"{size // MIB} MiB sent in {time.perf_counter() - began:.1f} s, ", end="")
            print(f"{here // MIB} of them before the kill and kept")
            began = time.perf_counter()
            await client.fetch_file(identity, folder / "back")
            print(f"fetched and checked in {time.perf_counter() - began:.1f} s")
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"memory at most: node {_peak_mib(net)} MiB ({idle} idle), client {own} MiB")


async def _kill(net: LocalNet, identity: bytes, size: int) -> None:
    """Kill the node when so much is there."""
    while await _here(net, identity) < size:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    await net.kill(NODE)


def _write(file: Path, size: int) -> None:
    block = os.urandom(MIB - 8)
    with file.open("wb") as out:
        for number in range(size // MIB):
            out.write(number.to_bytes(8, "big") + block)


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while part := source.read(MIB):
            yield part


async def _here(net: LocalNet, identity: bytes) -> int:
    url = f"{net.node(NODE).rpc}/v1/blob/{to_hex(identity)}/here"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return msgspec.json.decode(await response.read(), type=BlobReply).size_bytes


def _peak_mib(net: LocalNet) -> int:
    for line in Path(f"/proc/{net.pid(NODE)}/status").read_text("utf-8").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) // 1024
    return 0


if __name__ == "__main__":
    main()
