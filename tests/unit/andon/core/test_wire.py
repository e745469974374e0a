"""Frames between peers: every message round-trips, bounds hold, junk is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.core.block import Block, Header, Justification, PredictionOutput, block_hash
from andon.core.certificate import Certificate, SignedVote, Signer, Vote, VoteKind
from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.wire import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    BlockMessage,
    BlockWanted,
    CertificateMessage,
    FinalBlock,
    Message,
    Proposal,
    Status,
    Transactions,
    TransactionsWanted,
    VoteMessage,
    decode_frame,
    encode_frame,
)

vote = Vote(kind=VoteKind.NOTAR, epoch=1, slot=2, block=b"b" * 32)
signed = SignedVote(vote=vote, validator=1, signature=b"s" * 64)
certificate = Certificate(vote=vote, signers=(Signer(0, b"s" * 64), Signer(2, b"t" * 64)))
header = Header(
    version=1,
    chain_id="c",
    epoch=1,
    slot=2,
    height=3,
    time_ms=4,
    parent=b"p" * 32,
    proposer=b"k" * 32,
    justification_digest=b"j" * 32,
    transactions_root=b"t" * 32,
    predictions_root=b"o" * 32,
    receipts_root=b"r" * 32,
    state_root=b"s" * 32,
    validators_hash=b"v" * 32,
    next_validators_hash=b"v" * 32,
    gas_used=5,
)
justification = Justification(parent_certificate=certificate, skips=(certificate,))
output = PredictionOutput(model_id=b"m" * 32, input_digest=b"i" * 32, output=(-5, 2**40))
block = Block(header, justification, (b"raw",), (output,))
messages: list[Message] = [
    Transactions((b"a", b"b")),
    TransactionsWanted((b"i" * 32,)),
    Proposal(signed, header, justification, None, (b"i" * 32,), (output,)),
    Proposal(signed, header, justification, justification, (), ()),
    VoteMessage(signed),
    CertificateMessage(certificate),
    Status(1, 2, 3, b"h" * 32),
    BlockWanted(b"b" * 32),
    BlockMessage(block),
]


def test_every_kind_of_message_comes_back() -> None:
    assert decode_frame(encode_frame(tuple(messages))) == tuple(messages)
    final = FinalBlock(block=block, path=(header,), certificate=certificate)
    assert decode(FinalBlock, encode(final)) == final
    assert header.closes_epoch is False


def test_a_block_is_named_by_its_header_alone() -> None:
    assert block_hash(header) == block_hash(block.header)
    assert len(block_hash(header)) == 32


def test_frames_are_bounded() -> None:
    one = BlockWanted(b"b" * 32)
    assert len(decode_frame(encode_frame((one,) * FRAME_MESSAGES_MAX))) == FRAME_MESSAGES_MAX
    for bad, code in (
        (encode_frame(()), Code.TOO_MANY),
        (encode_frame((one,) * (FRAME_MESSAGES_MAX + 1)), Code.TOO_MANY),
        (bytes(FRAME_BYTES_MAX + 1), Code.TOO_LARGE),
        (b"", Code.MALFORMED),
    ):
        with pytest.raises(InvalidInput) as caught:
            decode_frame(bad)
        assert caught.value.code is code


@given(st.data())
def test_a_frame_with_any_byte_changed_is_refused_or_means_something_else(
    data: st.DataObject,
) -> None:
    whole = encode_frame(tuple(messages))
    position = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_frame(bytes(changed))
    except InvalidInput:
        return
    assert decoded != tuple(messages)
    assert encode_frame(decoded) == bytes(changed)
