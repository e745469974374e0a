"""Proof bundles from the node's answers; `andon.core.proof` says what they mean."""

from __future__ import annotations

from andon.core.certificate import Certificate, ValidatorSet, Vote, VoteKind
from andon.core.codec import encode
from andon.core.genesis import genesis_hash
from andon.core.merkle import merkle_proof
from andon.core.proof import (
    EpochChange,
    PredictionSubject,
    ProofBundle,
    ReceiptSubject,
    StateSubject,
    Subject,
    TransactionSubject,
    encode_bundle,
    final_header,
)
from andon.core.wire import FinalBlock
from node.facade import BlockAnswer, NodeFacade, StateAnswer


async def bundle(
    node: NodeFacade, final: FinalBlock, subject: Subject, notar: Certificate | None = None
) -> bytes:
    """Encode the proof of `subject` under the header of `final`, back to genesis."""
    final = with_late_votes(node, final)
    changes = []
    for closing in await node.epoch_closings():
        epoch = closing.header.epoch
        if epoch < final.block.header.epoch:
            changes.append(EpochChange(final=closing, next_validators=node.validators(epoch + 1)))
    return encode_bundle(
        ProofBundle(
            genesis_hash=genesis_hash(node.genesis),
            changes=tuple(changes),
            final=final_header(final),
            notar=notar,
            subject=subject,
        )
    )


def with_late_votes(node: NodeFacade, final: FinalBlock) -> FinalBlock:
    """Take the Final certificate with the most signatures that this node holds."""
    gathered = node.gathered(final.certificate.vote)
    if gathered is None or len(gathered.signers) <= len(final.certificate.signers):
        return final
    return FinalBlock(block=final.block, path=final.path, certificate=gathered)


async def voters_of(
    node: NodeFacade, block: BlockAnswer, validators: ValidatorSet
) -> tuple[bytes, ...]:
    """Keys of all validators whose Notar or Final signature on a block can be shown."""
    final = with_late_votes(node, block.final)
    return signer_keys(validators, final.certificate, await notar_of(node, block))


async def notar_of(node: NodeFacade, block: BlockAnswer) -> Certificate | None:
    """The Notar certificate with the most signatures: as voted here, or as the child carries it."""
    header = block.final.block.header
    gathered = node.gathered(Vote(VoteKind.NOTAR, header.epoch, header.slot, block.hash))
    if gathered is not None or header.height >= node.status().height or header.closes_epoch:
        return gathered
    child = await node.block(header.height + 1)
    notar = child.final.block.justification.parent_certificate
    if notar is None or notar.vote.kind is not VoteKind.NOTAR or notar.vote.block != block.hash:
        return None
    return notar


async def prove_prediction(
    node: NodeFacade, block: BlockAnswer, index: int, notar: Certificate | None
) -> bytes:
    """Prove leaf `index` of the block's predictions root."""
    leaves = [encode(record) for record in block.predictions]
    subject = PredictionSubject(record=block.predictions[index], path=merkle_proof(leaves, index))
    return await bundle(node, block.final, subject, notar)


async def prove_receipt(node: NodeFacade, block: BlockAnswer, index: int) -> bytes:
    """Prove leaf `index` of the block's receipts root."""
    leaves = [encode(item) for item in block.receipts]
    subject = ReceiptSubject(receipt=block.receipts[index], path=merkle_proof(leaves, index))
    return await bundle(node, block.final, subject)


async def prove_transaction(node: NodeFacade, block: BlockAnswer, index: int) -> bytes:
    """Prove leaf `index` of the block's transactions root."""
    raws = block.final.block.transactions
    subject = TransactionSubject(raw=raws[index], path=merkle_proof(raws, index))
    return await bundle(node, block.final, subject)


async def prove_state(node: NodeFacade, answer: StateAnswer) -> bytes:
    """Prove the value of a state key, or its absence."""
    subject = StateSubject(key=answer.key, value=answer.value, path=answer.proof)
    return await bundle(node, answer.final, subject)


def signer_keys(validators: ValidatorSet, *certificates: Certificate | None) -> tuple[bytes, ...]:
    """Keys under any of the certificates, each once, in the order of the set."""
    indices = {
        signer.validator
        for certificate in certificates
        if certificate is not None
        for signer in certificate.signers
    }
    return tuple(validators.validators[index].key for index in sorted(indices))
