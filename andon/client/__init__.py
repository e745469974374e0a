"""The Python SDK: an async client, its blocking twin, keys, proofs. aiohttp only.

```python
with Client("http://127.0.0.1:26657", key=Wallet(Path("keys")).load("operator")) as client:
    outcome = client.send("maintenance", "assess", machine="press-7", window=window)
```
"""

from andon.client.async_client import AsyncClient
from andon.client.contract import AsyncContract, Contract
from andon.client.results import Event, Outcome, Prediction, Submission
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
    "Submission",
    "SubmitRefused",
    "Unavailable",
    "Verifier",
    "Wallet",
    "make_call",
]
