"""What the load generator talks to: Andon's RPC, and CometBFT's."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import aiohttp
import msgspec

from andon.core.codec import decode, encode
from andon.core.transaction import SignedTransaction, transaction_id
from andon.core.wire import FinalBlock, Transactions
from scripts.bench.load import BATCH_MAX, Seen


class AndonTarget:
    """Nodes of this checkout: raw transactions in, raw final blocks out."""

    batch_max = BATCH_MAX

    def identify(self, raw: bytes) -> bytes:
        """The transaction id."""
        return transaction_id(decode(SignedTransaction, raw).body)

    async def height(self, session: aiohttp.ClientSession, url: str) -> int:
        """Height of the last final block."""
        async with session.get(url + "/v1/status") as answer:
            status = msgspec.json.decode(await answer.read(), type=dict[str, object])
        return int(str(status["height"]))

    async def offer(
        self, session: aiohttp.ClientSession, url: str, raws: Sequence[bytes]
    ) -> list[str]:
        """Submit a batch."""
        body = encode(Transactions(raws=tuple(raws)))
        async with session.post(url + "/v1/transactions/batch", data=body) as answer:
            entries = await answer.json()
            if answer.status != 200:
                return [str(entries.get("name", answer.status))] * len(raws)
        return ["" if entry.get("hash") else str(entry.get("name")) for entry in entries]

    async def block(self, session: aiohttp.ClientSession, url: str, height: int) -> Seen | None:
        """A final block."""
        async with session.get(f"{url}/v1/blocks/{height}/raw") as answer:
            data = await answer.read()
            if answer.status != 200:
                return None
        block = decode(FinalBlock, data).block
        identities = tuple(self.identify(raw) for raw in block.transactions)
        return Seen(identities, len(data), len(block.predictions), block.header.time_ms)


class CometTarget:
    """CometBFT with its built-in kvstore: `key=value` transactions over JSON-RPC."""

    batch_max = BATCH_MAX

    def identify(self, raw: bytes) -> bytes:
        """The hash that CometBFT gives a transaction."""
        return hashlib.sha256(raw).digest()

    async def height(self, session: aiohttp.ClientSession, url: str) -> int:
        """Height of the last committed block."""
        async with session.get(url + "/status") as answer:
            reply = await answer.json(content_type=None)
        return int(reply["result"]["sync_info"]["latest_block_height"])

    async def offer(
        self, session: aiohttp.ClientSession, url: str, raws: Sequence[bytes]
    ) -> list[str]:
        """Send a batch of `broadcast_tx_sync`, which answers after CheckTx."""
        calls = [
            {
                "jsonrpc": "2.0",
                "id": index,
                "method": "broadcast_tx_sync",
                "params": {"tx": base64.b64encode(raw).decode()},
            }
            for index, raw in enumerate(raws)
        ]
        async with session.post(url, json=calls) as answer:
            replies = await answer.json(content_type=None)
        if isinstance(replies, dict):
            replies = [replies]
        found = {reply.get("id"): reply for reply in replies}
        return [refusal_of(found.get(index)) for index in range(len(raws))]

    async def block(self, session: aiohttp.ClientSession, url: str, height: int) -> Seen | None:
        """A committed block."""
        async with session.get(f"{url}/block", params={"height": str(height)}) as answer:
            data = await answer.read()
        reply = msgspec.json.decode(data)
        if "result" not in reply:
            return None
        raws = [base64.b64decode(text) for text in reply["result"]["block"]["data"]["txs"] or ()]
        return Seen(tuple(self.identify(raw) for raw in raws), sum(len(raw) for raw in raws))


def refusal_of(reply: dict[str, object] | None) -> str:
    """Reason in an answer to `broadcast_tx_sync`; empty if the transaction was taken."""
    if reply is None:
        return "no reply"
    error = reply.get("error")
    if isinstance(error, dict):
        return str(error.get("data", error.get("message")))[:60]
    result = reply.get("result")
    code = result.get("code") if isinstance(result, dict) else None
    return "" if code == 0 else f"code {code}"
