"""Peers as the identity state lists them: from validator entries to the network's table."""

from __future__ import annotations

import structlog

from andon.core.codec import decode_value, encode_value
from andon.core.errors import InvalidInput
from andon.core.keys import PUBLIC_KEY_BYTES
from consensus.ledger.directory import NEXT_KEY, VALIDATORS_KEY, text_map, validator_entries
from node.net.peers import Peer, parse_address

REGISTRY_KEYS = (VALIDATORS_KEY, NEXT_KEY)

log = structlog.get_logger()


def peers_of(current: bytes | None, upcoming: bytes | None) -> list[Peer]:
    """Give the peers of the current and of the scheduled validator set.

    Scheduled validators are linked before they vote, so that they have caught up by then. Entries
    without a usable address or node key are left out: they cannot be dialled or recognised.
    """
    peers: dict[bytes, Peer] = {}
    for raw in (current, _entries_of_next(upcoming)):
        for entry in validator_entries(raw):
            key, node_key, address = entry.get("key"), entry.get("node_key"), entry.get("address")
            organisation, weight = entry.get("org"), entry.get("weight")
            if (
                not isinstance(key, bytes)
                or not isinstance(node_key, bytes)
                or not isinstance(address, str)
                or len(node_key) != PUBLIC_KEY_BYTES
            ):
                continue
            try:
                host, port = parse_address(address)
            except InvalidInput as error:
                log.warning("peer.unusable", validator=key.hex()[:16], reason=str(error))
                continue
            peers.setdefault(
                node_key,
                Peer(
                    node_key=node_key,
                    validator_key=key,
                    host=host,
                    port=port,
                    organisation=organisation if isinstance(organisation, str) else "",
                    weight=weight if isinstance(weight, int) else 0,
                ),
            )
    return list(peers.values())


def _entries_of_next(raw: bytes | None) -> bytes | None:
    """Give the encoded validator list inside the scheduled change, None if there is none."""
    if raw is None:
        return None
    entries = text_map(decode_value(raw)).get("validators")
    return encode_value(entries) if isinstance(entries, list) else None
