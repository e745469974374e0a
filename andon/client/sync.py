"""The blocking twin of `AsyncClient`: same names, one background loop a client."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Literal, Self, TypeVar

from andon.client.async_client import (
    REQUEST_TIMEOUT_MS,
    AsyncClient,
    Wait,
)
from andon.client.defaults import GAS_LIMIT
from andon.client.results import Event, Outcome, Prediction, Submission
from andon.core.codec import Key, Value
from andon.core.genesis import Genesis
from andon.core.keys import PrivateKey
from andon.core.rpc_schema import (
    WAIT_TIMEOUT_MS,
    BlockReply,
    StatusReply,
    TransactionReply,
    ValidatorsReply,
)
from andon.core.state_key import ABSENT, Absent
from andon.core.transaction import Call, TransactionBody

T = TypeVar("T")


class Client:
    """A blocking connection to a network. Use as `with`."""

    def __init__(
        self,
        endpoints: str | Sequence[str],
        *,
        genesis: Genesis | None = None,
        key: PrivateKey | None = None,
        timeout_ms: int = REQUEST_TIMEOUT_MS,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="andon-client", daemon=True
        )
        self._thread.start()
        self._async = AsyncClient(endpoints, genesis=genesis, key=key, timeout_ms=timeout_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread."""
        if self._thread.is_alive():
            self._run(self._async.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def genesis(self) -> Genesis:
        """The genesis document that this client trusts."""
        return self._run(self._async.genesis())

    def status(self) -> StatusReply:
        """Where the node stands."""
        return self._run(self._async.status())

    def validators(self) -> ValidatorsReply:
        """The current validators."""
        return self._run(self._async.validators())

    def block(self, reference: int | bytes | None = None) -> BlockReply:
        """A final block by height or hash; the last one by default."""
        return self._run(self._async.block(reference))

    def submit(
        self,
        calls: Call | Iterable[Call],
        *,
        key: PrivateKey | None = None,
        wait: Wait = "final",
        timeout_ms: int = WAIT_TIMEOUT_MS,
        gas_limit: int = GAS_LIMIT,
        on_hash: Callable[[bytes], None] | None = None,
    ) -> Submission:
        """Sign and submit; see `AsyncClient.submit`."""
        return self._run(
            self._async.submit(
                calls,
                key=key,
                wait=wait,
                timeout_ms=timeout_ms,
                gas_limit=gas_limit,
                on_hash=on_hash,
            )
        )

    def build(
        self, calls: Call | Iterable[Call], *, sender: bytes, gas_limit: int = GAS_LIMIT
    ) -> TransactionBody:
        """Prepare a transaction for signing, here or offline."""
        return self._run(self._async.build(calls, sender=sender, gas_limit=gas_limit))

    def submit_raw(
        self,
        raw: bytes,
        *,
        wait: Wait = "final",
        timeout_ms: int = WAIT_TIMEOUT_MS,
        on_hash: Callable[[bytes], None] | None = None,
    ) -> Submission:
        """Submit signed bytes."""
        return self._run(
            self._async.submit_raw(raw, wait=wait, timeout_ms=timeout_ms, on_hash=on_hash)
        )

    def wait(self, identity: bytes, timeout_ms: int = WAIT_TIMEOUT_MS) -> Submission:
        """Wait until a transaction is final."""
        return self._run(self._async.wait(identity, timeout_ms))

    def transaction(self, identity: bytes) -> TransactionReply:
        """A transaction, proved if final."""
        return self._run(self._async.transaction(identity))

    def outcome(self, identity: bytes) -> Outcome:
        """The proved outcome of a final transaction."""
        return self._run(self._async.outcome(identity))

    def call(
        self,
        contract: str,
        method: str,
        args: Mapping[str, Value] | None = None,
        *,
        sender: bytes | None = None,
        height: int | None = None,
    ) -> Value:
        """Run a read-only call on the last final state, or on that after block `height`."""
        return self._run(self._async.call(contract, method, args, sender=sender, height=height))

    def send(self, contract: str, method: str, /, **args: Value) -> Outcome:
        """Submit one call, wait until final, require success."""
        return self._run(self._async.send(contract, method, **args))

    def state(
        self, contract: str, variable: str, key: Key | Literal[Absent.ABSENT] = ABSENT
    ) -> Value:
        """The proved value of a variable."""
        return self._run(self._async.state(contract, variable, key))

    def prediction(self, identity: bytes) -> Prediction:
        """A committed prediction, proved."""
        return self._run(self._async.prediction(identity))

    def predictions(self, first: int, last: int) -> Iterator[Prediction]:
        """All predictions of the blocks at heights `first` to `last`, each proved."""
        stream = self._async.predictions(first, last)
        while (found := self._run(anext(stream, None))) is not None:
            yield found

    def interface(self, contract: str) -> Value:
        """What can be called of a contract."""
        return self._run(self._async.interface(contract))

    def predictions_of(self, identity: bytes) -> list[Prediction]:
        """All predictions of a final transaction, proved."""
        return self._run(self._async.predictions_of(identity))

    def publish_blob(self, blob: bytes) -> bytes:
        """Store a blob with the node."""
        return self._run(self._async.publish_blob(blob))

    def blob(self, identity: bytes) -> bytes:
        """Fetch a blob and check its digest."""
        return self._run(self._async.blob(identity))

    def events(self, cursor: str = "", *, contract: str = "", name: str = "") -> Iterator[Event]:
        """Follow events for ever; see `AsyncClient.events`."""
        stream = self._async.events(cursor, contract=contract, name=name)
        while True:
            yield self._run(_next(stream))

    def events_page(
        self, cursor: str = "", *, limit: int = 100, wait_ms: int = 0, contract: str = ""
    ) -> tuple[list[Event], str]:
        """One page of events and the cursor to go on with."""
        return self._run(
            self._async.events_page(cursor, limit=limit, wait_ms=wait_ms, contract=contract)
        )

    def _run(self, work: Coroutine[object, object, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


async def _next(stream: AsyncIterator[Event]) -> Event:
    return await anext(stream)
