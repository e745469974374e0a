"""The sender: windows leave the outbox as signed transactions, one after the other.

A transaction is signed and stored before it is sent, and the same bytes are sent until its fate is
known; the chain takes one id once. Only when it has expired and the chain does not know it is it
signed anew, and then the record's sequence number still lets each window in once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping

from andon.client.async_client import EXPIRY_BLOCKS, AsyncClient
from andon.client.results import Submission
from andon.core.codec import Value
from andon.core.errors import AndonError, Code, InvalidInput
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    NONCE_BYTES,
    TRANSACTION_BYTES_MAX,
    Call,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from andon.gateway.config import CallTable, Chain
from andon.gateway.outbox import Batch, Outbox
from andon.gateway.watch import CHAIN, Watch
from andon.gateway.windows import Window

RETRY_S = (0.25, 30.0)
IDLE_S = 0.2
FINAL_TIMEOUT_MS = 30_000
BATCH_BYTES_MAX = TRANSACTION_BYTES_MAX // 2
"""Windows beyond this wait for the next transaction."""

log = logging.getLogger(__name__)


class Sender:
    """Drains the outbox through a client."""

    def __init__(
        self,
        outbox: Outbox,
        client: AsyncClient,
        key: PrivateKey,
        chain: Chain,
        calls: Mapping[str, CallTable | None],
        *,
        watch: Watch,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._key = key
        self._chain = chain
        self._calls = calls
        self._watch = watch
        self._alone_to = -1
        """Windows up to this one go alone: a transaction that held them failed."""

    async def run(self) -> None:
        """Send for ever; whatever the network says, nothing is given up."""
        pause_s = RETRY_S[0]
        while True:
            try:
                is_idle = not await self.step()
            except AndonError as error:
                self._watch.submit_failed(error)
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_S[1], pause_s * 2)
                continue
            pause_s = RETRY_S[0]
            self._watch.works(CHAIN)
            if is_idle:
                await asyncio.sleep(IDLE_S)

    async def drain(self) -> None:
        """Send until nothing waits.

        Raises:
            AndonError: what stands in the way.
        """
        while await self.step():
            pass

    async def step(self) -> bool:
        """Bring the oldest windows to their end; False if there are none.

        Raises:
            AndonError: try again later.
        """
        batch = await asyncio.to_thread(self._outbox.batch)
        if batch is None:
            batch = await self._next_batch()
            if batch is None:
                return False
        started = time.monotonic()
        try:
            submission = await self._client.submit_raw(
                batch.raw, wait="final", timeout_ms=FINAL_TIMEOUT_MS
            )
            self._watch.submitted(time.monotonic() - started)
        except InvalidInput as error:
            if error.code not in (Code.EXPIRED, Code.DUPLICATE):
                raise
            found = await self._fate(batch)
            if found is None:
                await self._again(batch, is_bare=batch.is_bare)
                return True
            submission = found
        await self._settle(batch, submission)
        return True

    async def _next_batch(self) -> Batch | None:
        limit = self._chain.windows_per_transaction
        waiting = await asyncio.to_thread(self._outbox.pending, limit)
        if not waiting:
            return None
        taken: list[tuple[int, Window]] = []
        size = 0
        for place, window in waiting:
            size += len(window.window)
            if taken and (size > BATCH_BYTES_MAX or taken[0][0] <= self._alone_to):
                break
            taken.append((place, window))
        windows = [window for _, window in taken]
        return await self._sign(taken[0][0], windows, attempt=0, is_bare=False)

    async def _sign(
        self,
        first: int,
        windows: list[Window],
        *,
        attempt: int,
        is_bare: bool,
        refused: str = "",
    ) -> Batch:
        height = int((await self._client.status()).height)
        calls = tuple(call for window in windows for call in self._calls_of(window, is_bare))
        last = first + len(windows) - 1
        body = TransactionBody(
            chain_id=(await self._client.genesis()).chain_id,
            sender=self._key.public,
            nonce=_nonce(self._key, first, last, attempt),
            expires_height=height + EXPIRY_BLOCKS,
            gas_limit=self._chain.gas_limit,
            calls=calls,
        )
        raw = sign_transaction(body, self._key)
        batch = Batch(
            number=first,
            first=first,
            last=last,
            attempt=attempt,
            raw=raw,
            id=parse_transaction(raw).id,
            expires_height=body.expires_height,
            is_bare=is_bare,
        )
        await asyncio.to_thread(self._store, batch, windows[0], refused)
        return batch

    def _store(self, batch: Batch, window: Window, refused: str) -> None:
        with self._outbox.writing() as writer:
            writer.put_batch(batch)
            if refused:
                writer.refuse_call(window, refused)
                writer.settle()

    def _calls_of(self, window: Window, is_bare: bool) -> list[Call]:  # noqa: FBT001
        calls: list[Call] = []
        if self._chain.record:
            calls.append(record_call(self._chain.record, window))
        template = self._calls[window.stream]
        if template is not None and window.window and not is_bare:
            arguments = {name: _argument(item, window) for name, item in template.arguments.items()}
            calls.append(make_call(template.contract, template.method, arguments))
        return calls

    async def _fate(self, batch: Batch) -> Submission | None:
        """What became of a transaction that the node refuses as old; None: it never got in."""
        try:
            found = await self._client.transaction(batch.id)
        except InvalidInput as error:
            if error.code is Code.NOT_FOUND:
                return None
            raise
        if found.receipt is None:
            return None
        return await self._client.wait(batch.id)

    async def _settle(self, batch: Batch, submission: Submission) -> None:
        outcome = submission.outcome
        assert outcome is not None
        height = submission.height or 0
        if outcome.ok:
            await asyncio.to_thread(self._finish, batch, height, "")
            return
        failure = outcome.failure
        reason = "" if failure is None else f"{failure.code} {failure.contract}: {failure.message}"
        windows = await self._windows(batch)
        log.warning("transaction %s failed: %s", batch.id.hex()[:16], reason)
        if len(windows) > 1:
            self._alone_to = batch.last
            await self._sign(batch.first, windows[:1], attempt=batch.attempt + 1, is_bare=False)
        elif await self._is_recorded(windows[0]):
            await asyncio.to_thread(self._finish, batch, height, "")
        elif not batch.is_bare and self._chain.record:
            await self._again(batch, is_bare=True, refused=reason)
        else:
            await asyncio.to_thread(self._finish, batch, height, reason or "refused")

    async def _again(self, batch: Batch, *, is_bare: bool, refused: str = "") -> None:
        windows = await self._windows(batch)
        attempt = batch.attempt + 1
        await self._sign(batch.first, windows, attempt=attempt, is_bare=is_bare, refused=refused)

    async def _windows(self, batch: Batch) -> list[Window]:
        found = await asyncio.to_thread(self._outbox.pending, batch.last - batch.first + 1)
        return [window for _, window in found]

    async def _is_recorded(self, window: Window) -> bool:
        if not self._chain.record:
            return False
        key = (self._key.public, window.machine)
        entry = await self._client.state(self._chain.record, "lines", key)
        sequence = entry.get("sequence") if isinstance(entry, dict) else None
        return isinstance(sequence, int) and sequence >= window.sequence

    def _finish(self, batch: Batch, height: int, reason: str) -> None:
        with self._outbox.writing() as writer:
            writer.finish(batch, height, reason)
            writer.settle()


def record_call(contract: str, window: Window) -> Call:
    """The call that counts a window on chain; the library's contract `telemetry` takes it."""
    return make_call(
        contract,
        "record",
        {
            "machine": window.machine,
            "sequence": window.sequence,
            "start_ms": window.start_ms,
            "end_ms": window.end_ms,
            "count": window.count,
            "late": window.late,
            "bad": window.bad,
            "digest": window.digest,
        },
    )


def _argument(template: str | int | bool, window: Window) -> Value:  # noqa: FBT001
    if not isinstance(template, str) or not template.startswith("$"):
        return template
    name = template[1:]
    if name not in Window.__struct_fields__:
        raise InvalidInput(
            Code.BAD_CONFIG,
            f"a window has no field {name!r}",
            hint=" ".join(Window.__struct_fields__),
        )
    value: Value = getattr(window, name)
    return value


def _nonce(key: PrivateKey, first: int, last: int, attempt: int) -> bytes:
    """A nonce that depends on what is sent alone, so that signing twice gives the same bytes."""
    text = f"andon/gateway {key.public.hex()} {first} {last} {attempt}"
    return hashlib.sha256(text.encode()).digest()[:NONCE_BYTES]
