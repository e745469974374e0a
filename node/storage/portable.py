"""The form in which a state travels: a manifest and chunks, each proved by one certified header.

The manifest leads from genesis over the blocks that closed epochs to one final header, lists the
headers of the blocks that come along, and holds the top of the state's tree. A state chunk is
proved by the top, a history chunk by those headers, so every part is checked when it arrives,
whoever gave it. Blocks come along as far back as a transaction could be repeated: without their
ids a node could not refuse a duplicate.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from andon.core.block import Block, Header, PredictionRecord, block_hash, justification_digest
from andon.core.certificate import Certificate, ValidatorSet, VoteKind, check_certificate
from andon.core.codec import Record, decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import Genesis, genesis_hash
from andon.core.hashing import Digest
from andon.core.merkle import merkle_root
from andon.core.proof import (
    CLOSINGS_MAX,
    EpochChange,
    FinalHeader,
    TrustedSet,
    check_final_header,
    follow_change,
    genesis_trust,
)
from consensus.ledger import check_chunk, check_top
from consensus.ledger.host import EXACT

PORTABLE_VERSION = 1
MANIFEST = "manifest"
MANIFEST_BYTES_MAX = 64 * 1024 * 1024
CHUNK_BYTES_MAX = 256 * 1024 * 1024
BLOCKS_PER_CHUNK = 16
_NAME = re.compile(r"manifest|state-[0-9a-f]{0,4}|blocks-[0-9]{1,16}")


class Pair(Record, frozen=True):
    """A state key with its value, or a path of the tree with its node."""

    key: bytes
    value: bytes


class Manifest(Record, frozen=True):
    """What a portable state consists of; nothing in it is believed before `check_manifest`."""

    version: int
    genesis: bytes
    changes: tuple[EpochChange, ...]
    final: FinalHeader
    headers: tuple[Header, ...]
    """Of the blocks that come along, ascending, the last one the certified header itself."""
    top: tuple[Pair, ...]


class StateChunk(Record, frozen=True):
    """All entries of the state below one place of the tree, in order of key digest."""

    entries: tuple[Pair, ...]


class HistoryItem(Record, frozen=True):
    """One block with what it did, and its own certificate if it has one."""

    block: Block
    certificate: Certificate | None
    receipts: tuple[bytes, ...]
    predictions: tuple[bytes, ...]


class HistoryChunk(Record, frozen=True):
    """Consecutive blocks, ascending."""

    items: tuple[HistoryItem, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest that was proved from genesis, and what its chunks must be."""

    manifest: Manifest
    sets: tuple[ValidatorSet, ...]
    """Validators by epoch, that of the next block included."""
    places: dict[bytes, Digest]
    """Hash of the subtree of each state chunk, by path."""

    @property
    def height(self) -> int:
        """Height of the state."""
        return self.manifest.final.header.height

    @property
    def first(self) -> int:
        """Lowest height of the blocks that come along."""
        return self.manifest.headers[0].height

    def names(self) -> list[str]:
        """Names of all chunks."""
        starts = {header.height // BLOCKS_PER_CHUNK for header in self.manifest.headers}
        return [state_name(path) for path in sorted(self.places)] + [
            history_name(start) for start in sorted(starts)
        ]

    def check(self, name: str, data: bytes) -> StateChunk | HistoryChunk:
        """Check a chunk.

        Raises:
            InvalidInput: BAD_PROOF, or what decoding and certificates raise.
        """
        kind, _, rest = name.partition("-")
        if kind == "state":
            chunk = decode(StateChunk, data, CHUNK_BYTES_MAX)
            self.tree_of(rest.encode(), chunk)
            return chunk
        history = decode(HistoryChunk, data, CHUNK_BYTES_MAX)
        self._check_history(int(rest), history)
        return history

    def tree_of(self, path: bytes, chunk: StateChunk) -> dict[bytes, bytes | None]:
        """Give the nodes of the tree that a state chunk stands for; raises as `check`."""
        entries = [(pair.key, pair.value) for pair in chunk.entries]
        return check_chunk(path, self.places[path], entries)

    def _check_history(self, number: int, chunk: HistoryChunk) -> None:
        start = max(number * BLOCKS_PER_CHUNK, self.first)
        end = min((number + 1) * BLOCKS_PER_CHUNK, self.height + 1)
        if [item.block.header.height for item in chunk.items] != list(range(start, end)):
            raise _bad(f"blocks {start} to {end - 1} are not all there")
        for item in chunk.items:
            header = self.manifest.headers[item.block.header.height - self.first]
            if item.block.header != header:
                raise _bad(f"block {header.height} is another one")
            check_item(item)
            if item.certificate is not None:
                _check_certificate(self.sets[header.epoch], item.certificate, header)


def state_name(path: bytes) -> str:
    """Name of a state chunk."""
    return f"state-{path.decode()}"


def history_name(number: int) -> str:
    """Name of the `number`-th chunk of blocks."""
    return f"blocks-{number}"


def is_chunk_name(name: str) -> bool:
    """Tell whether a peer may ask for this name."""
    return _NAME.fullmatch(name) is not None


def check_manifest(genesis: Genesis, data: bytes) -> Checked:
    """Prove a manifest with only the genesis document at hand.

    Cost: one signature check a signer and epoch, one hash a header.

    Raises:
        InvalidInput: BAD_PROOF, WRONG_CHAIN, or what certificates raise.
    """
    manifest = decode(Manifest, data, MANIFEST_BYTES_MAX)
    if manifest.version != PORTABLE_VERSION:
        raise InvalidInput(
            Code.BAD_PROOF,
            f"this snapshot has form {manifest.version}, not {PORTABLE_VERSION}",
            hint="make it anew with this release",
        )
    if manifest.genesis != genesis_hash(genesis):
        raise InvalidInput(Code.WRONG_CHAIN, "the snapshot is of another network")
    if len(manifest.changes) > CLOSINGS_MAX:
        raise InvalidInput(Code.TOO_MANY, f"more than {CLOSINGS_MAX} epochs")
    trust = genesis_trust(genesis)
    sets = [trust.validators]
    for change in manifest.changes:
        trust = follow_change(genesis.chain_id, trust, change)
        sets.append(trust.validators)
    header = manifest.final.header
    if header.epoch != trust.epoch:
        # The header closed its own epoch: the last change is that of the header itself.
        trust = TrustedSet(header.epoch, _own_set(manifest, sets))
    check_final_header(genesis.chain_id, trust, manifest.final)
    if manifest.final.path or (header.closes_epoch and len(sets) != header.epoch + 2):
        raise _bad("the last header lacks a certificate of its own or the set after it")
    _check_headers(manifest)
    places = check_top(header.state_root, [(pair.key, pair.value) for pair in manifest.top])
    return Checked(manifest, tuple(sets), places)


def _own_set(manifest: Manifest, sets: Sequence[ValidatorSet]) -> ValidatorSet:
    header = manifest.final.header
    last = manifest.changes[-1].final.header if manifest.changes else None
    if last != header:
        raise _bad("the headers that closed epochs do not lead to the last header")
    return sets[header.epoch]


def _check_headers(manifest: Manifest) -> None:
    headers = manifest.headers
    if not headers or headers[-1] != manifest.final.header or headers[0].height < 1:
        raise _bad("the headers do not end at the certified one")
    for below, above in itertools.pairwise(headers):
        if above.parent != block_hash(below) or above.height != below.height + 1:
            raise _bad(f"header {above.height} does not follow")


def check_item(item: HistoryItem) -> None:
    """Check a block's body and leaves against its header, which the caller trusts.

    Raises:
        InvalidInput: BAD_PROOF.
    """
    header = item.block.header
    for name, root, leaves in (
        ("transactions", header.transactions_root, item.block.transactions),
        ("receipts", header.receipts_root, item.receipts),
        ("predictions", header.predictions_root, item.predictions),
    ):
        if merkle_root(leaves) != root:
            raise _bad(f"the {name} of block {header.height} do not fit its header")
    if justification_digest(item.block.justification) != header.justification_digest:
        raise _bad(f"the justification of block {header.height} is another one")
    claimed = {(out.model_id, out.input_digest): out.output for out in item.block.predictions}
    for raw in item.predictions:
        record = decode(PredictionRecord, raw)
        is_claimed = record.kind == EXACT
        if is_claimed and claimed.get((record.model_id, record.input_digest)) != record.output:
            raise _bad(f"the body of block {header.height} claims another output")


def _check_certificate(validators: ValidatorSet, certificate: Certificate, header: Header) -> None:
    vote = certificate.vote
    if vote.kind is not VoteKind.FINAL or vote.block != block_hash(header):
        raise _bad(f"the certificate of block {header.height} names another block")
    if vote.epoch != header.epoch:
        raise _bad(f"the certificate of block {header.height} is of another epoch")
    check_certificate(header.chain_id, validators, certificate)


def encode_chunk(chunk: StateChunk | HistoryChunk) -> bytes:
    """Encode for a file or an answer."""
    return encode(chunk)


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(Code.BAD_PROOF, f"snapshot: {reason}", hint="fetch it from another peer")
