"""A validator's part in attested predictions: measure, commit, reveal, move on (A1 to A9).

Follows the contracts `predictions` and `committees` in the last final state. Computes off the
critical path, in the worker; keeps salt and output durably before it commits to them. What fails
here costs this member its attestation and never a block.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.client.models import golden_of_blob
from andon.client.sealing import REFERENCE_BYTES, open_sealed, sealing_public
from andon.core import attestation as a
from andon.core.attestation import Committee, Request, parse_committee, parse_request
from andon.core.codec import Key, Value, decode_value
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.state_key import state_key, state_prefix
from andon.core.transaction import Call, make_call
from node.drivers.paging import every_entry

OPEN_MAX = 1024
SEND_AGAIN_S = 10.0
LOOK_EVERY_S = 5.0
REMEMBERED_MAX = 4096

log = structlog.get_logger()


class StateView(Protocol):
    """The last final state."""

    async def value(self, key: bytes) -> bytes | None:
        """Read a key."""

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read the first entries under a prefix."""


class Predictor(Protocol):
    """The worker's side."""

    def has_model(self, model_id: bytes) -> bool:
        """Tell whether it is loaded."""

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Give one output a window."""


class Journal(Protocol):
    """Salts and outputs that we are bound to (blocking)."""

    def load(self, number: int) -> tuple[bytes, tuple[int, ...]] | None:
        """What we committed to."""

    def save(self, number: int, salt: bytes, output: tuple[int, ...]) -> None:
        """Keep it durably."""

    def keep_only(self, numbers: set[int]) -> None:
        """Forget the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the driver works with; `send` signs a call with the validator's key and submits it."""

    chain_id: str
    validator_key: bytes
    state: StateView
    worker: Predictor
    journal: Journal
    blob: Callable[[bytes], Awaitable[bytes]]
    """Find a blob by digest, here or at peers."""
    sealing_seed: bytes
    """Our X25519 secret for sealed inputs."""
    height: Callable[[], int]
    send: Callable[[Call], Awaitable[None]]


