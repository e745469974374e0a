"""Catch-up by final blocks in the simulator: what a node believes of a peer's answer."""

from __future__ import annotations

from andon.core.block import block_hash
from andon.core.certificate import (
    ValidatorSet,
    VoteKind,
    check_certificate_shape,
    vote_signing_bytes,
)
from andon.core.errors import Code, InvalidInput
from andon.core.wire import FinalBlock
from node.testing.sim.disk import fake_signature

WINDOW = 32


def check_final_block(chain_id: str, validators: ValidatorSet, final: FinalBlock) -> None:
    """Check that a Final certificate covers the block, itself or through a descendant.

    Raises:
        InvalidInput: BAD_CERTIFICATE or BAD_SIGNATURE.
    """
    certified = final.block.header
    for descendant in final.path:
        if descendant.parent != block_hash(certified):
            raise InvalidInput(Code.BAD_CERTIFICATE, "the path of headers is broken")
        certified = descendant
    vote = final.certificate.vote
    if vote.kind is not VoteKind.FINAL or vote.block != block_hash(certified):
        raise InvalidInput(Code.BAD_CERTIFICATE, "the certificate names another block")
    if vote.epoch != final.block.header.epoch:
        raise InvalidInput(Code.BAD_CERTIFICATE, "the certificate is of another epoch")
    check_certificate_shape(validators, final.certificate)
    message = vote_signing_bytes(chain_id, vote)
    for signer in final.certificate.signers:
        key = validators.validators[signer.validator].key
        if fake_signature(key, message) != signer.signature:
            raise InvalidInput(Code.BAD_SIGNATURE, "a forged certificate")
