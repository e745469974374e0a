"""R15: the three pairs of votes that no honest validator signs.

(Notar h, Final h') is no evidence: whoever missed a proposal may finalise what others notarised.
"""

from __future__ import annotations

from andon.core.certificate import SignedVote, VoteKind

_CONTRADICTS = {
    VoteKind.PROPOSE: (),
    VoteKind.NOTAR: (VoteKind.NOTAR,),
    VoteKind.SKIP: (VoteKind.FINAL,),
    VoteKind.FINAL: (VoteKind.FINAL, VoteKind.SKIP),
}


def is_evidence(first: SignedVote, second: SignedVote) -> bool:
    """Tell whether two verified votes of one chain prove their signer guilty."""
    left, right = first.vote, second.vote
    if first.validator != second.validator or (left.epoch, left.slot) != (right.epoch, right.slot):
        return False
    return right.kind in _CONTRADICTS[left.kind] and left.block != right.block


def find_contradiction(held: dict[VoteKind, SignedVote], new: SignedVote) -> SignedVote | None:
    """Find a vote of the same validator and slot that contradicts the new one."""
    for kind in _CONTRADICTS[new.vote.kind]:
        other = held.get(kind)
        if other is not None and is_evidence(other, new):
            return other
    return None
