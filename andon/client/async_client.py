"""The async client: submit and follow transactions, read state and predictions with proofs.

Every proof is checked against the genesis document before a value is given back. Give the
document (`genesis=`) to trust nobody; without it the client takes the first node's word for it
and stays with that network.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import msgspec

from andon.client.credentials import Credentials
from andon.client.defaults import GAS_LIMIT
from andon.client.events import follow_events
from andon.client.large_blobs import fetch_file, publish_file
from andon.client.results import (
    Event,
    Outcome,
    Prediction,
    Submission,
    event_of,
    failure_error,
    outcome_of,
    outcome_proved,
    value_of,
)
from andon.client.stages import not_final_yet, refused
from andon.client.transport import Transport
from andon.client.verifier import Verifier
from andon.core.codec import Key, Value, decode, decode_value
from andon.core.errors import Code, InvalidInput, Misuse, Unavailable
from andon.core.genesis import Genesis, genesis_from_json, genesis_hash
from andon.core.hashing import Domain, digest
from andon.core.json_value import from_hex, to_hex, value_to_json
from andon.core.keys import PrivateKey
from andon.core.proof import PredictionSubject
from andon.core.rpc_interfaces import ContractParams, ContractReply
from andon.core.rpc_schema import (
    WAIT_TIMEOUT_MS,
    BlobReply,
    BlockParams,
    BlockReply,
    CallParams,
    CallReply,
    DigestParams,
    Empty,
    EventsParams,
    EventsReply,
    GenesisReply,
    PredictionParams,
    PredictionReply,
    ReceiptReply,
    StateParams,
    StateReply,
    StatusReply,
    SubmitParams,
    SubmitReply,
    TransactionParams,
    TransactionReply,
    ValidatorsReply,
)
from andon.core.state_key import ABSENT, Absent, state_key
from andon.core.transaction import (
    NONCE_BYTES,
    Call,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from andon.core.wire import FinalBlock

EXPIRY_BLOCKS = 1000
"""Default distance of a transaction's expiry from the last known height."""

HEIGHT_AGE_MAX = 200
"""After so many submissions the client asks for the height again."""

REQUEST_TIMEOUT_MS = 10_000
Wait = Literal["none", "accepted", "final"]


