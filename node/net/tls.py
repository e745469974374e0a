"""TLS 1.3 with an ephemeral certificate; trust comes from the signed handshake, not from a CA."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.net.handshake import certificate_digest

_VALIDITY = dt.timedelta(days=30)
_LEEWAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ServerTls:
    """A server context and the digest of the certificate it shows."""

    context: ssl.SSLContext
    digest: bytes


def make_server_tls(now: dt.datetime) -> ServerTls:
    """Make a key and a self-signed certificate that live as long as the process."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "andon-node")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LEEWAY)
        .not_valid_after(now + _VALIDITY)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # The ssl module loads chains from files only; the folder is 0700 and gone at once.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "node.pem"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context.load_cert_chain(path)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return ServerTls(context, certificate_digest(der))


def client_context() -> ssl.SSLContext:
    """A client context that takes any certificate: the handshake proves whose it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
