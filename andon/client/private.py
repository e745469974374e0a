"""Private payloads: sealed here, kept by nodes, audited and purged on chain (contract `private`).

What a reader has opened it can keep: purge deletes what nodes hold, and proves that. Envelopes are
made by `andon.client.payloads`.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from nacl import bindings

from andon.client.async_client import AsyncClient
from andon.client.attested import Attested
from andon.client.payloads import (
    CONTRACT,
    FetchRequest,
    PurgeReply,
    Sealed,
    commitment,
    encryption_public,
    fetch_message,
    new_encryption_key,
    purge_message,
    seal,
    seal_key,
    unseal,
)
from andon.client.results import Event, Outcome
from andon.client.transport import Transport
from andon.core.codec import Value
from andon.core.errors import Code, InvalidInput, Misuse, Unavailable
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.json_value import from_hex, to_hex
from andon.core.keys import PrivateKey, verify
from andon.core.rpc_schema import BlobReply, Empty, StatusReply
from andon.core.transaction import make_call

__all__ = ["Private", "PurgeProof", "encryption_public", "new_encryption_key"]

TIMEOUT_MS = 30_000
POLL_S = 0.1
POLLS_MAX = 300
AUDIT_PAGES_MAX = 1000
PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True)
class PurgeProof:
    """Statements of all keepers, whose signatures were checked, and a bundle for `andon verify`."""

    payload: bytes
    statements: tuple[tuple[bytes, bytes], ...]
    """Node key and signature of `purge_message`."""
    bundle: bytes
    """Proof of state: the payload's entry, with status and keepers."""


