"""From an opened home to the settings of the parts that `node.app` joins."""

from __future__ import annotations

import datetime as dt

from andon.core.genesis import genesis_hash
from node.home import Opened
from node.net.network import Settings
from node.net.tls import make_server_tls


def network_settings(opened: Opened) -> Settings:
    """Who the node is on the network and where it listens; its certificate is made now."""
    return Settings(
        key=opened.node_key,
        chain_id=opened.genesis.chain_id,
        genesis=genesis_hash(opened.genesis),
        host=opened.config.peer_host,
        port=opened.config.peer_port,
        tls=make_server_tls(dt.datetime.now(dt.UTC)),
        bans=opened.home.data / "bans.json",
    )
