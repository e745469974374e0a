from andon.core.certificate import SignedVote, Validator, Vote, VoteKind, make_validator_set
from andon.core.genesis import Params
from andon.core.hashing import ZERO_DIGEST
from andon.core.keys import PrivateKey
from consensus.bft.effects import Effect
from consensus.bft.state import Base, Position, State, initial_state
from consensus.bft.votes import gather, receive_vote

BLOCK = b"\x07" * 32
NOTAR = Vote(VoteKind.NOTAR, 0, 1, BLOCK)


def state() -> State:
    keys = [PrivateKey(bytes([index + 1]) * 32) for index in range(4)]
    validators = make_validator_set(tuple(Validator(key.public, 1) for key in keys))
    base = Base(epoch=0, slot=0, height=0, block=ZERO_DIGEST, certificate=None)
    return initial_state(Position(base=base, validators=validators, index=None, params=Params()))


def vote(of: State, *validators: int) -> None:
    out: list[Effect] = []
    for index in validators:
        receive_vote(of, SignedVote(NOTAR, index, bytes([index]) * 64), out)


def test_votes_below_the_quorum_make_nothing() -> None:
    here = state()
    assert gather(here, NOTAR) is None
    vote(here, 0, 1)
    assert gather(here, NOTAR) is None


def test_a_vote_behind_the_quorum_is_gathered_too() -> None:
    here = state()
    vote(here, 2, 0, 1)
    assert gather(here, NOTAR) == here.table(1).certificates[VoteKind.NOTAR, BLOCK]
    vote(here, 3)
    later = gather(here, NOTAR)
    assert later is not None
    assert [signer.validator for signer in later.signers] == [0, 1, 2, 3]


def test_votes_of_another_epoch_are_not_ours() -> None:
    here = state()
    vote(here, 0, 1, 2)
    assert gather(here, Vote(VoteKind.NOTAR, 1, 1, BLOCK)) is None
