"""Bring registered models to this node's worker: fetch, check, load, attest.

The `models` contract announces packages by the digest of their blob. For each that is not retired
this driver finds the blob here or at peers, loads it in the worker (which checks certificate,
golden vectors and conformance), and, while it is proposed, signs `models.attest(model_id, ok)`
with the validator key. A package that is at fault is attested `False` once. Where only this node
fails (its backend differs, memory runs out, the worker ends) it abstains and tries again, ever more
rarely. What was attested is repeated only where the weights have changed so that it would make the
model active. A retired model is unloaded once no open request waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from andon.core import attestation
from andon.core.codec import Value, decode_value
from andon.core.errors import AndonError, Code, Corrupt, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES
from andon.core.model import model_id
from andon.core.package import open_parts
from andon.core.state_key import state_key, state_prefix
from andon.core.transaction import Call, make_call
from andon.core.worker import Loaded
from node.drivers.blob_fetch import FETCHED_BLOB_BYTES_MAX, Source, Store, fetch_blob, fetch_pieces
from node.drivers.paging import every_entry

T = TypeVar("T")
MODELS = "models"
VALIDATORS_KEY = state_key("identity", "validators")
REMEMBERED_MAX = 4096
RETRY_S = 3.0
LOOK_EVERY_S = 60.0
"""The worker may have lost a model although the registry did not change."""
LOAD_AGAIN_S_MAX = 600.0
"""A load that fails here costs the worker minutes at worst; the pause doubles up to this."""
ATTEST_AGAIN_S = 10.0

log = structlog.get_logger()


class StateView(Protocol):
    """The last final state."""

    async def value(self, key: bytes) -> bytes | None:
        """Read a key."""

    async def entries(
        self, prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        """Read the first entries under a prefix."""


class ModelWorker(Protocol):
    """The worker's side."""

    def has_model(self, model_id: bytes) -> bool:
        """Tell whether it is loaded."""

    async def load(self, blob: bytes, reread: Callable[[], bytes]) -> Loaded:
        """Check and load a package; `reread` (blocking) gives it anew after a restart."""

    async def unload(self, model_id: bytes) -> None:
        """Forget a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """One package as the contract's state describes it."""

    model_id: bytes
    blob: bytes
    size: int
    status: str
    facts: tuple[tuple[str, Value], ...]
    pieces: bytes
    """Merkle root of the blob's pieces; empty if the publisher named none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the driver works with. `attest` signs and submits a call; None if we have no vote."""

    store: Store
    state: StateView
    worker: ModelWorker
    source: Source
    peers: Callable[[], list[bytes]]
    attest: Callable[[Call], Awaitable[None]] | None
    validator_key: bytes


@dataclass(frozen=True, slots=True)
class _Pause:
    """When a load that failed on this node's side may be tried again."""

    until_s: float
    length_s: float


