"""The signed handshake of two nodes, without I/O: who may talk, and over which TLS session.

Three records travel inside a fresh TLS 1.3 session: Hello (dialer), Answer (acceptor), Confirm
(dialer). Both sides sign the same transcript: chain, genesis, the acceptor's certificate as the
signer sees it, both certificates, both nonces, both node keys. A man in the middle shows each
side another certificate, so the transcripts differ and neither signature fits. Each side hands
the other a token that opens its HTTP routes while the link lives.
Source: reliability reference 4.1 (Fabric binds its gossip handshake to the certificate likewise).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.keys import PrivateKey, verify

HANDSHAKE_VERSION = 1
HANDSHAKE_BYTES_MAX = 1024
NONCE_BYTES = 32
TOKEN_BYTES = 32
CERTIFICATE_DIGEST_BYTES = 32


class Hello(Record, frozen=True):
    """The dialer's opening; `certificate` is the SHA-256 of its own server certificate."""

    version: int
    chain_id: str
    genesis: bytes
    dialer: bytes
    acceptor: bytes
    nonce: bytes
    certificate: bytes


class Answer(Record, frozen=True):
    """The acceptor's half; `token` works only after a valid Confirm."""

    nonce: bytes
    certificate: bytes
    token: bytes
    signature: bytes


class Confirm(Record, frozen=True):
    """The dialer's half."""

    token: bytes
    signature: bytes


class _Transcript(Record, frozen=True):
    role: str
    version: int
    chain_id: str
    genesis: bytes
    dialer: bytes
    acceptor: bytes
    dialer_nonce: bytes
    acceptor_nonce: bytes
    dialer_certificate: bytes
    acceptor_certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a node says about itself; `certificate` is SHA-256 of its server certificate DER."""

    key: PrivateKey
    chain_id: str
    genesis: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The result: the peer's proven key and how to fetch from it over HTTP."""

    peer: bytes
    peer_certificate: bytes
    token_given: bytes
    """Opens our routes; the peer holds it."""
    token_received: bytes
    """Opens the peer's routes."""


def certificate_digest(der: bytes) -> bytes:
    """SHA-256 of a certificate, the form that `aiohttp.Fingerprint` pins."""
    return hashlib.sha256(der).digest()


class Dialer:
    """The dialling side: `hello()`, then `confirm(answer)` gives the Confirm and the session."""

    def __init__(self, identity: Identity, acceptor: bytes, *, nonce: bytes, token: bytes) -> None:
        self._identity = identity
        self._token = token
        self._hello = Hello(
            version=HANDSHAKE_VERSION,
            chain_id=identity.chain_id,
            genesis=identity.genesis,
            dialer=identity.key.public,
            acceptor=acceptor,
            nonce=nonce,
            certificate=identity.certificate,
        )

    def hello(self) -> bytes:
        """The first record to send."""
        return encode(self._hello)

    def confirm(self, data: bytes, certificate_seen: bytes) -> tuple[bytes, Session]:
        """Check the Answer against the certificate of this very TLS session.

        Raises:
            InvalidInput: WRONG_PEER for another certificate, BAD_SIGNATURE, MALFORMED.
        """
        answer = decode(Answer, data, HANDSHAKE_BYTES_MAX)
        _check_sizes(answer.nonce, answer.certificate, answer.token)
        if answer.certificate != certificate_seen:
            raise InvalidInput(
                Code.WRONG_PEER,
                "the certificate of this TLS session is not the peer's",
                hint="somebody stands between the nodes, or the peer restarted: dial again",
            )
        verify(self._hello.acceptor, _signed("acceptor", self._hello, answer), answer.signature)
        signature = self._identity.key.sign(_signed("dialer", self._hello, answer))
        session = Session(
            peer=self._hello.acceptor,
            peer_certificate=answer.certificate,
            token_given=self._token,
            token_received=answer.token,
        )
        return encode(Confirm(token=self._token, signature=signature)), session


class Acceptor:
    """The accepting side: `answer(hello)`, then `finish(confirm)` gives the session."""

    def __init__(
        self,
        identity: Identity,
        is_registered: Callable[[bytes], bool],
        *,
        nonce: bytes,
        token: bytes,
    ) -> None:
        self._identity = identity
        self._is_registered = is_registered
        self._nonce = nonce
        self._token = token
        self._hello: Hello | None = None
        self._answer: Answer | None = None

    def answer(self, data: bytes) -> bytes:
        """Check the Hello and sign.

        Raises:
            InvalidInput: WRONG_CHAIN, WRONG_PEER for an unregistered key or another addressee,
                MALFORMED.
        """
        hello = decode(Hello, data, HANDSHAKE_BYTES_MAX)
        _check_sizes(hello.nonce, hello.certificate)
        identity = self._identity
        if hello.version != HANDSHAKE_VERSION:
            raise InvalidInput(
                Code.WRONG_VERSION,
                f"the peer speaks version {hello.version} of the handshake, not "
                f"{HANDSHAKE_VERSION}",
                hint="run the release that the other members run",
            )
        if (hello.chain_id, hello.genesis) != (identity.chain_id, identity.genesis):
            raise InvalidInput(Code.WRONG_CHAIN, "the peer lives on another chain")
        if hello.acceptor != identity.key.public:
            raise InvalidInput(Code.WRONG_PEER, "the peer dialled another node's key")
        if hello.dialer == identity.key.public or not self._is_registered(hello.dialer):
            raise InvalidInput(
                Code.WRONG_PEER,
                f"node key {hello.dialer.hex()[:16]} is not registered",
                hint="the identity contract lists the node keys that may connect",
            )
        unsigned = Answer(self._nonce, identity.certificate, self._token, b"")
        signature = identity.key.sign(_signed("acceptor", hello, unsigned))
        self._hello = hello
        self._answer = Answer(self._nonce, identity.certificate, self._token, signature)
        return encode(self._answer)

    def finish(self, data: bytes) -> Session:
        """Check the Confirm; only now is the peer who it claims to be.

        Raises:
            InvalidInput: BAD_SIGNATURE, MALFORMED.
        """
        assert self._hello is not None
        assert self._answer is not None
        confirm = decode(Confirm, data, HANDSHAKE_BYTES_MAX)
        _check_sizes(confirm.token)
        verify(self._hello.dialer, _signed("dialer", self._hello, self._answer), confirm.signature)
        return Session(
            peer=self._hello.dialer,
            peer_certificate=self._hello.certificate,
            token_given=self._token,
            token_received=confirm.token,
        )


def _check_sizes(*parts: bytes) -> None:
    for part in parts:
        if len(part) != NONCE_BYTES:
            raise InvalidInput(Code.MALFORMED, "a handshake field has the wrong length")


def _signed(role: str, hello: Hello, answer: Answer) -> bytes:
    """What `role` signs; the role keeps one side's signature from serving as the other's."""
    transcript = _Transcript(
        role=role,
        version=hello.version,
        chain_id=hello.chain_id,
        genesis=hello.genesis,
        dialer=hello.dialer,
        acceptor=hello.acceptor,
        dialer_nonce=hello.nonce,
        acceptor_nonce=answer.nonce,
        dialer_certificate=hello.certificate,
        acceptor_certificate=answer.certificate,
    )
    return digest(Domain.HANDSHAKE, encode(transcript))
