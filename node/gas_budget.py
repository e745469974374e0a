"""What read-only calls of one client may cost: so much gas a second, and one call at a time.

A call runs a contract for whoever asks, up to `VIEW_GAS_MAX` each. Its gas is known only
afterwards, so a client that overspends is refused until its debt is paid, and its calls wait for
each other, so that they cannot all begin while the account is still full.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from andon.core.errors import Code, Unavailable
from node.drivers.dry_run import VIEW_GAS_MAX
from node.facade import CallAnswer
from node.net.limits import TokenBucket

CLIENTS_MAX = 4096
BURST_S = 2.0
"""Seconds of its rate that a client may spend at once."""


@dataclass(slots=True)
class _Account:
    bucket: TokenBucket
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


_account: ContextVar[_Account | None] = ContextVar("gas_account", default=None)


class GasBudgets:
    """An account for each client; the least recently seen is forgotten first."""

    def __init__(self, gas_per_s: int, clients_max: int = CLIENTS_MAX) -> None:
        self._gas_per_s = gas_per_s
        self._clients_max = clients_max
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    @contextlib.contextmanager
    def of(self, client: str) -> Iterator[None]:
        """Let what runs inside be paid by a client."""
        account = self._accounts.pop(client, None)
        if account is None:
            rate = float(self._gas_per_s)
            account = _Account(TokenBucket(rate, BURST_S * rate, _now_s()))
            while len(self._accounts) >= self._clients_max:
                self._accounts.popitem(last=False)
        self._accounts[client] = account
        token = _account.set(account)
        try:
            yield
        finally:
            _account.reset(token)


async def paid(run: Callable[[], Awaitable[CallAnswer]]) -> CallAnswer:
    """Run a call when it is its client's turn, and charge what it used.

    Raises:
        Unavailable: RATE_LIMITED if the client has spent its gas, and whatever `run` raises.
    """
    account = _account.get()
    if account is None:
        return await run()
    async with account.turn:
        wait_ms = int(account.bucket.take(0, _now_s()) * 1000)
        if wait_ms > 0:
            raise Unavailable(
                Code.RATE_LIMITED,
                "the gas of this client's read-only calls is spent",
                hint=f"try again in {wait_ms} ms; rpc_call_gas_per_s says how much there is",
                retry_ms=wait_ms,
            )
        gas = VIEW_GAS_MAX  # of a call that ended early nobody knows how much it used
        try:
            answer = await run()
            gas = answer.gas_used
        finally:
            account.bucket.take(gas, _now_s())
        return answer


def _now_s() -> float:
    return asyncio.get_running_loop().time()
