"""Who is registered, by which keys and address: the table that the network dials and admits from.

The identity state is the only source (no discovery, no gossip of addresses), so nobody can talk
a node into dialling a stranger. Configuration may replace an address, for tunnels and chaos
proxies, and may block peers. Pure: no sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from andon.core.errors import Code, InvalidInput

PEERS_MAX = 256
PARTING_S = 60.0
"""Who left the registry may listen for so long: the block that says so has to reach it."""
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One registered node. `validator_key` names it in consensus, `node_key` on the wire."""

    node_key: bytes
    validator_key: bytes
    host: str
    port: int
    organisation: str = ""
    weight: int = 0
    is_observer: bool = False
    """Admitted by configuration, or about to part: what it says about the chain is ignored."""

    @property
    def address(self) -> str:
        """host:port, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port` or `https://host:port`.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    body = text.removeprefix("https://").removesuffix("/")
    host, separator, port_text = body.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or "/" in host or "@" in host or not port_text.isdecimal():
        raise InvalidInput(Code.BAD_CONFIG, f"{text!r} is not host:port")
    port = int(port_text)
    if not 1 <= port <= _PORT_MAX:
        raise InvalidInput(Code.BAD_CONFIG, f"port {port} is outside 1..{_PORT_MAX}")
    return host, port


class PeerTable:
    """Registered peers without ourselves, found by node key or by validator key."""

    def __init__(
        self,
        own_node_key: bytes,
        address_of: dict[bytes, str] | None = None,
        observers: Sequence[bytes] = (),
    ) -> None:
        self._own = own_node_key
        self._address_of = address_of or {}
        self._observers = [
            Peer(node_key=key, validator_key=key, host="", port=0, is_observer=True)
            for key in observers
        ]
        self._is_registered = False
        self._by_node: dict[bytes, Peer] = {}
        self._by_validator: dict[bytes, Peer] = {}
        self._parts_at_s: dict[bytes, float] = {}

    def replace(self, peers: list[Peer], now_s: float) -> tuple[list[Peer], list[bytes]]:
        """Take a new registry; returns peers that are new or moved, and node keys that are gone.

        Who left stays as an observer for `PARTING_S`. Peers beyond PEERS_MAX are ignored; address
        overrides of the configuration are applied.
        """
        table: dict[bytes, Peer] = {}
        self._is_registered = any(peer.node_key == self._own for peer in peers)
        for peer in [*peers, *self._observers]:
            if peer.node_key in table:
                continue  # an observer that became a validator
            if peer.node_key != self._own and len(table) < PEERS_MAX:
                table[peer.node_key] = self._with_override(peer)
        self._keep_parting(table, now_s)
        known = self._by_node
        moved = [
            p for key, p in table.items() if key not in known or known[key].address != p.address
        ]
        gone = [key for key in known if key not in table]
        self._by_node = table
        # Registered peers last: one that changed its node key is found by the new one.
        self._by_validator = {
            peer.validator_key: peer
            for peer in sorted(table.values(), key=lambda peer: not peer.is_observer)
        }
        return moved, gone

    def _keep_parting(self, table: dict[bytes, Peer], now_s: float) -> None:
        before, self._parts_at_s = self._parts_at_s, {}
        for key, peer in self._by_node.items():
            at_s = before.get(key, now_s + PARTING_S)
            # What the configuration admits needs no respite; what is full gives none.
            if key not in table and peer.host and now_s < at_s and len(table) < PEERS_MAX:
                self._parts_at_s[key] = at_s
                table[key] = replace(peer, is_observer=True, weight=0)

    def next_parting_s(self) -> float | None:
        """When the first of those who left is gone, on the clock of `replace`; None: nobody."""
        return min(self._parts_at_s.values(), default=None)

    def _with_override(self, peer: Peer) -> Peer:
        override = self._address_of.get(peer.node_key)
        if override is None:
            return peer
        host, port = parse_address(override)
        return replace(peer, host=host, port=port)

    def all(self) -> list[Peer]:
        """Every registered peer."""
        return list(self._by_node.values())

    def by_node(self, node_key: bytes) -> Peer | None:
        """The peer with this node key."""
        return self._by_node.get(node_key)

    def validator_of(self, node_key: bytes) -> bytes | None:
        """The validator key of a registered peer; None for an observer."""
        peer = self._by_node.get(node_key)
        return None if peer is None or peer.is_observer else peer.validator_key

    def by_validator(self, validator_key: bytes) -> Peer | None:
        """The peer with this consensus key."""
        return self._by_validator.get(validator_key)

    def should_dial(self, node_key: bytes) -> bool:
        """Tell who dials: an observer, or the smaller key; so a pair never has two links."""
        peer = self._by_node.get(node_key)
        if peer is None or not peer.host:
            return False
        return not self._is_registered or self._own < node_key
