"""Executed blocks above the last final one, and the final one itself as their root.

The execution thread owns it: parents are looked up, blocks added and branches cut there, so that
no job ever runs on a state that has moved on below it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from andon.core.block import Block, Header, PredictionRecord, Receipt
from andon.core.certificate import Certificate
from andon.core.errors import Code, Unavailable
from consensus.ledger import Executed, FlatState, Parent, parent_of
from node.drivers.base_state import BaseState
from node.phases import Lap
from node.storage import StoredBlock

BLOCKS_COUNT_MAX = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What listeners learn of a final block."""

    header: Header
    hash: bytes
    transactions: tuple[bytes, ...]
    receipts: tuple[Receipt, ...]
    predictions: tuple[PredictionRecord, ...]


@dataclass(slots=True)
class KnownBlock:
    """An executed block; `is_checked` once its predictions were recomputed or are our own."""

    block: Block
    executed: Executed
    is_checked: bool
    votes: Lap | None = None
    """Runs from the check to the commit; None for a block that was never checked here."""
    as_parent: Parent = field(init=False)

    def __post_init__(self) -> None:
        self.as_parent = parent_of(self.block.header, self.executed)

    def committed(self) -> Committed:
        """What listeners learn once it is final."""
        return Committed(
            header=self.block.header,
            hash=self.as_parent.hash,
            transactions=self.block.transactions,
            receipts=self.executed.receipts,
            predictions=self.executed.predictions,
        )


class BlockTree:
    """The final head and what stands on it."""

    def __init__(self, base: BaseState, final: Parent) -> None:
        self._base = base
        self._blocks: dict[bytes, KnownBlock] = {}
        self._flat: tuple[bytes, FlatState] | None = None
        self.final = final

    def get(self, identity: bytes) -> KnownBlock | None:
        """Give an executed block that is not final."""
        return self._blocks.get(identity)

    def parent(self, identity: bytes) -> Parent:
        """Give the block that another is to stand on.

        Raises:
            Unavailable: NOT_FOUND if it is neither final head nor checked.
        """
        if identity == self.final.hash:
            return self.final
        known = self._blocks.get(identity)
        if known is None or not known.is_checked:
            raise Unavailable(
                Code.NOT_FOUND,
                f"block {identity.hex()[:16]} is not known here",
                hint="fetch it, or it was left behind by a final block",
            )
        return known.as_parent

    def flat_parent(self, identity: bytes) -> Parent:
        """Give `parent`, to be read in one step and until the tree changes; in a catch-up cheap.

        Raises:
            Unavailable: as `parent`.
        """
        above = self.parent(identity)
        if above is self.final:
            return above
        if self._flat is None or self._flat[0] != identity:
            flat = FlatState(self._base)
            for known in self.branch(identity):
                flat.absorb(known.executed.overlay)
            self._flat = identity, flat
        return replace(above, state=self._flat[1])

    def add(self, known: KnownBlock) -> None:
        """Add an executed block whose parent is here.

        Raises:
            Unavailable: TOO_MANY when BLOCKS_COUNT_MAX are not final.
        """
        if len(self._blocks) >= BLOCKS_COUNT_MAX:
            raise Unavailable(Code.TOO_MANY, f"{BLOCKS_COUNT_MAX} blocks wait to be final")
        above, overlay = known.block.header.parent, known.executed.overlay
        if above == self.final.hash:
            # The parent may have become final while the child was executed.
            overlay.rebase(self._base)
        elif above in self._blocks:
            overlay.rebase(self._blocks[above].executed.overlay)
        if self._flat is not None and self._flat[0] == above:
            self._flat[1].absorb(overlay)
            self._flat = known.as_parent.hash, self._flat[1]
        self._blocks[known.as_parent.hash] = known

    def branch(self, identity: bytes) -> list[KnownBlock]:
        """Blocks from the final head's child up to `identity`, ascending.

        Raises:
            Unavailable: NOT_FOUND if the branch does not reach down to the final head.
        """
        blocks: list[KnownBlock] = []
        while identity != self.final.hash:
            known = self._blocks.get(identity)
            if known is None or not known.is_checked:
                raise Unavailable(
                    Code.NOT_FOUND,
                    f"block {identity.hex()[:16]} is not executed here",
                    hint="validate it first, or sync",
                )
            blocks.append(known)
            identity = known.block.header.parent
        blocks.reverse()
        return blocks

    def finalise(self, blocks: list[KnownBlock]) -> None:
        """Make the stored branch the root: move the base, re-base children, cut other branches."""
        self._flat = None
        self._base.advance(known.executed.overlay for known in blocks)
        last = blocks[-1].as_parent
        self.final = Parent(
            header=last.header,
            hash=last.hash,
            state=self._base,
            validators=last.validators,
            params=last.params,
        )
        kept: dict[bytes, KnownBlock] = {}
        ascending = sorted(self._blocks.items(), key=lambda item: item[1].block.header.height)
        for identity, known in ascending:
            parent = known.block.header.parent
            if parent == self.final.hash:
                known.executed.overlay.rebase(self._base)
                kept[identity] = known
            elif parent in kept:
                kept[identity] = known
        self._blocks = kept

    def restart(self, final: Parent) -> None:
        """Begin anew at another stored head."""
        self._blocks, self._flat = {}, None
        self.final = final

    def transaction_ids(self, identity: bytes) -> set[bytes]:
        """Ids of transactions in the block and its ancestors that are not final."""
        found: set[bytes] = set()
        known = self._blocks.get(identity)
        while known is not None:
            found |= known.executed.overlay.transaction_ids
            known = self._blocks.get(known.block.header.parent)
        return found


def stored_blocks(
    blocks: list[KnownBlock], certificates: tuple[Certificate, ...]
) -> list[StoredBlock]:
    """Pair the blocks of a branch with the certificates that name them."""
    named = {certificate.vote.block: certificate for certificate in certificates}
    return [
        StoredBlock(
            block=known.block,
            executed=known.executed,
            certificate=named.get(known.as_parent.hash),
        )
        for known in blocks
    ]
