"""Distance between the nodes of a local cluster: proxies that hold every byte for a while."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from node.config import Config, Home, load_config, render_config
from node.local_network import MANIFEST_FILE, Manifest
from node.testing.proxy import Proxy
from scripts.cluster import HOST, Cluster


@asynccontextmanager
async def delayed_links(cluster: Cluster, delay_ms: int) -> AsyncIterator[None]:
    """Put a proxy on every link of a cluster that does not run yet; no delay, no proxies."""
    if not delay_ms:
        yield
        return
    proxies: list[Proxy] = []
    try:
        manifest = msgspec.json.decode((cluster.home / MANIFEST_FILE).read_bytes(), type=Manifest)
        for source in manifest.nodes:
            addresses: dict[str, str] = {}
            for target in manifest.nodes:
                if source.name == target.name:
                    continue
                proxy = Proxy(HOST, int(target.peer.rpartition(":")[2]))
                await proxy.start()
                proxy.delay_ms = delay_ms
                proxies.append(proxy)
                addresses[target.node_key] = f"{HOST}:{proxy.port}"
            home = Home(cluster.home / source.home)
            config: Config = msgspec.structs.replace(load_config(home), peer_addresses=addresses)
            home.config.write_text(render_config(config), encoding="utf-8")
        yield
    finally:
        for proxy in proxies:
            await proxy.stop()
