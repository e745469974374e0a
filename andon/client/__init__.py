"""The Python SDK: an async client, its blocking twin, keys, proofs. aiohttp only.

Names are imported when they are first used: a verb that only reads a key file does not wait for
an HTTP stack.

```python
with Client("http://127.0.0.1:26657", key=Wallet(Path("keys")).load("operator")) as client:
    outcome = client.send("maintenance", "assess", machine="press-7", window=window)
```
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from andon.client.async_client import AsyncClient
    from andon.client.contract import AsyncContract, Contract
    from andon.client.results import Event, Outcome, Prediction, Submission
    from andon.client.sent import SentBook
    from andon.client.stages import ContractFailed, NotFinalYet, SubmitRefused
    from andon.client.sync import Client
    from andon.client.verifier import Verifier
    from andon.client.wallet import Wallet
    from andon.core.errors import AndonError, Corrupt, InvalidInput, Misuse, Unavailable
    from andon.core.transaction import make_call

__all__ = [
    "AndonError",
    "AsyncClient",
    "AsyncContract",
    "Client",
    "Contract",
    "ContractFailed",
    "Corrupt",
    "Event",
    "InvalidInput",
    "Misuse",
    "NotFinalYet",
    "Outcome",
    "Prediction",
    "SentBook",
    "Submission",
    "SubmitRefused",
    "Unavailable",
    "Verifier",
    "Wallet",
    "make_call",
]

_HOMES = {
    "AsyncClient": "andon.client.async_client",
    "AsyncContract": "andon.client.contract",
    "Contract": "andon.client.contract",
    "Event": "andon.client.results",
    "Outcome": "andon.client.results",
    "Prediction": "andon.client.results",
    "Submission": "andon.client.results",
    "SentBook": "andon.client.sent",
    "ContractFailed": "andon.client.stages",
    "NotFinalYet": "andon.client.stages",
    "SubmitRefused": "andon.client.stages",
    "Client": "andon.client.sync",
    "Verifier": "andon.client.verifier",
    "Wallet": "andon.client.wallet",
    "AndonError": "andon.core.errors",
    "Corrupt": "andon.core.errors",
    "InvalidInput": "andon.core.errors",
    "Misuse": "andon.core.errors",
    "Unavailable": "andon.core.errors",
    "make_call": "andon.core.transaction",
}


def __getattr__(name: str) -> object:
    """Import the module of a name on its first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(home), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
