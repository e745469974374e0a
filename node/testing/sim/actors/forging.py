"""Signing with the actor's own key, as often as it likes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from andon.core.block import Header, block_hash
from andon.core.certificate import SignedVote, Vote, vote_signing_bytes
from andon.core.wire import Proposal
from node.testing.sim.disk import fake_signature

if TYPE_CHECKING:
    from node.testing.sim.node import SimNode


def sign(chain_id: str, node: SimNode, vote: Vote, validator: int) -> SignedVote:
    """Sign without any record."""
    return SignedVote(vote, validator, fake_signature(node.key, vote_signing_bytes(chain_id, vote)))


def with_header(chain_id: str, node: SimNode, proposal: Proposal, header: Header) -> Proposal:
    """The same proposal with another header, signed anew."""
    vote = msgspec.structs.replace(proposal.vote.vote, block=block_hash(header))
    signed = sign(chain_id, node, vote, proposal.vote.validator)
    return msgspec.structs.replace(proposal, vote=signed, header=header)
