"""Attested predictions as a client sees them: appoint a committee, ask, seal, wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from andon.client.async_client import AsyncClient
from andon.client.results import Outcome
from andon.client.sealing import seal
from andon.core.attestation import COMMITTEES, CONTRACT, READY, Committee, parse_committee
from andon.core.codec import Value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from andon.core.transaction import make_call

POLL_S = 0.2
DECIDED = ("SETTLED", "DISPUTED", "EXPIRED")


@dataclass(frozen=True, slots=True)
class Attested:
    """The contracts `predictions` and `committees` behind a client; `key` signs what is written."""

    client: AsyncClient
    key: PrivateKey | None = None

    async def appoint(
        self,
        model_id: bytes,
        members: Sequence[bytes],
        *,
        tolerance: int,
        patience: int,
        relative: int = 0,
        is_sealed: bool = False,
    ) -> Outcome:
        """Name the committee of a model: validators' keys. Needs the key of a modeler.

        Values may spread by `tolerance` scale units plus `relative` millionths of the output.
        """
        arguments: dict[str, Value] = {
            "model_id": model_id,
            "members": [*sorted(members)],
            "tolerance": tolerance,
            "patience": patience,
            "sealed": is_sealed,
            "relative": relative,
        }
        return await self._send(COMMITTEES, "appoint", arguments)

    async def committee(self, model_id: bytes) -> Committee:
        """The proved committee of a model.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        found = parse_committee(await self.client.state(COMMITTEES, "committees", model_id))
        if found is None:
            raise InvalidInput(
                Code.NOT_FOUND,
                f"model {model_id.hex()[:16]} has no committee",
                hint="the model's organisation appoints one: `andon models appoint`",
            )
        return found

    async def wait_ready(self, model_id: bytes, timeout_s: float) -> Committee:
        """Wait until the committee has measured the model within its tolerance.

        Raises:
            InvalidInput: REFUSED committees. Unavailable: MODEL_NOT_ACTIVE if it takes too long.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            found = await self.committee(model_id)
            if found.status == READY:
                return found
            if found.status == "REFUSED":
                raise InvalidInput(
                    Code.BAD_REQUEST,
                    "the tolerance is below ten times what the committee measured",
                    hint="appoint with a larger tolerance; `divergence` is on record",
                )
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    Code.MODEL_NOT_ACTIVE,
                    f"after {timeout_s:.0f} s it is {found.status}",
                )
            await asyncio.sleep(POLL_S)

    async def ask(self, model: str, window: bytes) -> int:
        """Open a request without a contract; gives its number."""
        outcome = await self._send(CONTRACT, "ask", {"model": model, "window": window})
        return _number(outcome)

    async def ask_sealed(self, model: str, model_id: bytes, window: bytes) -> int:
        """Seal a window to the model's committee, publish the envelope, open the request.

        Raises:
            InvalidInput: BAD_KEY if a member has put no sealing key on the chain.
        """
        reference = await self.seal(model_id, window)
        return await self.ask(model, reference)

    async def seal(self, model_id: bytes, window: bytes) -> bytes:
        """Publish a sealed window; gives the reference that stands for it in requests."""
        envelope, reference = await self.seal_window(model_id, window)
        await self.client.publish_blob(envelope)
        return reference

    async def seal_window(self, model_id: bytes, window: bytes) -> tuple[bytes, bytes]:
        """Seal a window to the model's committee; gives envelope and reference, sends nothing.

        Raises:
            InvalidInput: NOT_FOUND without a committee, BAD_KEY for a member without a key.
        """
        committee = await self.committee(model_id)
        pairs: list[tuple[bytes, bytes]] = []
        for member in committee.members:
            key = await self.client.state(COMMITTEES, "keys", member)
            pairs.append((member, key if isinstance(key, bytes) else b""))
        return seal(model_id, window, pairs)

    async def result(self, number: int) -> dict[str, Value]:
        """The proved state of a request.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        found = await self.client.state(CONTRACT, "requests", number)
        if not isinstance(found, dict):
            raise InvalidInput(Code.NOT_FOUND, f"there is no request {number}")
        return {str(name): item for name, item in found.items()}

    async def wait(self, number: int, timeout_s: float) -> dict[str, Value]:
        """Wait until a request is decided.

        Raises:
            Unavailable: CONFIRMATION_TIMEOUT if it is not in time.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            found = await self.result(number)
            if found.get("phase") in DECIDED:
                return found
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(
                    Code.CONFIRMATION_TIMEOUT,
                    f"request {number} is undecided",
                )
            await asyncio.sleep(POLL_S)

    async def _send(self, contract: str, method: str, args: dict[str, Value]) -> Outcome:
        submission = await self.client.submit(make_call(contract, method, args), key=self.key)
        return submission.require()


def _number(outcome: Outcome) -> int:
    for result in outcome.results:
        if isinstance(result, int):
            return result
    raise InvalidInput(Code.BAD_REQUEST, "the contract gave no number")
