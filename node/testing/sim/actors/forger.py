"""Makes certificates out of nothing but its own signature: once, or as often as a quorum needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from andon.core.block import Block
from andon.core.certificate import Certificate, Signer, Vote, VoteKind
from andon.core.hashing import ZERO_DIGEST
from andon.core.wire import CertificateMessage, VoteMessage
from node.testing.sim.actors.forging import sign
from node.testing.sim.messages import SimMessage

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


class Forger:
    """Certifies Skip to some and Final to others, for every slot in which it votes."""

    def __init__(self, chain_id: str) -> None:
        self._chain_id = chain_id

    def send(
        self, node: SimNode, target: int, message: SimMessage, block: Block | None
    ) -> Iterator[tuple[SimMessage, Block | None]]:
        """Add forged certificates to own votes."""
        if isinstance(message, VoteMessage):
            vote, own = message.vote.vote, message.vote.validator
            forged = Vote(VoteKind.SKIP, vote.epoch, vote.slot, ZERO_DIGEST)
            if target % 2 and vote.kind is VoteKind.NOTAR:
                forged = Vote(VoteKind.FINAL, vote.epoch, vote.slot, vote.block)
            signer = Signer(own, sign(self._chain_id, node, forged, own).signature)
            for count in (1, len(node.world.keys)):
                yield CertificateMessage(Certificate(forged, (signer,) * count)), None
        yield message, block
