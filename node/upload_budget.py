"""What one client may store as blobs on a node: so many bytes an hour.

The node's quota (`node/storage/blob_quota.py`) bounds all users together; without this, the first
who comes could take it all. A client is an API key, a certificate, or an address where the RPC asks
for neither. An account fills within an hour and may be overdrawn by one request, so that a part of
a blob never has to fit into what is left.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from threading import Lock

from andon.core.errors import Code, Unavailable
from node.net.limits import TokenBucket

CLIENTS_MAX = 4096
HOUR_S = 3600
_MIB = 1024 * 1024

Charge = Callable[[int], None]
"""Pay for bytes that are about to be stored. Raises Unavailable BLOB_QUOTA. For any thread."""


def free(size_bytes: int) -> None:
    """Charge nobody: for what no client asked for."""
    del size_bytes


_charge: ContextVar[Charge] = ContextVar("upload_charge", default=free)


def charge_of_client() -> Charge:
    """How the client of the present request pays; take it on the loop, call it in any thread."""
    return _charge.get()


class UploadBudgets:
    """An account for each client; the least recently seen is forgotten first."""

    def __init__(
        self,
        mib_per_hour: int,
        clients_max: int = CLIENTS_MAX,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mib_per_hour = mib_per_hour
        self._clients_max = clients_max
        self._now_s = now_s
        self._accounts: OrderedDict[str, _Account] = OrderedDict()

    @contextlib.contextmanager
    def of(self, client: str) -> Iterator[None]:
        """Let what is stored inside be paid by a client; nobody pays if there is no bound."""
        if not self._mib_per_hour:
            yield
            return
        account = self._accounts.pop(client, None)
        if account is None:
            account = _Account(self._mib_per_hour, self._now_s)
            while len(self._accounts) >= self._clients_max:
                self._accounts.popitem(last=False)
        self._accounts[client] = account
        token = _charge.set(account.charge)
        try:
            yield
        finally:
            _charge.reset(token)


class _Account:
    def __init__(self, mib_per_hour: int, now_s: Callable[[], float]) -> None:
        size = mib_per_hour * _MIB
        self._mib_per_hour = mib_per_hour
        self._now_s = now_s
        self._bucket = TokenBucket(size / HOUR_S, size, now_s())
        self._lock = Lock()

    def charge(self, size_bytes: int) -> None:
        """Take the bytes, unless more than there was is gone already."""
        with self._lock:
            wait_ms = int(self._bucket.take(0, self._now_s()) * 1000)
            if wait_ms <= 0:
                self._bucket.take(size_bytes, self._now_s())
                return
        raise Unavailable(
            Code.BLOB_QUOTA,
            f"this client has stored its {self._mib_per_hour} MiB of this hour here",
            hint=f"go on in {wait_ms // 1000 + 1} s, publish to another node, or have its operator "
            "raise blobs_mib_per_client_hour",
            retry_ms=wait_ms,
        )