class ModelsDriver:
    """Keeps the worker's models equal to the registry's."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._changed = asyncio.Event()
        self._changed.set()
        self._refused: dict[bytes, str] = {}
        self._paused: dict[bytes, _Pause] = {}
        self._attested_at: dict[bytes, float] = {}

    def notice(self) -> None:
        """The registry may have changed: look soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            is_done = await self.look()
            try:
                async with asyncio.timeout(LOOK_EVERY_S if is_done else RETRY_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def look(self) -> bool:
        """Go through the registry once; True if nothing is left to do."""
        is_done = True
        async for entry in every_entry(self._ports.state, state_prefix(MODELS, "packages")):
            announced = parse_announced(*entry)
            if announced is None:
                continue
            try:
                is_done &= await self._tend(announced)
            except Unavailable as error:
                is_done = False
                log.debug("model.waiting", model=announced.model_id.hex(), reason=str(error)[:200])
        return is_done

    async def _tend(self, announced: Announced) -> bool:
        identity = announced.model_id
        if announced.status == "RETIRED":
            return await self._retire(identity)
        if not self._ports.worker.has_model(identity) and identity not in self._refused:
            if self._is_paused(identity):
                return False
            try:
                await self._load(announced)
            except InvalidInput as error:
                _remember(self._refused, identity, str(error))
                log.error("model.refused", model=identity.hex(), reason=str(error)[:300])  # noqa: TRY400 - no trace: the package is at fault
        if announced.status != "PROPOSED" or self._ports.attest is None:
            return True
        return await self._attest(announced, is_sound=identity not in self._refused)

    async def _load(self, announced: Announced) -> None:
        """Raises InvalidInput only where the package or its announcement is at fault."""
        store, identity = self._ports.store, announced.model_id
        blob = await self._find(announced)
        await asyncio.to_thread(check_announced, announced, blob)
        try:
            await self._ports.worker.load(blob, lambda: store.get(announced.blob))
        except Unavailable as error:
            self._pause(identity)
            log.error("model.not_loaded", model=identity.hex(), reason=str(error)[:300])  # noqa: TRY400 - a state of this machine
            raise
        self._paused.pop(identity, None)
        log.info("model.loaded", model=identity.hex(), size_bytes=len(blob))

    def _is_paused(self, identity: bytes) -> bool:
        pause = self._paused.get(identity)
        return pause is not None and asyncio.get_running_loop().time() < pause.until_s

    def _pause(self, identity: bytes) -> None:
        before = self._paused.get(identity)
        length_s = RETRY_S if before is None else min(2 * before.length_s, LOAD_AGAIN_S_MAX)
        until_s = asyncio.get_running_loop().time() + length_s
        _remember(self._paused, identity, _Pause(until_s, length_s))

    async def _retire(self, identity: bytes) -> bool:
        """Have the worker forget a model; not before the last request that was made in time."""
        self._refused.pop(identity, None)
        self._paused.pop(identity, None)
        if not self._ports.worker.has_model(identity):
            return True
        asked = every_entry(self._ports.state, state_prefix(attestation.CONTRACT, "open"))
        async for _, raw in asked:
            if decode_value(raw) == identity:
                return False
        await self._ports.worker.unload(identity)
        log.info("model.unloaded", model=identity.hex())
        return True

    async def _find(self, announced: Announced) -> bytes:
        store = self._ports.store
        if await asyncio.to_thread(store.has, announced.blob):
            try:
                return await asyncio.to_thread(store.get, announced.blob)
            except (Corrupt, InvalidInput) as error:
                # Damaged, or removed meanwhile. Peers have it: one file must not end a node.
                log.warning("blob.not_read", blob=announced.blob.hex(), reason=str(error)[:200])
                await asyncio.to_thread(store.remove, announced.blob)
        if announced.size > FETCHED_BLOB_BYTES_MAX:
            raise InvalidInput(
                Code.TOO_LARGE, f"a model blob has at most {FETCHED_BLOB_BYTES_MAX} bytes"
            )
        source, peers = self._ports.source, self._ports.peers()
        if announced.pieces:
            blob = await fetch_pieces(store, source, peers, announced)
        else:
            blob = await fetch_blob(source, peers, announced.blob, announced.size)
            await asyncio.to_thread(store.put, blob)
        log.info("blob.fetched", blob=announced.blob.hex(), size_bytes=len(blob))
        return blob

    async def _attest(self, announced: Announced, *, is_sound: bool) -> bool:
        assert self._ports.attest is not None
        identity, now_s = announced.model_id, asyncio.get_running_loop().time()
        said = await self._said(identity, self._ports.validator_key)
        # Weights may have changed since the last attestation; whoever says so again, has them
        # counted anew.
        if said is not None and not (said and await self._has_quorum(identity)):
            return said is False
        if now_s - self._attested_at.get(identity, -ATTEST_AGAIN_S) >= ATTEST_AGAIN_S:
            self._attested_at[identity] = now_s
            ok = is_sound if said is None else said
            call = make_call(MODELS, "attest", {"model_id": identity, "ok": ok})
            try:
                await self._ports.attest(call)
            except AndonError as error:
                raise Unavailable(error.code, error.message) from None
            log.info("model.attested", model=identity.hex(), ok=ok)
        return False

    async def _said(self, identity: bytes, validator: bytes) -> bool | None:
        """What a validator has attested; None for nothing yet."""
        raw = await self._ports.state.value(
            state_key(MODELS, "attestations", (identity, validator))
        )
        return None if raw is None else decode_value(raw) is True

    async def _has_quorum(self, identity: bytes) -> bool:
        """Tell whether validators of today with more than two thirds of the weight attested."""
        raw = await self._ports.state.value(VALIDATORS_KEY)
        entries = decode_value(raw) if raw is not None else None
        total = approving = 0
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            key, weight = entry.get("key"), entry.get("weight")
            if isinstance(key, bytes) and isinstance(weight, int):
                total += weight
                approving += weight if await self._said(identity, key) else 0
        return approving * 3 > total * 2


def parse_announced(key: bytes, raw: bytes) -> Announced | None:
    """Read one entry of the registry; None for a shape that announces nothing."""
    try:
        identity = decode_value(key[len(state_prefix(MODELS, "packages")) :])
        entry = decode_value(raw)
    except InvalidInput:
        return None
    if not isinstance(identity, bytes) or not isinstance(entry, dict):
        return None
    blob, size, status = entry.get("blob"), entry.get("size"), entry.get("status")
    if not isinstance(blob, bytes) or len(blob) != DIGEST_BYTES:
        return None
    if not isinstance(size, int) or size < 1 or not isinstance(status, str):
        return None
    names = ("input_bytes", "outputs", "scale_num", "scale_den", "gas", "class")
    facts = tuple((name, entry.get(name)) for name in names)
    pieces = entry.get("pieces")
    root = pieces if isinstance(pieces, bytes) and len(pieces) == DIGEST_BYTES else b""
    return Announced(
        model_id=identity, blob=blob, size=size, status=status, facts=facts, pieces=root
    )


def check_announced(announced: Announced, blob: bytes) -> None:
    """Check that a blob holds the package announced, with the facts that execution relies on.

    Before it is loaded: what loading costs is bounded by the gas that was announced.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE, DIGEST_MISMATCH, TOO_LARGE, or NOT_CANONICAL.
    """
    manifest = open_parts(blob)[1]
    if model_id(manifest) != announced.model_id:
        raise InvalidInput(
            Code.BAD_MODEL_PACKAGE, f"the blob holds model {model_id(manifest).hex()[:16]}"
        )
    for name, value in announced.facts:
        actual: Value = manifest.kind if name == "class" else getattr(manifest, name)
        if actual != value:
            raise InvalidInput(
                Code.BAD_MODEL_PACKAGE, f"{name} is {actual!r}, not {value!r} as announced"
            )


def _remember(notes: dict[bytes, T], identity: bytes, note: T) -> None:
    if len(notes) >= REMEMBERED_MAX:
        notes.clear()
    notes[identity] = note