class AsyncClient:
    """A connection to a network over one or more nodes. Use as `async with`."""

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        genesis: Genesis | None = None,
        key: PrivateKey | None = None,
        timeout_ms: int = REQUEST_TIMEOUT_MS,
        credentials: Credentials | None = None,
    ) -> None:
        """Without `credentials`, those that the environment names are used."""
        urls = [endpoints] if isinstance(endpoints, str) else list(endpoints)
        self._transport = Transport(urls, timeout_ms, credentials)
        self._genesis = genesis
        self._verifier: Verifier | None = None
        self._key = key
        self._height = 0
        self._height_uses = HEIGHT_AGE_MAX

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._transport.close()

    @property
    def endpoint(self) -> str:
        """The node that is asked first now."""
        return self._transport.endpoint

    async def genesis(self) -> Genesis:
        """The genesis document that this client trusts."""
        if self._genesis is None:
            reply = await self._transport.ask("genesis", Empty(), GenesisReply)
            genesis = genesis_from_json(bytes(reply.document))
            if to_hex(genesis_hash(genesis)) != reply.genesis_hash:
                raise InvalidInput(Code.BAD_GENESIS, "the node's genesis does not fit its hash")
            self._genesis = genesis
        return self._genesis

    async def _verify(self) -> Verifier:
        if self._verifier is None:
            self._verifier = Verifier(await self.genesis())
        return self._verifier

    async def status(self) -> StatusReply:
        """Where the node stands."""
        reply = await self._transport.ask("status", Empty(), StatusReply)
        self._height, self._height_uses = int(reply.height), 0
        return reply

    async def validators(self) -> ValidatorsReply:
        """The current validators."""
        return await self._transport.ask("validators", Empty(), ValidatorsReply)

    async def block(self, reference: int | bytes | None = None) -> BlockReply:
        """A final block by height or hash; the last one by default."""
        params = BlockParams(
            height=reference if isinstance(reference, int) else None,
            hash=to_hex(reference) if isinstance(reference, bytes) else None,
        )
        return await self._transport.ask("block", params, BlockReply)

    async def final_block(self, height: int) -> FinalBlock:
        """A whole block with its Final certificate, unchecked."""
        params = BlockParams(height=height, raw=True)
        reply = await self._transport.ask("block", params, BlockReply)
        return decode(FinalBlock, from_hex(reply.raw or "0x"))

    async def build(
        self,
        calls: Call | Iterable[Call],
        *,
        sender: bytes,
        gas_limit: int = GAS_LIMIT,
        expires_height: int | None = None,
        nonce: bytes | None = None,
    ) -> TransactionBody:
        """Prepare a transaction for signing, here or offline."""
        if expires_height is None:
            expires_height = await self._recent_height() + EXPIRY_BLOCKS
        return TransactionBody(
            chain_id=(await self.genesis()).chain_id,
            sender=sender,
            nonce=secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce,
            expires_height=expires_height,
            gas_limit=gas_limit,
            calls=(calls,) if isinstance(calls, Call) else tuple(calls),
        )

    async def submit(
        self,
        calls: Call | Iterable[Call],
        *,
        key: PrivateKey | None = None,
        wait: Wait = "final",
        timeout_ms: int = WAIT_TIMEOUT_MS,
        gas_limit: int = GAS_LIMIT,
        on_hash: Callable[[bytes], None] | None = None,
    ) -> Submission:
        """Sign and submit; `on_hash` hears the hash before anything is sent.

        Raises:
            SubmitRefused: the rule that refused it. NotFinalYet: the waiting time is over; the
                transaction may still become final. Both have the field `hash`.
        """
        key = key or self._key
        if key is None:
            raise Misuse(Code.BAD_KEY, "submit needs a key", hint="AsyncClient(..., key=key)")
        body = await self.build(calls, sender=key.public, gas_limit=gas_limit)
        return await self.submit_raw(
            sign_transaction(body, key), wait=wait, timeout_ms=timeout_ms, on_hash=on_hash
        )

    async def submit_raw(
        self,
        raw: bytes,
        *,
        wait: Wait = "final",
        timeout_ms: int = WAIT_TIMEOUT_MS,
        on_hash: Callable[[bytes], None] | None = None,
    ) -> Submission:
        """Submit signed bytes; the same bytes again are harmless and give the same answer."""
        identity = parse_transaction(raw).id
        if on_hash is not None:
            on_hash(identity)
        params = SubmitParams(raw=to_hex(raw), wait=wait, timeout_ms=timeout_ms)
        try:
            reply = await self._transport.ask("submit", params, SubmitReply, wait_ms=timeout_ms)
        except InvalidInput as error:
            raise refused(error, identity) from None
        except Unavailable as error:
            if error.code is not Code.CONFIRMATION_TIMEOUT:
                raise
            raise not_final_yet(error, identity) from None
        return _submission(identity, reply.state, reply.height, reply.receipt)

    async def wait(self, identity: bytes, timeout_ms: int = WAIT_TIMEOUT_MS) -> Submission:
        """Wait until a transaction is final, by sending its bytes again."""
        found = await self.transaction(identity)
        if found.receipt is not None:
            return _submission(identity, found.state, found.height, found.receipt)
        return await self.submit_raw(from_hex(found.raw), wait="final", timeout_ms=timeout_ms)

    async def transaction(self, identity: bytes) -> TransactionReply:
        """A transaction; if final, its inclusion and receipt are proved before it is given.

        Raises:
            InvalidInput: NOT_FOUND; BAD_PROOF if the node lies.
        """
        params = TransactionParams(hash=to_hex(identity), proof=True)
        reply = await self._transport.ask("tx", params, TransactionReply)
        if reply.state == "final":
            verifier = await self._verify()
            verifier.transaction(reply.transaction_proof or "", identity)
            _, subject = verifier.receipt(reply.receipt_proof or "", identity)
            if reply.receipt is None or outcome_of(reply.receipt) != outcome_proved(
                subject.receipt, int(reply.height or 0), reply.index or 0
            ):
                raise InvalidInput(Code.BAD_PROOF, "the shown receipt is not the proved one")
        return reply

    async def outcome(self, identity: bytes) -> Outcome:
        """The proved outcome of a final transaction."""
        reply = await self.transaction(identity)
        return _submission(identity, reply.state, reply.height, reply.receipt).require()

    async def call(
        self,
        contract: str,
        method: str,
        args: Mapping[str, Value] | None = None,
        *,
        sender: bytes | None = None,
        height: int | None = None,
    ) -> Value:
        """Run a read-only call on the node's state after block `height` (its word, no proof).

        Raises:
            InvalidInput: CONTRACT_FAILED with the contract's own message; HEIGHT_UNKNOWN with the
                heights that are kept. Without a height it is the last final block.
        """
        named: dict[Key, Value] = dict(args.items()) if args else {}
        params = CallParams(
            contract=contract,
            method=method,
            args=msgspec.Raw(msgspec.json.encode(value_to_json(named))),
            sender=None if sender is None else to_hex(sender),
            height=height,
        )
        reply = await self._transport.ask("call", params, CallReply)
        if reply.failure is not None:
            raise failure_error(reply.failure)
        return value_of(reply.result)

    async def state(
        self, contract: str, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT
    ) -> Value:
        """The proved value of a `Var`, or of a `Map` entry; None if it is absent.

        Raises:
            InvalidInput: BAD_PROOF if the node lies.
        """
        wanted = state_key(contract, variable, key)
        reply = await self._transport.ask("state", StateParams(raw_key=to_hex(wanted)), StateReply)
        _, value = (await self._verify()).state(reply.proof, wanted)
        return None if value is None else decode_value(value)

    async def state_proof(self, contract: str, variable: str, key: Key) -> str:
        """Proof of an entry, present or absent, in hex: to hand over, checked with `Verifier`."""
        wanted = state_key(contract, variable, key)
        reply = await self._transport.ask("state", StateParams(raw_key=to_hex(wanted)), StateReply)
        (await self._verify()).state(reply.proof, wanted)
        return reply.proof

    async def prediction(self, identity: bytes) -> Prediction:
        """A committed prediction, proved before it is given.

        Raises:
            InvalidInput: NOT_FOUND; BAD_PROOF if the node lies.
        """
        params = PredictionParams(id=to_hex(identity))
        reply = await self._transport.ask("prediction", params, PredictionReply)
        verified, bundle = (await self._verify()).prediction(reply.proof or "", identity)
        assert isinstance(verified.subject, PredictionSubject)
        return Prediction.of(verified, verified.subject.record, bundle)

    async def predictions(self, first: int, last: int) -> AsyncIterator[Prediction]:
        """All predictions of the blocks at heights `first` to `last`, ascending, each proved."""
        for height in range(first, last + 1):
            for identity in (await self.block(height)).predictions:
                yield await self.prediction(from_hex(identity))

    async def interface(self, contract: str) -> Value:
        """What can be called of a contract, as the node's engine describes it (its word)."""
        params = ContractParams(name=contract)
        reply = await self._transport.ask("contract", params, ContractReply)
        return value_of(reply.abi)

    async def predictions_of(self, identity: bytes) -> list[Prediction]:
        """All predictions that a final transaction asked for, each proved."""
        reply = await self.transaction(identity)
        return [await self.prediction(from_hex(item.id)) for item in reply.predictions]

    def events(
        self, cursor: str = "", *, contract: str = "", name: str = ""
    ) -> AsyncIterator[Event]:
        """Follow events after `cursor` (empty: from now on) for ever, over broken connections.

        Raises:
            Unavailable: CURSOR_EXPIRED if that history is pruned, so that no gap is silent.
        """
        return follow_events(self._transport, cursor, contract, name)

    async def events_page(
        self, cursor: str = "", *, limit: int = 100, wait_ms: int = 0, contract: str = ""
    ) -> tuple[list[Event], str]:
        """One page of events and the cursor to go on with."""
        params = EventsParams(cursor=cursor, limit=limit, wait_ms=wait_ms, contract=contract)
        reply = await self._transport.ask("events", params, EventsReply, wait_ms=wait_ms)
        return [event_of(item) for item in reply.events], reply.cursor

    async def publish_blob(self, blob: bytes) -> bytes:
        """Store a blob with the node for its peers to fetch; returns its checked digest."""
        reply = await self._transport.put("/v1/blob", blob, BlobReply)
        expected = digest(Domain.BLOB, blob)
        if from_hex(reply.digest) != expected:
            raise Unavailable(Code.DIGEST_MISMATCH, "the node stored something else")
        return expected

    async def publish_file(self, path: Path) -> bytes:
        """Store a file of any size with the node, in parts; returns its digest (`large_blobs`)."""
        return await publish_file(self._transport, path)

    async def fetch_file(self, identity: bytes, path: Path) -> int:
        """Fetch a blob of any size into a file, in parts; returns its size (`large_blobs`)."""
        return await fetch_file(self._transport, identity, path)

    async def blob(self, identity: bytes) -> bytes:
        """Fetch a blob and check its digest."""
        reply = await self._transport.ask("blob", DigestParams(digest=to_hex(identity)), BlobReply)
        blob = from_hex(reply.blob or "0x")
        if digest(Domain.BLOB, blob) != identity:
            raise InvalidInput(Code.DIGEST_MISMATCH, "the node gave another blob")
        return blob

    async def send(self, contract: str, method: str, /, **args: Value) -> Outcome:
        """Submit one call with the client's key, wait until final, require success."""
        return (await self.submit(make_call(contract, method, args))).require()

    async def _recent_height(self) -> int:
        self._height_uses += 1
        if self._height_uses >= HEIGHT_AGE_MAX:
            await self.status()
        return self._height


def _submission(
    identity: bytes, state: str, height: str | None, receipt: ReceiptReply | None
) -> Submission:
    return Submission(
        hash=identity,
        state=state,
        height=None if height is None else int(height),
        outcome=None if receipt is None else outcome_of(receipt),
    )
