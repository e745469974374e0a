"""Reading the stored chain for RPC and peers: each answer comes from one snapshot."""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.block import PREDICTION_INDEX_BYTES, Header, PredictionRecord, Receipt, block_hash
from andon.core.certificate import ValidatorSet
from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput
from andon.core.proof import FinalHeader
from andon.core.state_proof import StateProof
from andon.core.wire import FinalBlock
from consensus.ledger import state_proof
from node.storage import ChainStore, Snapshot, adoptable_block, history_item

EPOCHS_LOOKED_MAX = 1024
"""So far back a validator that has no vote looks for the epoch in which it lost it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRead:
    """A final block with all leaves of its roots."""

    hash: bytes
    final: FinalBlock
    receipts: tuple[Receipt, ...]
    predictions: tuple[PredictionRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRead:
    """A value (None: absent), its proof, and the block whose state root it is under."""

    value: bytes | None
    proof: StateProof
    final: FinalBlock


class ChainQueries:
    """Answers from disk. Cheap enough for the event loop; whole blocks cost milliseconds."""

    def __init__(self, store: ChainStore) -> None:
        self._store = store

    def height(self) -> int:
        """Height of the last final block."""
        with self._store.snapshot() as snapshot:
            return snapshot.height()

    def header(self, height: int) -> Header | None:
        """Header of a final block, None above the head."""
        with self._store.snapshot() as snapshot:
            return snapshot.header(height)

    def final_block(self, height: int) -> FinalBlock | None:
        """Block with the certificate that proves it final; None if it is not here."""
        with self._store.snapshot() as snapshot:
            return snapshot.final_block(height)

    def final_blocks(self, first: int, count: int, bytes_max: int) -> list[bytes]:
        """Encoded final blocks for a peer that catches up; at least one if there is any."""
        found: list[bytes] = []
        size_bytes = 0
        with self._store.snapshot() as snapshot:
            for height in range(first, first + count):
                final = snapshot.final_block(height)
                if final is None:
                    break
                encoded = encode(final)
                size_bytes += len(encoded)
                if found and size_bytes > bytes_max:
                    break
                found.append(encoded)
        return found

    def adoptable_blocks(self, first: int, count: int, bytes_max: int) -> list[bytes]:
        """Encoded blocks with what they did, as far as that is kept and as many bytes allow."""
        found: list[bytes] = []
        size_bytes = 0
        with self._store.snapshot() as snapshot:
            for height in range(first, first + count):
                encoded = adoptable_block(snapshot, height)
                if encoded is None or size_bytes + len(encoded) > bytes_max:
                    break
                size_bytes += len(encoded)
                found.append(encoded)
        return found

    def item(self, height: int) -> bytes | None:
        """A final block with what it did, encoded for a peer that repairs its store."""
        with self._store.snapshot() as snapshot:
            if not max(1, snapshot.first_height()) <= height <= snapshot.height():
                return None
            return encode(history_item(snapshot, height))

    def value(self, key: bytes) -> bytes | None:
        """What the last state holds at a key."""
        with self._store.snapshot() as snapshot:
            return snapshot.get(key)

    def height_of(self, identity: bytes) -> int | None:
        """Height of a final block by its hash."""
        with self._store.snapshot() as snapshot:
            return snapshot.height_of(identity)

    def block(self, height: int) -> BlockRead:
        """Give a block with receipts and predictions.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN.
        """
        with self._store.snapshot() as snapshot:
            return _read_block(snapshot, height)

    def transaction_place(self, identity: bytes) -> tuple[int, int] | None:
        """Height and index of a final transaction."""
        with self._store.snapshot() as snapshot:
            return snapshot.transaction_place(identity)

    def receipt(self, identity: bytes) -> tuple[int, Receipt] | None:
        """Height and receipt of a final transaction."""
        with self._store.snapshot() as snapshot:
            place = snapshot.transaction_place(identity)
            if place is None:
                return None
            height, index = place
            return height, snapshot.receipts(height)[index]

    def prediction(self, identity: bytes) -> tuple[int, BlockRead]:
        """Give the leaf index of a prediction and the block that committed it.

        Raises:
            InvalidInput: NOT_FOUND.
        """
        with self._store.snapshot() as snapshot:
            place = snapshot.transaction_place(identity[:-PREDICTION_INDEX_BYTES])
            if place is not None:
                block = _read_block(snapshot, place[0])
                for index, record in enumerate(block.predictions):
                    if record.id == identity:
                        return index, block
        raise InvalidInput(Code.NOT_FOUND, f"no prediction {identity.hex()[:80]} is on record")

    def state(self, key: bytes) -> StateRead:
        """Read a state key with its proof under the last final header.

        Raises:
            InvalidInput: HEIGHT_UNKNOWN before the first block: nothing certifies genesis.
        """
        with self._store.snapshot() as snapshot:
            height = snapshot.height()
            final = snapshot.final_block(height)
            if final is None:
                raise _unknown(height)
            return StateRead(value=snapshot.get(key), proof=state_proof(snapshot, key), final=final)

    def epoch_closings(self) -> tuple[FinalHeader, ...]:
        """Headers of blocks that closed an epoch, ascending: what a light client follows."""
        with self._store.snapshot() as snapshot:
            found = [snapshot.final_header(height) for height in snapshot.epoch_closings()]
        return tuple(final for final in found if final is not None)

    def validators(self, epoch: int) -> ValidatorSet:
        """Give the set of an epoch.

        Raises:
            InvalidInput: WRONG_EPOCH if it has not begun.
        """
        with self._store.snapshot() as snapshot:
            validators = snapshot.validators(epoch) if 0 <= epoch < 2**63 else None
        if validators is None:
            raise InvalidInput(Code.WRONG_EPOCH, f"epoch {epoch} has not begun here")
        return validators

    def removed_at(self, validator_key: bytes) -> int | None:
        """Height of the block that took the vote of a key; None if it has one, or had none."""
        with self._store.snapshot() as snapshot:
            for height in reversed(snapshot.epoch_closings()[-EPOCHS_LOOKED_MAX:]):
                header = snapshot.header(height)
                if header is None:
                    return None
                if _is_member(snapshot, header.epoch + 1, validator_key):
                    return None
                if _is_member(snapshot, header.epoch, validator_key):
                    return height
        return None


def _is_member(snapshot: Snapshot, epoch: int, validator_key: bytes) -> bool:
    validators = snapshot.validators(epoch)
    return validators is not None and validators.index_of(validator_key) is not None


def _read_block(snapshot: Snapshot, height: int) -> BlockRead:
    final = snapshot.final_block(height) if 0 <= height < 2**63 else None
    if final is None:
        raise _unknown(height)
    return BlockRead(
        hash=block_hash(final.block.header),
        final=final,
        receipts=snapshot.receipts(height),
        predictions=snapshot.predictions(height),
    )


def _unknown(height: int) -> InvalidInput:
    return InvalidInput(
        Code.HEIGHT_UNKNOWN,
        f"no certified block of height {height} is stored here",
        hint="heights start at 1 and end at the node's last final block",
    )
