"""TLS to a broker: who it has to be, who we are, and what an operator does if it fails.

The broker's certificate has to come from a trusted issuer and bear the broker's name, or to be the
very certificate that the configuration pins, or both.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from pathlib import Path

from paho.mqtt.reasoncodes import ReasonCode

from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.gateway.config import MqttTable, Tls

HANDSHAKE_S = 10.0
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_WRONG_NAME, _EXPIRED, _NOT_YET = (62, 64), 10, 9
"""X509_V_ERR codes of OpenSSL."""

_HINTS = {
    0x86: "check username and password_file",
    0x87: "the broker's access list has to let this account read `topic`",
    0x85: "the broker wants another client_id",
    0x9F: "too many connections; the broker takes us back later",
}


class OtherCertificate(ssl.SSLError):
    """The broker showed another certificate than the pinned one."""


class BrokerTls:
    """What paho needs of an `ssl.SSLContext`; the handshake is ours, with name and pin."""

    check_hostname = True
    """Tells paho that nothing is left for it to check."""

    def __init__(self, tls: Tls, host: str, folder: Path) -> None:
        self._name = tls.server_name or host
        self._pin = fingerprint_of(tls)
        self._context = context_of(tls, folder, is_pinned=bool(self._pin))

    def wrap_socket(self, plain: socket.socket, **_: object) -> ssl.SSLSocket:
        """Shake hands and look at the certificate, before any secret of ours is sent.

        Raises:
            OSError: of the network, or an SSLError; `fault_of` explains it.
        """
        plain.settimeout(HANDSHAKE_S)
        wrapped = self._context.wrap_socket(plain, server_hostname=self._name)
        if self._pin:
            shown = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
            if shown != self._pin:
                wrapped.close()
                raise OtherCertificate(shown)
        return wrapped


def fingerprint_of(tls: Tls) -> str:
    """The pinned SHA-256 as 64 hexadecimal digits; empty if none is pinned.

    Raises:
        InvalidInput: BAD_CONFIG.
    """
    found = tls.fingerprint.lower().removeprefix("sha256:").replace(":", "")
    if found and not _FINGERPRINT.fullmatch(found):
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"fingerprint {tls.fingerprint!r} is no SHA-256 of a certificate",
            hint="openssl x509 -noout -fingerprint -sha256 -in broker.crt",
        )
    return found


def context_of(tls: Tls, folder: Path, *, is_pinned: bool) -> ssl.SSLContext:
    """Read the files; a pin without `ca` replaces the check of issuer and name.

    Raises:
        InvalidInput: BAD_CONFIG that names the file.
    """
    if bool(tls.key_file) > bool(tls.certificate):
        raise InvalidInput(Code.BAD_CONFIG, "tls.key_file needs tls.certificate beside it")
    path = ""
    try:
        path = str(folder / tls.ca) if tls.ca else ""
        context = ssl.create_default_context(cafile=path or None)
        if is_pinned and not tls.ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.certificate:
            path = str(folder / tls.certificate)
            context.load_cert_chain(path, str(folder / tls.key_file) if tls.key_file else None)
    except (OSError, ValueError) as error:
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"TLS file {path}: {error}",
            hint="PEM files; the key has to belong to the certificate",
        ) from None
    return context


def fault_of(error: BaseException | None, table: MqttTable) -> AndonError:
    """What a failed connection means, and what to do."""
    where = f"the broker {table.host}:{table.port}"
    match error:
        case OtherCertificate():
            return _untrusted(
                f"{where} shows the certificate sha256:{error.args[0]}, not the pinned one",
                "if its operator confirms the new certificate, set tls.fingerprint to it",
            )
        case ssl.SSLCertVerificationError():
            return _unverified(error, table, where)
        case ssl.SSLError():
            reason = error.reason or str(error)
            hint = "does this port speak TLS, and does the broker take our certificate?"
            return _refused(f"no TLS with {where}: {reason}", hint)
        case OSError():
            reason = error.strerror or str(error) or type(error).__name__
            return Unavailable(Code.UNREACHABLE, f"{where}: {reason}", hint="is it running?")
        case _:
            return Unavailable(Code.UNREACHABLE, f"{where}: {error}")


def _unverified(error: ssl.SSLCertVerificationError, table: MqttTable, where: str) -> InvalidInput:
    code = error.verify_code
    if code in _WRONG_NAME:
        name = (table.tls.server_name if table.tls else "") or table.host
        hint = f"its certificate does not bear {name!r}: set tls.server_name to a name it bears"
    elif code in (_EXPIRED, _NOT_YET):
        hint = "its operator has to renew the certificate; check this machine's clock too"
    else:
        hint = "set tls.ca to the certificate of the authority that issued it"
    return _untrusted(f"{where} is not trusted: {error.verify_message}", hint)


def cut_off(table: MqttTable) -> InvalidInput:
    """The broker ended the connection before it answered: it does not say why."""
    if table.tls is None:
        hint = "does the port want TLS? then add [mqtt.tls]"
    elif not table.tls.certificate:
        hint = "it may want a client certificate: set tls.certificate and tls.key_file"
    else:
        hint = "it may not know the authority of tls.certificate; the broker's log says"
    return _refused(f"the broker {table.host}:{table.port} hung up without an answer", hint)


def refusal(reason: ReasonCode, table: MqttTable, what: str) -> InvalidInput:
    """The broker answered no: `what` is the connection or the subscription."""
    hint = _HINTS.get(reason.value, "the broker's log says more")
    return _refused(f"the broker {table.host}:{table.port} refuses {what}: {reason}", hint)


def _untrusted(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Code.BROKER_UNTRUSTED, message, hint=hint)


def _refused(message: str, hint: str) -> InvalidInput:
    return InvalidInput(Code.BROKER_REFUSED, message, hint=hint)
