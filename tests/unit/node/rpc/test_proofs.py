from andon.core.certificate import Certificate, Signer, Vote, VoteKind, vote_signing_bytes
from andon.core.keys import PrivateKey
from andon.core.proof import decode_bundle, verify_bundle
from andon.core.transaction import TransactionBody, make_call, sign_transaction
from node.facade import BlockAnswer, Wait
from node.rpc import proofs
from node.testing.memory_node import CHAIN_ID, MemoryNode

KEY = PrivateKey(b"\x2a" * 32)


class SlowFourth(MemoryNode):
    """Its certificates hold three signatures; the fourth vote of a kind in `late` came after."""

    late: tuple[VoteKind, ...] = ()

    def gathered(self, vote: Vote) -> Certificate | None:
        if vote.kind not in self.late:
            return None
        message = vote_signing_bytes(CHAIN_ID, vote)
        return Certificate(
            vote, tuple(Signer(index, key.sign(message)) for index, key in enumerate(self.keys))
        )


async def block_of_three(here: SlowFourth) -> BlockAnswer:
    call = make_call("maintenance", "assess", {"machine": "M1", "window": b"\x05"})
    body = TransactionBody(CHAIN_ID, KEY.public, bytes(8), 100, 10_000, (call,))
    await here.submit(sign_transaction(body, KEY), Wait.FINAL, 1000)
    block = await here.block(1)
    certificate = block.final.certificate
    fewer = Certificate(certificate.vote, certificate.signers[:3])
    final = type(block.final)(block=block.final.block, path=(), certificate=fewer)
    return BlockAnswer(
        hash=block.hash, final=final, receipts=block.receipts, predictions=block.predictions
    )


async def test_late_final_votes_make_the_certificate_larger() -> None:
    here = SlowFourth()
    here.late = (VoteKind.FINAL,)
    block = await block_of_three(here)
    data = await proofs.prove_prediction(here, block, 0, None)
    verified = verify_bundle(here.genesis, decode_bundle(data))
    assert len(verified.signers) == 4
    assert len(await proofs.voters_of(here, block, here.validators())) == 4


async def test_late_notar_votes_add_voters_to_the_same_certificate() -> None:
    here = SlowFourth()
    here.late = (VoteKind.NOTAR,)
    block = await block_of_three(here)
    notar = await proofs.notar_of(here, block)
    data = await proofs.prove_prediction(here, block, 0, notar)
    verified = verify_bundle(here.genesis, decode_bundle(data))
    assert (len(verified.signers), len(verified.voters)) == (3, 4)


async def test_without_late_votes_the_certificate_stands_as_it_is() -> None:
    here = SlowFourth()
    block = await block_of_three(here)
    data = await proofs.prove_prediction(here, block, 0, await proofs.notar_of(here, block))
    assert len(verify_bundle(here.genesis, decode_bundle(data)).voters) == 3
