"""From an opened home to the settings of the parts that `node.app` joins."""

from __future__ import annotations

import datetime as dt

from andon.core.genesis import genesis_hash
from node.config import override_addresses
from node.home import Opened
from node.net.addresses import DialRules
from node.net.network import Settings
from node.net.tls import make_server_tls


def dial_rules(opened: Opened) -> DialRules:
    """What the node may dial."""
    return DialRules(opened.config.peer_host, override_addresses(opened.config))


def network_settings(opened: Opened) -> Settings:
    """Who the node is on the network and where it listens; its certificate is made now."""
    return Settings(
        key=opened.node_key,
        chain_id=opened.genesis.chain_id,
        genesis=genesis_hash(opened.genesis),
        host=opened.config.peer_host,
        port=opened.config.peer_port,
        tls=make_server_tls(dt.datetime.now(dt.UTC)),
        dial=dial_rules(opened),
        bans=opened.home.data / "bans.json",
    )
