"""Contracts of federated runs over RPC: what a plant or validator reads and sends.

Reads are proved against certificates of final blocks: a plant reveals shares only for survivors
that more than two thirds of the validators have frozen. Outbound connections only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

from andon.client.async_client import AsyncClient
from andon.core.codec import Key, Value
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.genesis import Genesis
from andon.core.json_value import from_hex
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call

CONTRACT = "training"
CONTRACTS = ("conduct", "terms", "training", "updates", "verdicts", "routes", "origins")
"""What federated runs need beside `identity` and `models`, in order of deployment."""
_EXPORTS = {
    "updates": ("announce", "deal", "commit", "reveal", "sent"),
    "verdicts": ("hold", "attest"),
    "routes": ("give", "take", "order", "parcel"),
    "conduct": ("join", "leave", "accuse", "reinstate", "pay", "record", "standing"),
    "origins": ("adopt", "lineage", "packages_of"),
}
_STATE = {
    "updates": ("keys", "dealings", "commits", "reveals"),
    "verdicts": ("keepers", "doubters"),
    "routes": ("given",),
    "conduct": ("agreed", "spent", "earned", "owed", "suspended", "reliability", "faults"),
    "origins": ("adopted", "made_by"),
}
GAS_LIMIT = 50_000_000
SEND_TIMEOUT_MS = 30_000
EVENTS_MAX = 100


def contract_of(method: str) -> str:
    """The contract that has a method of a federated run."""
    return next((name for name, found in _EXPORTS.items() if method in found), CONTRACT)


def holder_of(variable: str) -> str:
    """The contract whose state has a variable of a federated run."""
    return next((name for name, found in _STATE.items() if variable in found), CONTRACT)


class TrainingLedger:
    """One account's view of the contract over one or more nodes. Use as `async with`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        key: PrivateKey,
        *,
        genesis: Genesis,
    ) -> None:
        self.chain_id = genesis.chain_id
        self._client = AsyncClient(endpoints, genesis=genesis, key=key)
        # A blob lies with the node that it was given to until its peers fetch it.
        self._stores = [AsyncClient(url, genesis=genesis) for url in endpoints]
        self._account = key.public
        self._owners: dict[int, bytes] = {}
        self._cursor = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in (self._client, *self._stores):
            await client.close()

    async def state(self, variable: str, key: Key) -> Value:
        """A proved entry of the contracts' state, None if absent."""
        return await self._client.state(holder_of(variable), variable, key)

    async def height(self) -> int:
        """Height of the last final block of the node that is asked."""
        return int((await self._client.status()).height)

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        """Submit a call, wait until it is final and require success."""
        submission = await self._client.submit(
            make_call(contract_of(method), method, arguments),
            timeout_ms=SEND_TIMEOUT_MS,
            gas_limit=GAS_LIMIT,
        )
        submission.require()

    async def publish(self, blob: bytes) -> bytes:
        """Store a blob with the first node that takes it."""
        return await self._client.publish_blob(blob)

    async def changed(self, wait_s: float) -> None:
        """Wait until a run has moved, at most `wait_s`: a hint, nothing is believed of it.

        What happened between two calls counts; the first one only takes its place.
        """
        wait_ms = int(1000 * wait_s) if self._cursor else 0
        try:
            _, self._cursor = await self._client.events_page(
                self._cursor, limit=EVENTS_MAX, wait_ms=wait_ms, contract=CONTRACT
            )
        except AndonError:
            # The node is away, or that history is pruned: look, and follow from then on.
            self._cursor = ""
            await asyncio.sleep(wait_s)

    async def spread(self, blob: bytes) -> None:
        """Store a blob with every node that takes it.

        Raises:
            Unavailable: when none does.
        """
        await _store(self._stores, blob)

    async def keep(self, blob: bytes) -> None:
        """Store a blob with the node of this account, a validator.

        One of those that say they are it is enough: another cannot hinder it by saying so too.

        Raises:
            Unavailable: UNREACHABLE unless one of the endpoints is that node and answers.
        """
        own = await self._stores_of(self._account)
        if not own:
            raise Unavailable(
                Code.UNREACHABLE,
                "the validator's own node is not among the nodes that answer",
                hint="a validator holds updates on its own node: give that node's address",
            )
        await _store(own, blob)

    async def serves(self, keeper: bytes, identity: bytes) -> bool | None:
        """Whether a validator's node gives a blob; None if it is not among those that answer.

        A node says itself whose it is, and nothing proves it: every one that claims to be the
        keeper's is asked, and none is taken for it while an endpoint has not yet said whose it is.
        So a liar cannot make a keeper look bad whose node is among the endpoints.
        """
        answers: list[bool | None] = []
        for store in await self._stores_of(keeper):
            try:
                await store.blob(identity)
                answers.append(True)
            except AndonError as error:
                is_refused = error.code in (Code.NOT_FOUND, Code.DIGEST_MISMATCH)
                answers.append(False if is_refused else None)
        if True in answers:
            return True
        is_sure = len(self._owners) == len(self._stores) and None not in answers
        return False if answers and is_sure else None

    async def _stores_of(self, validator: bytes) -> list[AsyncClient]:
        """The nodes that say they are a validator's; each is asked until it has answered once."""
        for index, store in enumerate(self._stores):
            if index not in self._owners:
                with contextlib.suppress(AndonError):
                    self._owners[index] = from_hex((await store.status()).validator_key or "0x")
        return [self._stores[index] for index, key in self._owners.items() if key == validator]

    async def blob(self, identity: bytes) -> bytes:
        """Fetch a blob from the first node that has it.

        Raises:
            Unavailable: NOT_FOUND when no node that answers has it.
        """
        for store in self._stores:
            # Whatever a node answers instead, the next one may have it.
            with contextlib.suppress(AndonError):
                return await store.blob(identity)
        raise Unavailable(
            Code.NOT_FOUND,
            f"no node has the blob {identity.hex()[:16]}",
            hint="its owner publishes it again when it runs",
        )


async def _store(stores: Sequence[AsyncClient], blob: bytes) -> None:
    """Store a blob with every node that takes it. Raises: AndonError when none does."""
    refused: AndonError | None = None
    count = 0
    for store in stores:
        try:
            await store.publish_blob(blob)
            count += 1
        except AndonError as error:
            refused = error
    if not count and refused is not None:
        raise refused