class Private:
    """The contract `private` and the nodes that keep payloads, for one member."""

    def __init__(self, client: AsyncClient, key: PrivateKey | None = None) -> None:
        self.client = client
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
        sealed = await self.seal(payload, readers)
        await self.hand_over(sealed, nodes)
        return sealed

    async def seal(self, payload: bytes, readers: Sequence[str]) -> Sealed:
        """Seal a payload to the registered keys of organisations; sends nothing.

        Raises:
            InvalidInput: NOT_FOUND for a reader without a key, TOO_LARGE, TOO_MANY.
        """
        return seal(payload, {org: await self._public_of(org) for org in readers})

    async def share_input(self, model_id: bytes, window: bytes, nodes: Sequence[str]) -> bytes:
        """Seal a window to the committee of an attested model; gives the payload's id.

        Name the nodes of the committee's members: a member whose node keeps no copy is absent.

        Raises:
            InvalidInput: NOT_FOUND without a committee, BAD_KEY if a member has not enrolled.
        """
        envelope, reference = await Attested(self.client).seal_window(model_id, window)
        sealed = Sealed(reference[:DIGEST_BYTES], envelope, reference[DIGEST_BYTES:], b"", ())
        await self.hand_over(sealed, nodes)
        return sealed.id

    async def ask(self, payload: bytes, model: str, purpose: str) -> int:
        """Have the committee predict on a window that `share_input` sealed; gives the request.

        Raises:
            InvalidInput: what the contract refuses.
        """
        outcome = await self._send("ask", payload=payload, model=model, purpose=purpose)
        numbers = [result for result in outcome.results if isinstance(result, int)]
        return numbers[0]

    async def answer(self, number: int) -> dict[str, Value]:
        """The proved entry of a prediction on a payload: status, outputs, purpose.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        return _fields(await self.client.state(CONTRACT, "asked", number), f"request {number}")

    async def entry(self, payload: bytes) -> dict[str, Value]:
        """The proved entry of a payload: owner, keepers, status.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        found = await self.client.state(CONTRACT, "payloads", payload)
        return _fields(found, f"payload {payload.hex()[:16]}")

    async def purge_proof(self, payload: bytes) -> PurgeProof:
        """Collect the statements of all keepers with a proof of state that they are complete.

        Raises:
            InvalidInput: NOT_FOUND; BAD_PROOF if a keeper has not confirmed or a signature fails.
        """
        entry = await self.entry(payload)
        chain_id = (await self.client.genesis()).chain_id
        statements: list[tuple[bytes, bytes]] = []
        keepers = entry.get("keepers")
        for node in keepers if isinstance(keepers, list) else []:
            assert isinstance(node, bytes), "the contract checks its keepers"
            found = await self.client.state(CONTRACT, "purges", (payload, node))
            signature = found.get("signature") if isinstance(found, dict) else None
            if not isinstance(signature, bytes):
                raise InvalidInput(
                    Code.BAD_PROOF,
                    "a keeper has not confirmed the purge",
                    hint="`andon private purge` asks each keeper",
                )
            verify(node, purge_message(chain_id, payload), signature)
            statements.append((node, signature))
        bundle = await self.client.state_proof(CONTRACT, "payloads", payload)
        return PurgeProof(payload, tuple(statements), from_hex(bundle))

    async def access(self, payload: bytes | None = None) -> list[Event]:
        """Who stored, was let in, opened, asked and purged: the events of one payload, or of all.

        Raises:
            Unavailable: TOO_MANY pages; give a payload's own height to begin with.
        """
        found: list[Event] = []
        cursor = "0-0-0"
        for _ in range(AUDIT_PAGES_MAX):
            events, after = await self.client.events_page(
                cursor, contract=CONTRACT, limit=PAGE_EVENTS
            )
            found += [item for item in events if payload in (None, item.fields.get("payload"))]
            if after == cursor:
                return found
            cursor = after
        raise Unavailable(Code.TOO_MANY, f"more than {AUDIT_PAGES_MAX} pages of events")

    async def hand_over(self, sealed: Sealed, nodes: Sequence[str]) -> None:
        """Announce a payload and hand it to its keepers; those we miss copy it from the others.

        Raises:
            InvalidInput: what chain or nodes refuse. Unavailable: no keeper can be reached.
        """
        keepers = [await _node_key(node) for node in nodes]
        await self._send(
            "store",
            payload=sealed.id,
            commitment=sealed.commitment,
            size=len(sealed.envelope),
            readers=list(sealed.readers),
            keepers=list(keepers),
        )
        failed: list[Unavailable] = []
        for node in nodes:
            try:
                await self._wait_for(node)
                await _put(node, sealed)
            except Unavailable as error:
                failed.append(error)
        if len(failed) == len(nodes):
            raise failed[0]

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
        entry = await self.client.state(CONTRACT, "payloads", payload)
        grant = await self.client.state(CONTRACT, "grants", (payload, org))
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
        chain_id = (await self.client.genesis()).chain_id
        time_ms = time.time_ns() // 1_000_000
        message = fetch_message(chain_id, await _node_key(node), payload, time_ms)
        if self._key is None:
            raise Misuse(Code.BAD_KEY, "a request to a node is signed", hint="give `Private` a key")
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

    async def withdraw(self, payload: bytes, org: str) -> Outcome:
        """Have nodes deliver no more to an organisation; what it has, it keeps."""
        return await self._send("withdraw", payload=payload, org=org)

    async def order_purge(self, payload: bytes) -> Outcome:
        """Order all keepers to delete (an admin of the owner)."""
        return await self._send("order_purge", payload=payload)

    async def purge(self, payload: bytes, nodes: Sequence[str]) -> int:
        """Order a purge if none is, and confirm it for the nodes given; gives how many are left.

        Raises:
            InvalidInput: what the contract refuses.
        """
        if (await self.entry(payload)).get("status") == "STORED":
            await self.order_purge(payload)
        for node in nodes:
            public = await _node_key(node)
            known = await self.client.state(CONTRACT, "purges", (payload, public))
            if known is None and await self.is_keeper(payload, node):
                await self.confirm_purge(payload, node)
        left = (await self.entry(payload)).get("left")
        return left if isinstance(left, int) else 0

    async def is_keeper(self, payload: bytes, node: str) -> bool:
        """Tell whether the chain names a node, given by URL, a keeper of a payload.

        Raises:
            InvalidInput: NOT_FOUND for a payload that the chain does not know.
        """
        keepers = (await self.entry(payload)).get("keepers")
        return isinstance(keepers, list) and await _node_key(node) in keepers

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
        entry = await self.client.state(CONTRACT, "keys", org)
        public = entry.get("key") if isinstance(entry, dict) else None
        if not isinstance(public, bytes) or len(public) != bindings.crypto_box_PUBLICKEYBYTES:
            raise InvalidInput(
                Code.NOT_FOUND, f"{org} has no encryption key", hint="an admin registers it"
            )
        return public

    async def _send(self, method: str, **args: Value) -> Outcome:
        call = make_call(CONTRACT, method, args)
        submission = await self.client.submit(call, key=self._key)
        self._height = max(self._height, submission.height or 0)
        return submission.require()

    async def _wait_for(self, node: str) -> None:
        """Wait until a node has seen what we know to be final."""
        height = max(self._height, int((await self.client.status()).height))
        for _ in range(POLLS_MAX):
            if int((await _status(node)).height) >= height:
                return
            await asyncio.sleep(POLL_S)
        raise Unavailable(
            Code.SYNCING, f"{node} has not reached height {height}", hint="try again later"
        )


def _fields(found: Value, what: str) -> dict[str, Value]:
    if not isinstance(found, dict):
        raise InvalidInput(Code.NOT_FOUND, f"the chain has no {what}")
    return {str(name): item for name, item in found.items()}


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
