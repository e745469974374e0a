"""Transactions that the node itself signs, with the validator key: attestations, accusations."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog

from andon.core.certificate import SignedVote
from andon.core.codec import encode
from andon.core.errors import AndonError
from andon.core.transaction import (
    NONCE_BYTES,
    Call,
    TransactionBody,
    make_call,
)
from node.signer.ports import ValidatorSigner

GAS_LIMIT = 5_000_000
EXPIRY_BLOCKS = 256

log = structlog.get_logger()


class OwnCalls:
    """Signs calls and hands them to `submit`."""

    def __init__(
        self,
        chain_id: str,
        signer: ValidatorSigner,
        height: Callable[[], int],
        submit: Callable[[bytes], Awaitable[object]],
    ) -> None:
        self._chain_id = chain_id
        self._signer = signer
        self._height = height
        self._submit = submit

    async def send(self, call: Call) -> None:
        """Sign a call and submit it. Raises what admission raises."""
        body = TransactionBody(
            chain_id=self._chain_id,
            sender=self._signer.public_key,
            nonce=secrets.token_bytes(NONCE_BYTES),
            expires_height=self._height() + EXPIRY_BLOCKS,
            gas_limit=GAS_LIMIT,
            calls=(call,),
        )
        # A signer that is another process blocks; it may be slow, or gone for a while.
        await self._submit(await asyncio.to_thread(self._signer.sign_transaction, body))

    async def accuse(self, first: SignedVote, second: SignedVote) -> None:
        """Put two votes that no honest validator signs on the chain; others may be faster."""
        call = make_call("evidence", "submit", {"first": encode(first), "second": encode(second)})
        try:
            await self.send(call)
        except AndonError as error:
            log.warning("evidence.refused", reason=str(error)[:200])


def make_own_calls(
    chain_id: str,
    signer: ValidatorSigner | None,
    height: Callable[[], int],
    submit: Callable[[bytes], Awaitable[object]],
) -> OwnCalls | None:
    """Make them for a validator; None for an observer."""
    return None if signer is None else OwnCalls(chain_id, signer, height, submit)
