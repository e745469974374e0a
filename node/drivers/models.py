"""Bring registered models to this node's worker: fetch, check, load, attest.

The `models` contract announces packages by the digest of their blob. For each that is not retired
this driver finds the blob here or at peers, loads it in the worker (which checks certificate,
golden vectors and conformance), and, while it is proposed, signs `models.attest(model_id, ok)`
with the validator key. A model that the worker refuses is attested `False` once. What was attested
is repeated only where the weights have changed so that it would make the model active.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from andon.core.codec import Value, decode, decode_value
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.hashing import DIGEST_BYTES, Domain, digest
from andon.core.model import ModelManifest
from andon.core.pieces import PIECE_BYTES, check_piece
from andon.core.state_key import state_key, state_prefix
from andon.core.transaction import Call, make_call
from andon.core.worker import Loaded

MODELS = "models"
VALIDATORS_KEY = state_key("identity", "validators")
PACKAGES_MAX = 64
BLOB_BYTES_MAX = 64 * 1024 * 1024
RETRY_S = 3.0
ATTEST_AGAIN_S = 10.0
PEERS_ASKED_MAX = 8

log = structlog.get_logger()


class Store(Protocol):
    """Blobs on disk (blocking)."""

    def has(self, identity: bytes) -> bool:
        """Tell whether the blob is here."""

    def get(self, identity: bytes) -> bytes:
        """Read and check a blob."""

    def put(self, blob: bytes) -> bytes:
        """Store a blob."""

    def pieces_here(self, identity: bytes) -> int:
        """How many pieces of an unfinished blob are on disk."""

    def add_piece(self, identity: bytes, index: int, piece: bytes) -> None:
        """Append a proved piece."""

    def finish(self, identity: bytes) -> bytes:
        """Take the pieces as the blob."""


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

    async def load(self, blob: bytes) -> Loaded:
        """Check and load a package."""


class Chunks(Protocol):
    """Parts of blobs at peers."""

    async def blob_chunk(self, node_key: bytes, digest: bytes, offset: int) -> tuple[int, bytes]:
        """Fetch a part from `offset` on; also the total size."""


class Source(Chunks, Protocol):
    """Parts of blobs at peers, and pieces with their proofs."""

    async def blob_piece(self, node_key: bytes, digest: bytes, index: int) -> tuple[bytes, bytes]:
        """Fetch one piece with its Merkle proof."""


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


class ModelsDriver:
    """Keeps the worker's models equal to the registry's."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._changed = asyncio.Event()
        self._changed.set()
        self._refused: dict[bytes, str] = {}
        self._attested_at: dict[bytes, float] = {}

    def notice(self) -> None:
        """The registry may have changed: look soon."""
        self._changed.set()

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        while True:
            is_done = await self.look()
            try:
                async with asyncio.timeout(None if is_done else RETRY_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()

    async def look(self) -> bool:
        """Go through the registry once; True if nothing is left to do."""
        prefix = state_prefix(MODELS, "packages")
        entries = await self._ports.state.entries(prefix, None, PACKAGES_MAX)
        is_done = True
        for announced in (parse_announced(*entry) for entry in entries):
            if announced is None or announced.status == "RETIRED":
                continue
            try:
                is_done &= await self._tend(announced)
            except Unavailable as error:
                is_done = False
                log.debug("model.waiting", model=announced.model_id.hex(), reason=str(error)[:200])
        return is_done

    async def _tend(self, announced: Announced) -> bool:
        identity = announced.model_id
        if not self._ports.worker.has_model(identity) and identity not in self._refused:
            try:
                await self._load(announced)
            except InvalidInput as error:
                if len(self._refused) >= 4 * PACKAGES_MAX:
                    self._refused.clear()
                self._refused[identity] = str(error)
                log.error("model.refused", model=identity.hex(), reason=str(error)[:300])  # noqa: TRY400 - no trace: the package is at fault
        if announced.status != "PROPOSED" or self._ports.attest is None:
            return True
        return await self._attest(announced, is_sound=identity not in self._refused)

    async def _load(self, announced: Announced) -> None:
        blob = await self._find(announced)
        loaded = await self._ports.worker.load(blob)
        check_announced(announced, loaded)
        log.info("model.loaded", model=announced.model_id.hex(), size_bytes=len(blob))

    async def _find(self, announced: Announced) -> bytes:
        store = self._ports.store
        if await asyncio.to_thread(store.has, announced.blob):
            return await asyncio.to_thread(store.get, announced.blob)
        if announced.size > BLOB_BYTES_MAX:
            raise InvalidInput(Code.TOO_LARGE, f"a model blob has at most {BLOB_BYTES_MAX} bytes")
        if announced.pieces:
            blob = await fetch_pieces(self._ports, announced)
        else:
            blob = await fetch_blob(
                self._ports.source, self._ports.peers(), announced.blob, announced.size
            )
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


def check_announced(announced: Announced, loaded: Loaded) -> None:
    """Check that the package is the one announced, with the facts that execution relies on.

    Raises:
        InvalidInput: BAD_MODEL_PACKAGE.
    """
    if loaded.model_id != announced.model_id:
        raise InvalidInput(
            Code.BAD_MODEL_PACKAGE, f"the blob holds model {loaded.model_id.hex()[:16]}"
        )
    manifest = decode(ModelManifest, loaded.manifest)
    for name, value in announced.facts:
        actual: Value = manifest.kind if name == "class" else getattr(manifest, name)
        if actual != value:
            raise InvalidInput(
                Code.BAD_MODEL_PACKAGE, f"{name} is {actual!r}, not {value!r} as announced"
            )


async def fetch_pieces(ports: Ports, announced: Announced) -> bytes:
    """Fetch a blob whose pieces have a registered root; each is proved and kept as it comes.

    A peer that fails or lies is left at that piece; what is on disk stays, also through a kill.

    Raises:
        Unavailable: UNREACHABLE if no peer gives the rest, STORAGE_FULL.
        InvalidInput: DIGEST_MISMATCH if root and digest in the registry contradict each other.
    """
    store, identity = ports.store, announced.blob
    count = -(-announced.size // PIECE_BYTES)
    have = min(await asyncio.to_thread(store.pieces_here, identity), count)
    for peer in ports.peers()[:PEERS_ASKED_MAX]:
        try:
            while have < count:
                piece, proof = await ports.source.blob_piece(peer, identity, have)
                check_piece(announced.pieces, announced.size, have, piece, proof)
                await asyncio.to_thread(store.add_piece, identity, have, piece)
                have += 1
        except InvalidInput as error:
            log.warning("blob.false_piece", peer=peer.hex(), piece=have, reason=error.message[:200])
            continue
        except Unavailable as error:
            if error.code is Code.STORAGE_FULL:
                raise
            continue
        break
    if have < count:
        raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")
    return await asyncio.to_thread(store.finish, identity)


async def find_blob(
    store: Store, source: Chunks, peers: Callable[[], list[bytes]], identity: bytes
) -> bytes:
    """Give a blob of unknown size from here or from peers, and keep it.

    Raises:
        Unavailable: UNREACHABLE if nobody gives it.
    """
    if await asyncio.to_thread(store.has, identity):
        return await asyncio.to_thread(store.get, identity)
    blob = await fetch_unsized(source, peers()[:PEERS_ASKED_MAX], identity, BLOB_BYTES_MAX)
    await asyncio.to_thread(store.put, blob)
    return blob


async def fetch_unsized(
    source: Chunks, peers: list[bytes], identity: bytes, bytes_max: int
) -> bytes:
    """Fetch a blob of unknown size; each peer, in order, says how large it is.

    Raises:
        Unavailable: UNREACHABLE if none of them gives it.
    """
    for peer in peers:
        try:
            total, _ = await source.blob_chunk(peer, identity, 0)
            if 0 < total <= bytes_max:
                return await fetch_blob(source, [peer], identity, total)
        except (Unavailable, InvalidInput):
            continue
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")


async def fetch_blob(source: Chunks, peers: list[bytes], identity: bytes, size: int) -> bytes:
    """Fetch a blob piece by piece; a peer that fails is replaced and the pieces kept.

    Raises:
        Unavailable: UNREACHABLE if no peer gives the whole blob with the right digest.
    """
    body = bytearray()
    for peer in peers[:PEERS_ASKED_MAX]:
        try:
            while len(body) < size:
                total, piece = await source.blob_chunk(peer, identity, len(body))
                if total != size or not piece or len(body) + len(piece) > size:
                    break
                body += piece
        except (Unavailable, InvalidInput):
            continue
        if len(body) == size:
            if digest(Domain.BLOB, bytes(body)) == identity:
                return bytes(body)
            # Some peer lied about some piece: start over with the next one alone.
            body.clear()
    raise Unavailable(Code.UNREACHABLE, f"no linked peer gives blob {identity.hex()[:16]}")
