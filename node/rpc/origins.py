"""Web pages of other sites get nothing from a node that their visitor's browser can reach.

A browser sends requests for any page, also to loopback. Two headers that pages cannot forge tell
them apart: `Host` has the name that the page was loaded by (a name that its owner points at
127.0.0.1 is DNS rebinding), `Origin` the site whose script asks. Programs send no `Origin`.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import hdrs, web

from andon.core.errors import Code, InvalidInput
from node.net.addresses import is_loopback

_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Sites:
    """Names by which clients may ask, and sites whose pages may."""

    listens_on: str
    hosts: tuple[str, ...] = ()
    """Names beside loopback's; on other addresses, any name will do while this is empty."""
    origins: tuple[str, ...] = ()
    """`https://name:port` of sites whose pages may open a WebSocket or write."""

    def check(self, request: web.Request) -> None:
        """Refuse what a page of another site may have sent.

        Raises:
            InvalidInput: FOREIGN_SITE.
        """
        host = request.headers.get(hdrs.HOST, "")
        if host and not self._is_ours(host):
            raise InvalidInput(
                Code.FOREIGN_SITE,
                f"this node does not answer to the name {_name_of(host)[:80]!r}",
                hint="use localhost, or have the operator add the name to rpc_hosts",
            )
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None or (request.method in _READING and hdrs.UPGRADE not in request.headers):
            return  # a page of another site may send it and cannot read the answer
        site = origin.lower()
        if site.partition("://")[2] != host.lower() and site not in self.origins:
            raise InvalidInput(
                Code.FOREIGN_SITE,
                f"pages of {origin[:80]!r} may not do that here",
                hint="have the operator add the site to rpc_origins",
            )

    def _is_ours(self, host: str) -> bool:
        name = _name_of(host)
        if name in self.hosts or name == self.listens_on:
            return True
        if not self.hosts and not is_loopback(self.listens_on):
            return True
        return is_loopback(name)


def _name_of(host: str) -> str:
    """The name in `name`, `name:port` or `[v6]:port`, in small letters."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().removesuffix(".")
