"""Which addresses a node dials: the registry is written by other organisations.

A registered address could name a service of this host or the metadata service of a cloud. What a
name leads to is judged at the connection, so that a name cannot change its mind in between.
Addresses of the operator's own configuration are the operator's.
"""

from __future__ import annotations

import ipaddress
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from andon.core.errors import Code, InvalidInput
from node.net.peers import parse_address

PORT_MIN = 1024
PORT_HTTPS = 443


class DialRules:
    """What may be dialled by a node that listens on `own_host`, with overrides of its own."""

    def __init__(self, own_host: str, overrides: dict[bytes, str]) -> None:
        self._ours = frozenset(parse_address(address) for address in overrides.values())
        self._hosts = frozenset(host for host, _ in self._ours)
        self._with_loopback = is_loopback(own_host)

    def check(self, host: str, port: int) -> None:
        """Refuse a port, or an address that is written as one.

        Raises:
            InvalidInput: WRONG_PEER.
        """
        if (host, port) in self._ours:
            return
        if port < PORT_MIN and port != PORT_HTTPS:
            raise _refused(f"port {port} is no port of a node")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return  # a name: judged when it is resolved
        if not self._is_peers(str(address)):
            raise _refused(f"{host} is no address of a peer")

    def allows(self, host: str, address: str) -> bool:
        """Tell whether a connection to the name `host` may go to this address."""
        return host in self._hosts or self._is_peers(address)

    def _is_peers(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        if found.is_loopback:
            return self._with_loopback
        return not (
            found.is_link_local or found.is_multicast or found.is_unspecified or found.is_reserved
        )


class CheckedResolver(AbstractResolver):
    """Gives of a name's addresses those that the rules allow."""

    def __init__(self, rules: DialRules) -> None:
        self._rules = rules
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve; raises OSError if nothing is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [item for item in found if self._rules.allows(host, item["host"])]
        if found and not allowed:
            raise OSError(None, f"{host} leads to {found[0]['host']}, no address of a peer")
        return allowed

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine alone."""
    name = host.lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True  # browsers and resolvers keep these names on the machine (RFC 6761)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(message: str) -> InvalidInput:
    return InvalidInput(Code.WRONG_PEER, message, hint="if it is meant, put it into peer_addresses")
