"""Private payloads: sealed here, kept by nodes, audited and purged on chain (contract `private`).

A payload gets a fresh content key, which is sealed (X25519, NaCl sealed box) to every reading
organisation. Its length is hidden up to a KiB, its content is committed to with a salt. What a
reader has opened it can keep: purge deletes what nodes hold, and proves that.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from nacl import bindings
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey as BoxKey
from nacl.public import PublicKey as BoxPublicKey
from nacl.public import SealedBox
from nacl.secret import SecretBox

from andon.client.async_client import AsyncClient
from andon.client.results import Outcome
from andon.client.transport import Transport
from andon.core.codec import Record, Value, decode, encode, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.hashing import Domain, digest
from andon.core.json_value import from_hex, to_hex
from andon.core.keys import PrivateKey
from andon.core.rpc_schema import BlobReply, Empty, StatusReply
from andon.core.transaction import make_call

CONTRACT = "private"
PAYLOAD_BYTES_MAX = 1024 * 1024
ENVELOPE_BYTES_MAX = PAYLOAD_BYTES_MAX + 64 * 1024
PADDING_BYTES = 1024
SALT_BYTES = 32
READERS_MAX = 32
TIMEOUT_MS = 30_000
POLL_S = 0.1
POLLS_MAX = 300
COMMITMENT_TAG = b"andon/private-content\0"
FETCH_TAG = b"andon/private-fetch\0"
MESSAGE_TAG = b"andon/contract-message\0"
"""What `signature_is_valid` of contracts puts before a message."""


class Envelope(Record, frozen=True):
    """What nodes keep: the padded content, and the content key sealed to each reader."""

    content: bytes
    keys: tuple[tuple[str, bytes], ...]


class _Content(Record, frozen=True):
    salt: bytes
    payload: bytes
    padding: bytes


class FetchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's signed request to one node; it is good for a minute."""

    account: str
    time_ms: int
    signature: str


