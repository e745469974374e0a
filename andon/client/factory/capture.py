"""Sign an EPCIS document for a node's capture face: the document, with the transaction in it."""

from __future__ import annotations

import json

from andon.client.async_client import AsyncClient
from andon.client.factory.epcis import TRANSACTION, capture_calls
from andon.core.json_value import to_hex
from andon.core.keys import PrivateKey
from andon.core.transaction import sign_transaction

GAS_LIMIT = 50_000_000


async def signed(
    client: AsyncClient, document: bytes, key: PrivateKey, *, contract: str = "supply"
) -> bytes:
    """What to POST to `/epcis/capture`. Raises InvalidInput as `capture_calls`."""
    calls = capture_calls(document, contract)
    body = await client.build(calls, sender=key.public, gas_limit=GAS_LIMIT)
    whole = json.loads(document)
    whole[TRANSACTION] = to_hex(sign_transaction(body, key))
    return json.dumps(whole).encode()
