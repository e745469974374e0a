"""R4: a block names a certified parent and proves that every slot between was skipped.

These checks are part of validity: the safety argument walks from a block to its ancestors
through them, and finds in every fork more than a third of the weight guilty (docs/protocol.md).
"""

from __future__ import annotations

from andon.core.block import Header, Justification
from andon.core.certificate import Certificate, VoteKind
from andon.core.errors import Code, InvalidInput


def check_proposal(
    header: Header,
    block: bytes,
    justification: Justification,
    slot: int,
    slot_justification: Justification | None,
) -> None:
    """Check that a block may be proposed in `slot`; certificates in it are verified already.

    Raises:
        InvalidInput: BAD_BLOCK with the field `rule`.
    """
    check_justification(header.epoch, header.slot, header.parent, justification)
    if slot_justification is None:
        if header.slot != slot:
            raise _refused("slot", f"the header says slot {header.slot}, the proposal {slot}")
        return
    # R14: only a block that closes its epoch is proposed again, later, upon itself.
    if not header.closes_epoch or not header.slot < slot:
        raise _refused("slot", "only a block that closes its epoch is proposed again, later")
    certificate = slot_justification.parent_certificate
    if certificate is None or certificate.vote.epoch != header.epoch:
        raise _refused("justification", "a block proposed again needs its own certificate")
    if certificate.vote.slot < header.slot:
        raise _refused("justification", "the certificate is older than the block")
    check_justification(header.epoch, slot, block, slot_justification)


def check_justification(epoch: int, slot: int, parent: bytes, justification: Justification) -> None:
    """Check that a child of `parent` may stand in `slot`.

    Raises:
        InvalidInput: BAD_BLOCK with the field `rule`.
    """
    position = _position(epoch, parent, justification.parent_certificate)
    if position >= slot:
        raise _refused("justification", "the parent's slot is not below the block's")
    if len(justification.skips) != slot - position - 1:
        raise _refused("justification", f"{slot - position - 1} slots need a Skip certificate")
    for offset, skip in enumerate(justification.skips):
        vote = skip.vote
        if vote.kind is not VoteKind.SKIP or vote.epoch != epoch:
            raise _refused("justification", "not a Skip certificate of this epoch")
        if vote.slot != position + 1 + offset:
            raise _refused("justification", f"slot {position + 1 + offset} is not skipped")


def certificates_of(justification: Justification | None) -> tuple[Certificate, ...]:
    """All certificates in a justification, oldest first."""
    if justification is None:
        return ()
    parent = justification.parent_certificate
    return ((parent,) if parent is not None else ()) + justification.skips


def _position(epoch: int, parent: bytes, certificate: Certificate | None) -> int:
    """Slot of the parent in the child's epoch; 0 for the epoch's root."""
    if certificate is None:
        if epoch != 0:
            raise _refused("justification", "only a child of genesis needs no certificate")
        return 0
    vote = certificate.vote
    if vote.block != parent:
        raise _refused("justification", "the certificate names another block than the parent")
    if vote.epoch == epoch and vote.kind in (VoteKind.NOTAR, VoteKind.FINAL):
        return vote.slot
    if vote.epoch + 1 == epoch and vote.kind is VoteKind.FINAL:
        return 0
    raise _refused("justification", "neither Notar or Final of this epoch nor Final of the last")


def _refused(rule: str, reason: str) -> InvalidInput:
    return InvalidInput(Code.BAD_BLOCK, f"{rule}: {reason}", rule=rule)
