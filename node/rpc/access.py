"""Who may ask a node's RPC for what: API keys with roles, and client certificates.

Without keys and certificates everybody who reaches the port may do everything, as on a local
network. Health probes are always open. Nothing here replaces signatures: a transaction counts
because of who signed it, a key only opens the door to one node.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import ssl
from contextvars import ContextVar
from pathlib import Path

import msgspec
import structlog
from aiohttp import web

from andon.client.key_file import read_secret
from andon.core.errors import Code, InvalidInput
from node.rpc.revoked import Revoked, fingerprint

READ, SUBMIT, METRICS = "read", "submit", "metrics"
ROLES = frozenset({READ, SUBMIT, METRICS})
KEYS_FILE_BYTES_MAX = 64 * 1024
KEYS_MAX = 256
HEADER_BYTES_MAX = 1024
CHALLENGE = 'Basic realm="andon", charset="UTF-8"'

log = structlog.get_logger()

_roles: ContextVar[frozenset[str]] = ContextVar("rpc_roles", default=ROLES)


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key: only its SHA-256 stands in the file, so that reading the file opens no door."""

    name: str
    sha256: str
    roles: list[str]


class _KeysFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: list[ApiKey]


def load_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read a TOML file of `[[key]]` tables that only its owner may read.

    Raises:
        InvalidInput: BAD_KEY if it is open to others, BAD_CONFIG with what is wrong in it.
    """
    try:
        found = msgspec.toml.decode(read_secret(path, KEYS_FILE_BYTES_MAX), type=_KeysFile).key
        hashes = {bytes.fromhex(key.sha256) for key in found}
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG, f"{path}: {error}", hint="[[key]] with name, sha256 and roles"
        ) from None
    names = {key.name for key in found}
    if not 0 < len(found) <= KEYS_MAX or len(names) < len(found) or len(hashes) < len(found):
        raise InvalidInput(Code.BAD_CONFIG, f"{path}: 1 to {KEYS_MAX} keys, each once")
    for key in found:
        unknown = set(key.roles) - ROLES
        if unknown or len(bytes.fromhex(key.sha256)) != hashlib.sha256().digest_size:
            raise InvalidInput(
                Code.BAD_CONFIG,
                f"{path}: {key.name}: {', '.join(sorted(unknown)) or 'no SHA-256 of a key'}",
                hint=f"roles are {', '.join(sorted(ROLES))}",
            )
    return tuple(found)


class Access:
    """The doorkeeper of one server; `enter` before a handler runs.

    `keys` and `revoked` may change while it serves; whether it asks at all may not.
    """

    def __init__(
        self,
        keys: tuple[ApiKey, ...] = (),
        *,
        has_client_ca: bool = False,
        revoked: Revoked | None = None,
    ) -> None:
        self._has_client_ca = has_client_ca
        self._is_open = not keys and not has_client_ca
        self.renew(keys, revoked or Revoked())

    def renew(self, keys: tuple[ApiKey, ...], revoked: Revoked) -> None:
        """Take other lists from the next request on; a door that was locked stays so."""
        self._keys = [
            (bytes.fromhex(key.sha256), f"key {key.name}", frozenset(key.roles)) for key in keys
        ]
        self._revoked = revoked

    def is_revoked(self, transport: asyncio.BaseTransport | None) -> bool:
        """Tell whether a connection came with a certificate that counts no more."""
        return transport is not None and self._revoked.names(transport)

    def enter(self, request: web.Request) -> str:
        """Find out who asks, for `require` further in; returns its name, "" for just anybody.

        Raises:
            InvalidInput: UNAUTHENTICATED.
        """
        name = ""
        if self._is_open:
            _roles.set(ROLES)
        elif is_health(request):
            _roles.set(frozenset())
        else:
            name, roles = self._who(request)
            _roles.set(roles)
            if request.method in ("GET", "HEAD") and request.path != "/metrics":
                require(READ)  # pages, streams, files; methods ask for their own role
        return name

    def _who(self, request: web.Request) -> tuple[str, frozenset[str]]:
        if self._has_client_ca and (certificate := fingerprint(request.transport)):
            if not self.is_revoked(request.transport):
                return f"certificate {certificate}", ROLES
            log.warning("rpc.certificate_revoked", remote=request.remote)
        given = _secret_of(request.headers.get("Authorization", ""))
        if given:
            digest = hashlib.sha256(given).digest()
            # All keys are compared, so that time does not tell which one was near.
            matching = [
                (name, roles)
                for known, name, roles in self._keys
                if hmac.compare_digest(known, digest)
            ]
            if matching:
                return matching[0]
        raise InvalidInput(
            Code.UNAUTHENTICATED,
            "this node answers known clients only",
            hint="send 'Authorization: Bearer KEY'; the SDK reads ANDON_API_KEY_FILE",
        )


def is_health(request: web.Request) -> bool:
    """Tell whether a request is a probe, which is answered to anybody."""
    return request.path == "/health" or request.path.startswith("/health/")


def require(role: str) -> None:
    """Refuse what the present request's key does not allow.

    Raises:
        InvalidInput: ROLE_DENIED.
    """
    if role not in _roles.get():
        raise InvalidInput(
            Code.ROLE_DENIED,
            f"this API key does not have the role {role}",
            hint="the operator of the node gives roles in its rpc_keys_file",
        )


def server_tls(certificate: str, key: str, client_ca: str) -> ssl.SSLContext | None:
    """TLS of the RPC port; with a client CA, certificates are asked for and accepted as a key.

    Raises:
        InvalidInput: BAD_CONFIG if the files are not what they should be.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"rpc_tls: {error}") from None
    return context


def _secret_of(header: str) -> bytes:
    """The key in a header: `Bearer KEY`, or the password of `Basic`, which browsers can send."""
    kind, _, rest = header[:HEADER_BYTES_MAX].partition(" ")
    if kind.lower() == "bearer":
        return rest.strip().encode()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""
