"""Contract `training` over RPC: what a plant or validator reads and sends in a federated run.

Reads are proved against certificates of final blocks: a plant reveals shares only for survivors
that more than two thirds of the validators have frozen. Outbound connections only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from andon.client.async_client import AsyncClient
from andon.core.codec import Key, Value
from andon.core.errors import AndonError, Code, Unavailable
from andon.core.genesis import Genesis
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call

CONTRACT = "training"
GAS_LIMIT = 50_000_000
SEND_TIMEOUT_MS = 30_000


class TrainingLedger:
    """One account's view of the contract over one or more nodes. Use as `async with`."""

    def __init__(
        self,
        endpoints: Sequence[str],
        key: PrivateKey,
        *,
        genesis: Genesis,
        contract: str = CONTRACT,
    ) -> None:
        self.chain_id = genesis.chain_id
        self._contract = contract
        self._client = AsyncClient(endpoints, genesis=genesis, key=key)
        # A blob lies with the node that it was given to until its peers fetch it.
        self._stores = [AsyncClient(url, genesis=genesis) for url in endpoints]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in (self._client, *self._stores):
            await client.close()

    async def state(self, variable: str, key: Key) -> Value:
        """A proved entry of the contract's state, None if absent."""
        return await self._client.state(self._contract, variable, key)

    async def height(self) -> int:
        """Height of the last final block of the node that is asked."""
        return int((await self._client.status()).height)

    async def send(self, method: str, arguments: dict[str, Value]) -> None:
        """Submit a call, wait until it is final and require success."""
        submission = await self._client.submit(
            make_call(self._contract, method, arguments),
            timeout_ms=SEND_TIMEOUT_MS,
            gas_limit=GAS_LIMIT,
        )
        submission.require()

    async def publish(self, blob: bytes) -> bytes:
        """Store a blob with the first node that takes it."""
        return await self._client.publish_blob(blob)

    async def blob(self, identity: bytes) -> bytes:
        """Fetch a blob from the first node that has it.

        Raises:
            Unavailable: NOT_FOUND when no node that answers has it.
        """
        for store in self._stores:
            try:
                return await store.blob(identity)
            except AndonError as error:
                if error.code not in (Code.NOT_FOUND, Code.UNREACHABLE, Code.DIGEST_MISMATCH):
                    raise
        raise Unavailable(
            Code.NOT_FOUND,
            f"no node has the blob {identity.hex()[:16]}",
            hint="its owner publishes it again when it runs",
        )
