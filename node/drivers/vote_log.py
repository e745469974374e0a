"""R18: what a vote rests on is durable before it is signed; what was signed is said again.

Entries wait in memory until the next signature makes them durable, in one step: a commit needs
none of them, since the chain keeps the block and its certificate, and does not wait for them. The
owner calls what blocks (`sign`, `advance`) on one thread, in order, and the rest on its loop.
"""

from __future__ import annotations

from andon.core.block import Block, block_hash
from andon.core.certificate import Certificate, SignedVote, Vote
from andon.core.codec import decode, encode
from andon.core.errors import Code, Misuse
from consensus.bft import Base, BlockReceived, Restored
from node.drivers.consensus_ports import ConsensusStore, Signer

_BLOCK = b"block/"
_CERTIFICATE = b"certificate/"

Entries = dict[bytes, bytes | None]
"""What to store, or with None to delete."""


class VoteLog:
    """The only user of the signer and of the consensus store."""

    def __init__(self, store: ConsensusStore, signer: Signer | None) -> None:
        self._store = store
        self._signer = signer
        self._pending: Entries = {}
        self._kept: dict[bytes, tuple[int, int]] = {}
        self._stored: set[bytes] = set()
        """Keys that were handed out to be written, and may be on the disk."""
        self._recorded = (0, 0)
        """Epoch and slot that the signer's record is known to have reached."""

    def keep_certificate(self, certificate: Certificate) -> None:
        """Store with the next signature."""
        vote = certificate.vote
        place = b"%d/%d/%d/" % (vote.epoch, vote.slot, vote.kind)
        self._keep(_CERTIFICATE + place + vote.block, (vote.epoch, vote.slot), encode(certificate))

    def keep_block(self, block: Block, epoch: int, slot: int) -> None:
        """Store with the next signature; `slot` is the one in which we vote for it."""
        self._keep(_BLOCK + block_hash(block.header), (epoch, slot), encode(block))

    def forget(self, epoch: int, slot: int, above: int | None = None) -> None:
        """Delete, with the next write, what is final or belongs to earlier epochs.

        With `above`, what a later Final certificate decided between the two slots (R20).
        """
        first, last = (0, 0) if above is None else (epoch, above + 1), (epoch, slot)
        gone = [key for key, place in self._kept.items() if first <= place <= last]
        for key in gone:
            del self._kept[key]
            if key in self._stored:
                self._pending[key] = None
            else:
                # Never written: who signs nothing for long would gather these without a bound.
                self._pending.pop(key, None)

    def take_pending(self) -> Entries:
        """Take what waits to be written; hand it to the next `sign`."""
        entries, self._pending = self._pending, {}
        for key, value in entries.items():
            if value is None:
                self._stored.discard(key)
            else:
                self._stored.add(key)
        return entries

    def sign(self, entries: Entries, vote: Vote, validator: int) -> SignedVote:
        """Write the entries, record the vote, sign. Blocking.

        Raises:
            InvalidInput: SIGN_REFUSED. Corrupt: the disk failed.
        """
        if entries:
            self._store.replace(entries)
        if self._signer is None:
            raise Misuse(Code.NOT_READY, "an observer has no key to sign with")
        signed = self._signer.sign(vote, validator)
        self._recorded = max(self._recorded, (vote.epoch, vote.slot))
        return signed

    def has_recorded(self, epoch: int, slot: int) -> bool:
        """Tell, without blocking, whether `advance` would do nothing: we voted there or later."""
        return (epoch, slot) <= self._recorded

    def advance(self, epoch: int, slot: int) -> None:
        """Close the signer's slots up to here. Blocking."""
        if self._signer is not None:
            self._signer.advance(epoch, slot)

    def restore(self, base: Base, validator: int | None) -> tuple[Restored, list[Block]]:
        """Read what is durable and still matters above `base`; blocking, before the loop.

        Raises:
            Corrupt: STORAGE_DAMAGED, or a sign state older than the chain.
        """
        certificates: list[Certificate] = []
        blocks: list[Block] = []
        stored = self._store.load()
        self._stored = set(stored)
        for key, value in sorted(stored.items()):
            if key.startswith(_CERTIFICATE):
                certificate = decode(Certificate, value)
                self._kept[key] = (certificate.vote.epoch, certificate.vote.slot)
                if certificate.vote.epoch == base.epoch:
                    certificates.append(certificate)
            elif key.startswith(_BLOCK):
                block = decode(Block, value)
                self._kept[key] = (block.header.epoch, block.header.slot)
                if (block.header.epoch, block.header.height) > (base.epoch, base.height):
                    blocks.append(block)
        blocks.sort(key=lambda block: block.header.height)
        entries = tuple(
            BlockReceived(
                block=block_hash(block.header),
                header=block.header,
                justification=block.justification,
            )
            for block in blocks
        )
        votes = self._sign_again(base, validator)
        certificates.sort(key=lambda item: item.vote.slot)
        return Restored(votes=votes, certificates=tuple(certificates), blocks=entries), blocks

    def _sign_again(self, base: Base, validator: int | None) -> tuple[SignedVote, ...]:
        if self._signer is None or validator is None:
            return ()
        if base.certificate is not None:
            self._signer.check_not_older(base.certificate.vote.epoch, base.certificate.vote.slot)
        return tuple(
            self._signer.sign(vote, validator)
            for vote in self._signer.votes()
            if vote.epoch == base.epoch and vote.slot > base.slot
        )

    def _keep(self, key: bytes, place: tuple[int, int], value: bytes) -> None:
        self._kept[key] = max(place, self._kept.get(key, place))
        self._pending[key] = value