class PurgeReply(msgspec.Struct, frozen=True):
    """A node's statement that it holds an envelope no more."""

    node: str
    signature: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed payload: id, envelope, commitment, and the key that lets in more readers."""

    id: bytes
    envelope: bytes
    commitment: bytes
    content_key: bytes


def new_encryption_key() -> bytes:
    """Make the secret key of an organisation (32 bytes)."""
    return bytes(BoxKey.generate())


def encryption_public(secret: bytes) -> bytes:
    """The public key to register on chain."""
    return bytes(BoxKey(secret).public_key)


def seal(payload: bytes, readers: Mapping[str, bytes]) -> Sealed:
    """Seal a payload to the public keys of its readers, by organisation.

    Raises:
        InvalidInput: TOO_LARGE, TOO_MANY or BAD_KEY.
    """
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise InvalidInput(Code.TOO_LARGE, f"a private payload has at most {PAYLOAD_BYTES_MAX}")
    if not 1 <= len(readers) <= READERS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"a private payload has 1 to {READERS_MAX} readers")
    salt, key = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(SecretBox.KEY_SIZE)
    content = encode(_Content(salt, payload, bytes(-len(payload) % PADDING_BYTES)))
    sealed = tuple((org, seal_key(key, readers[org])) for org in sorted(readers))
    envelope = encode(Envelope(bytes(SecretBox(key).encrypt(content)), sealed))
    return Sealed(digest(Domain.BLOB, envelope), envelope, commitment(salt, payload), key)


def seal_key(content_key: bytes, public: bytes) -> bytes:
    """Seal a content key to one more reader."""
    try:
        return bytes(SealedBox(BoxPublicKey(public)).encrypt(content_key))
    except (CryptoError, ValueError, TypeError):
        raise InvalidInput(Code.BAD_KEY, "not an encryption key of a reader") from None


def commitment(salt: bytes, payload: bytes) -> bytes:
    """What stands on chain for the content: nobody can guess at it without the salt."""
    return hashlib.sha256(COMMITMENT_TAG + salt + payload).digest()


def unseal(envelope: bytes, org: str, secret: bytes, granted: bytes = b"") -> tuple[bytes, bytes]:
    """Open an envelope as an organisation; gives salt and payload.

    Raises:
        InvalidInput: BAD_KEY if it is not sealed to this key; MALFORMED.
    """
    found = decode(Envelope, envelope, ENVELOPE_BYTES_MAX)
    sealed = granted or dict(found.keys).get(org, b"")
    try:
        key = SealedBox(BoxKey(secret)).decrypt(sealed)
        content = SecretBox(key).decrypt(found.content)
    except (CryptoError, ValueError):
        raise InvalidInput(
            Code.BAD_KEY, f"the payload is not sealed to this key of {org}"
        ) from None
    inside = decode(_Content, content, ENVELOPE_BYTES_MAX)
    return inside.salt, inside.payload


def fetch_message(chain_id: str, node: bytes, payload: bytes, time_ms: int) -> bytes:
    """What a member signs to fetch an envelope from one node."""
    return FETCH_TAG + encode_value((chain_id, node, payload, time_ms))


def purge_message(chain_id: str, payload: bytes) -> bytes:
    """What a node signs once it holds an envelope no more."""
    return MESSAGE_TAG + encode_value(("andon/private-purge", chain_id, payload))


class Private:
    """The contract `private` and the nodes that keep payloads, for one member."""

    def __init__(self, client: AsyncClient, key: PrivateKey) -> None:
        self._client = client
        self._key = key
        self._height = 0
        """Highest block that holds something of ours."""

    async def register_key(self, public: bytes) -> Outcome:
        """Set the encryption key of the member's organisation (an admin's call)."""
        return await self._send("register_key", key=public)

    async def share(self, payload: bytes, readers: Sequence[str], nodes: Sequence[str]) -> Sealed:
        """Seal a payload to organisations and hand it to nodes, given by URL.

        Raises:
            InvalidInput: NOT_FOUND for a reader without a key, or what chain or node refuse.
        """
        publics = {org: await self._public_of(org) for org in readers}
        sealed = seal(payload, publics)
        keepers = [await _node_key(node) for node in nodes]
        orgs: list[Value] = [org for org in sorted(publics)]  # noqa: C416 - widens the type
        await self._send(
            "store",
            payload=sealed.id,
            commitment=sealed.commitment,
            size=len(sealed.envelope),
            readers=orgs,
            keepers=list(keepers),
        )
        for node in nodes:
            await self._wait_for(node)
            await _put(node, sealed)
        return sealed

    async def grant(self, sealed: Sealed, org: str) -> Outcome:
        """Let one more organisation read."""
        box = seal_key(sealed.content_key, await self._public_of(org))
        return await self._send("grant", payload=sealed.id, org=org, sealed=box)

    async def open(
        self, payload: bytes, purpose: str, *, org: str, secret: bytes, node: str
    ) -> bytes:
        """Say on chain that we open a payload, fetch it from a node, and open it.

        Raises:
            InvalidInput: what the contract or the node refuses; BAD_PROOF if the content is not
                what was committed to.
        """
        await self._send("open", payload=payload, purpose=purpose)
        await self._wait_for(node)
        envelope = await self.fetch(payload, node)
        entry = await self._client.state(CONTRACT, "payloads", payload)
        grant = await self._client.state(CONTRACT, "grants", (payload, org))
        granted = grant.get("sealed") if isinstance(grant, dict) else b""
        salt, content = unseal(
            envelope, org, secret, granted if isinstance(granted, bytes) else b""
        )
        committed = entry.get("commitment") if isinstance(entry, dict) else None
        if not isinstance(committed, bytes) or not hmac.compare_digest(
            committed, commitment(salt, content)
        ):
            raise InvalidInput(Code.BAD_PROOF, "the content is not what its owner committed to")
        return content

    async def fetch(self, payload: bytes, node: str) -> bytes:
        """Fetch an envelope from a node that keeps it; the chain has to allow it already."""
        chain_id = (await self._client.genesis()).chain_id
        time_ms = time.time_ns() // 1_000_000
        message = fetch_message(chain_id, await _node_key(node), payload, time_ms)
        request = FetchRequest(to_hex(self._key.public), time_ms, to_hex(self._key.sign(message)))
        transport = Transport([node], TIMEOUT_MS)
        try:
            body = msgspec.json.encode(request)
            reply = await transport.post(f"/v1/private/{payload.hex()}", body, BlobReply)
        finally:
            await transport.close()
        envelope = from_hex(reply.blob or "0x")
        if digest(Domain.BLOB, envelope) != payload:
            raise InvalidInput(Code.DIGEST_MISMATCH, "the node gave something else")
        return envelope

    async def order_purge(self, payload: bytes) -> Outcome:
        """Order all keepers to delete (an admin of the owner)."""
        return await self._send("order_purge", payload=payload)

    async def confirm_purge(self, payload: bytes, node: str) -> Outcome:
        """Get a node's statement that it holds the envelope no more, and put it on chain.

        Raises:
            InvalidInput: the chain orders no purge.
        """
        await self._wait_for(node)
        transport = Transport([node], TIMEOUT_MS)
        try:
            path = f"/v1/private/{payload.hex()}/purge"
            found = await transport.post(path, b"", PurgeReply)
        finally:
            await transport.close()
        return await self._send(
            "confirm_purge",
            payload=payload,
            node=from_hex(found.node),
            signature=from_hex(found.signature),
        )

    async def _public_of(self, org: str) -> bytes:
        entry = await self._client.state(CONTRACT, "keys", org)
        public = entry.get("key") if isinstance(entry, dict) else None
        if not isinstance(public, bytes) or len(public) != bindings.crypto_box_PUBLICKEYBYTES:
            raise InvalidInput(
                Code.NOT_FOUND, f"{org} has no encryption key", hint="an admin registers it"
            )
        return public

    async def _send(self, method: str, **args: Value) -> Outcome:
        call = make_call(CONTRACT, method, args)
        submission = await self._client.submit(call, key=self._key)
        self._height = max(self._height, submission.height or 0)
        return submission.require()

    async def _wait_for(self, node: str) -> None:
        """Wait until a node has seen what we know to be final."""
        height = max(self._height, int((await self._client.status()).height))
        for _ in range(POLLS_MAX):
            if int((await _status(node)).height) >= height:
                return
            await asyncio.sleep(POLL_S)
        raise Unavailable(
            Code.SYNCING, f"{node} has not reached height {height}", hint="try again later"
        )


async def _status(node: str) -> StatusReply:
    transport = Transport([node], TIMEOUT_MS)
    try:
        return await transport.ask("status", Empty(), StatusReply)
    finally:
        await transport.close()


async def _node_key(node: str) -> bytes:
    return from_hex((await _status(node)).node_key)


async def _put(node: str, sealed: Sealed) -> None:
    transport = Transport([node], TIMEOUT_MS)
    try:
        await transport.put(f"/v1/private/{sealed.id.hex()}", sealed.envelope, BlobReply)
    finally:
        await transport.close()