class AttestationDriver:
    """Does what the committees that we sit in wait for."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._changed = asyncio.Event()
        self._sent_at: dict[tuple[str, bytes | int], float] = {}
        self._abstained: set[int] = set()
        self._kept: set[int] | None = None
        self.is_engaged = True
        """Whether every block may bring a deadline: we sit in a committee, or a request is open."""

    def notice(self) -> None:
        """A block is final: look soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the chain until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            await self.look()

    async def look(self) -> None:
        """Go once through committees and open requests."""
        is_member = False
        for model_id, committee in await self._committees():
            if self._ports.validator_key in committee.members:
                is_member = True
                await self._guard(self._sit(model_id, committee), model_id.hex()[:16])
        numbers = await self._open_numbers()
        self.is_engaged = is_member or bool(numbers)
        if self._kept != set(numbers):
            await asyncio.to_thread(self._ports.journal.keep_only, set(numbers))
            self._kept = set(numbers)
        for number in numbers:
            request = parse_request(number, await self._read("requests", number))
            if request is not None and request.index_of(self._ports.validator_key) is not None:
                await self._guard(self._act(request), str(number))

    async def _guard(self, work: Awaitable[None], about: str) -> None:
        try:
            await work
        except AndonError as error:
            log.warning("attestation.failed", about=about, reason=str(error)[:200])

    # -- committees -----------------------------------------------------------------------

    async def _sit(self, model_id: bytes, committee: Committee) -> None:
        """Enrol our sealing key where inputs are sealed; measure the model for a new term."""
        key = self._ports.validator_key
        ours = sealing_public(self._ports.sealing_seed)
        # Another one stands there when the node's key was replaced.
        if committee.is_sealed and await self._read("keys", key, a.COMMITTEES) != ours:
            await self._send("enrol", key, {"sealing_key": ours})
        if committee.status != a.MEASURING or not self._ports.worker.has_model(model_id):
            return
        if await self._read("measured", (model_id, committee.term, key), a.COMMITTEES) is not None:
            return
        divergence = await self._measure(model_id)
        arguments: dict[str, Value] = {
            "model_id": model_id,
            "term": committee.term,
            "divergence": divergence,
        }
        await self._send("measure", model_id, arguments)

    async def _measure(self, model_id: bytes) -> int:
        raw = await self._ports.state.value(state_key("models", "packages", model_id))
        entry = None if raw is None else decode_value(raw)
        identity = entry.get("blob") if isinstance(entry, dict) else None
        if not isinstance(identity, bytes):
            raise Unavailable(Code.NOT_FOUND, "the registry names no blob")
        golden = golden_of_blob(await self._ports.blob(identity))
        outputs = await self._ports.worker.predict(model_id, list(golden.windows))
        pairs = zip(outputs, golden.outputs, strict=True)
        return max(abs(x - y) for mine, theirs in pairs for x, y in zip(mine, theirs, strict=True))

    # -- requests -------------------------------------------------------------------------

    async def _act(self, request: Request) -> None:
        """Send what the request waits for from us, if anything."""
        number, key = request.number, self._ports.validator_key
        is_late = self._ports.height() >= request.deadline
        has_committed = await self._read("commits", (number, key)) is not None
        has_revealed = await self._read("reveals", (number, key)) is not None
        if request.phase == a.COMMIT and not is_late:
            if not has_committed and number not in self._abstained:
                await self._commit(request)
            return
        may_reveal = request.phase == a.REVEAL or request.has_quorum
        if has_committed and not has_revealed and may_reveal:
            await self._reveal(number)
        elif is_late and self._is_my_turn(request):
            await self._send("advance", number, {"number": number})

    def _is_my_turn(self, request: Request) -> bool:
        """Members move on one after another, so that the first one's call is enough."""
        place = request.index_of(self._ports.validator_key)
        return place is not None and self._ports.height() >= request.deadline + place

    async def _commit(self, request: Request) -> None:
        number = request.number
        kept = await asyncio.to_thread(self._ports.journal.load, number)
        if kept is None:
            if not self._ports.worker.has_model(request.model_id):
                raise Unavailable(Code.MODEL_NOT_ACTIVE, "the model is not loaded here yet")
            try:
                window = await self._window(request)
                (output,) = await self._ports.worker.predict(request.model_id, [window])
            except InvalidInput as error:
                # The input is at fault, and stays so: there is nothing to attest.
                self._abstain(number)
                log.warning("attestation.abstained", request=number, reason=str(error)[:200])
                return
            kept = (secrets.token_bytes(a.SALT_BYTES), output)
            await asyncio.to_thread(self._ports.journal.save, number, *kept)
        salt, output = kept
        digest = a.commitment(
            self._ports.chain_id, number, request.model_id, self._ports.validator_key, salt, output
        )
        await self._send("commit", number, {"number": number, "digest": digest})

    async def _reveal(self, number: int) -> None:
        kept = await asyncio.to_thread(self._ports.journal.load, number)
        if kept is None:
            raise Unavailable(Code.NOT_FOUND, "what we committed to is lost")
        salt, output = kept
        arguments: dict[str, Value] = {"number": number, "salt": salt, "output": [*output]}
        await self._send("reveal", number, arguments)

    async def _window(self, request: Request) -> bytes:
        window = await self._read("windows", request.number)
        if not isinstance(window, bytes):
            raise Unavailable(Code.NOT_FOUND, "the request has no input any more")
        if not request.is_sealed:
            return window
        if len(window) != REFERENCE_BYTES:
            raise InvalidInput(Code.MALFORMED, "the reference of a sealed input has another size")
        envelope = await self._ports.blob(window[:32])
        ports = self._ports
        return open_sealed(
            envelope, window, request.model_id, ports.validator_key, ports.sealing_seed
        )

    def _abstain(self, number: int) -> None:
        if len(self._abstained) >= REMEMBERED_MAX:
            self._abstained.clear()
        self._abstained.add(number)

    # -- reading and sending --------------------------------------------------------------

    async def _committees(self) -> list[tuple[bytes, Committee]]:
        prefix = state_prefix(a.COMMITTEES, "committees")
        found: list[tuple[bytes, Committee]] = []
        async for raw_key, raw in every_entry(self._ports.state, prefix):
            key = decode_value(raw_key[len(prefix) :])
            committee = parse_committee(decode_value(raw))
            if isinstance(key, bytes) and committee is not None:
                found.append((key, committee))
        return found

    async def _open_numbers(self) -> list[int]:
        prefix = state_prefix(a.CONTRACT, "open")
        entries = await self._ports.state.entries(prefix, None, OPEN_MAX)
        keys = [decode_value(key[len(prefix) :]) for key, _ in entries]
        return [key for key in keys if isinstance(key, int)]

    async def _read(self, variable: str, key: Key, contract: str = a.CONTRACT) -> Value:
        raw = await self._ports.state.value(state_key(contract, variable, key))
        return None if raw is None else decode_value(raw)

    async def _send(self, method: str, about: bytes | int, arguments: dict[str, Value]) -> None:
        """Send a call once in a while, until the state shows that it counted."""
        now_s = asyncio.get_running_loop().time()
        place = (method, about)
        if now_s - self._sent_at.get(place, -SEND_AGAIN_S) < SEND_AGAIN_S:
            return
        if len(self._sent_at) >= REMEMBERED_MAX:
            self._sent_at.clear()
        self._sent_at[place] = now_s
        contract = a.COMMITTEES if method in ("enrol", "measure") else a.CONTRACT
        await self._ports.send(make_call(contract, method, arguments))
        log.info("attestation.sent", method=method, about=about if isinstance(about, int) else "")
