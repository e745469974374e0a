import pytest

from andon.core.codec import decode, encode
from andon.core.errors import Code, InvalidInput
from andon.core.keys import PrivateKey
from node.net.handshake import Acceptor, Answer, Confirm, Dialer, Hello, Identity

ALICE, BOB, EVE = (PrivateKey(bytes([n]) * 32) for n in (1, 2, 3))
GENESIS = b"g" * 32


def identity(key: PrivateKey, certificate: bytes, chain: str = "plant-1") -> Identity:
    return Identity(key=key, chain_id=chain, genesis=GENESIS, certificate=certificate)


def pair(
    *, registered: tuple[PrivateKey, ...] = (ALICE, BOB), chain: str = "plant-1"
) -> tuple[Dialer, Acceptor]:
    keys = [key.public for key in registered]
    dialer = Dialer(identity(ALICE, b"a" * 32), BOB.public, nonce=b"1" * 32, token=b"s" * 32)
    acceptor = Acceptor(
        identity(BOB, b"b" * 32, chain), keys.__contains__, nonce=b"2" * 32, token=b"t" * 32
    )
    return dialer, acceptor


def test_two_registered_nodes_meet_and_exchange_tokens() -> None:
    dialer, acceptor = pair()
    confirm, dialled = dialer.confirm(acceptor.answer(dialer.hello()), b"b" * 32)
    accepted = acceptor.finish(confirm)
    assert dialled.peer == BOB.public
    assert accepted.peer == ALICE.public
    assert (dialled.token_received, dialled.token_given) == (b"t" * 32, b"s" * 32)
    assert (accepted.token_received, accepted.token_given) == (b"s" * 32, b"t" * 32)
    assert accepted.peer_certificate == b"a" * 32


def test_a_man_in_the_middle_with_another_certificate_is_noticed_by_the_dialer() -> None:
    dialer, acceptor = pair()
    answer = acceptor.answer(dialer.hello())
    with pytest.raises(InvalidInput) as error:
        dialer.confirm(answer, b"e" * 32)
    assert error.value.code is Code.WRONG_PEER


def test_a_man_in_the_middle_who_rewrites_the_certificate_digest_breaks_the_signature() -> None:
    dialer, acceptor = pair()
    answer = decode(Answer, acceptor.answer(dialer.hello()))
    forged = encode(Answer(answer.nonce, b"e" * 32, answer.token, answer.signature))
    with pytest.raises(InvalidInput) as error:
        dialer.confirm(forged, b"e" * 32)
    assert error.value.code is Code.BAD_SIGNATURE


def test_an_unregistered_key_gets_no_answer() -> None:
    dialer, acceptor = pair(registered=(BOB,))
    with pytest.raises(InvalidInput) as error:
        acceptor.answer(dialer.hello())
    assert error.value.code is Code.WRONG_PEER


def test_another_chain_is_refused() -> None:
    dialer, acceptor = pair(chain="plant-2")
    with pytest.raises(InvalidInput) as error:
        acceptor.answer(dialer.hello())
    assert error.value.code is Code.WRONG_CHAIN


def test_a_hello_for_somebody_else_is_refused() -> None:
    _, acceptor = pair(registered=(ALICE, BOB, EVE))
    stray = Dialer(identity(ALICE, b"a" * 32), EVE.public, nonce=b"1" * 32, token=b"s" * 32)
    with pytest.raises(InvalidInput) as error:
        acceptor.answer(stray.hello())
    assert error.value.code is Code.WRONG_PEER


def test_who_claims_a_registered_key_without_holding_it_cannot_confirm() -> None:
    _, acceptor = pair()
    liar = Dialer(identity(EVE, b"a" * 32), BOB.public, nonce=b"1" * 32, token=b"s" * 32)
    hello = decode(Hello, liar.hello())
    claimed = Hello(
        hello.version,
        hello.chain_id,
        hello.genesis,
        ALICE.public,
        hello.acceptor,
        hello.nonce,
        hello.certificate,
    )
    acceptor.answer(encode(claimed))
    with pytest.raises(InvalidInput) as error:
        acceptor.finish(encode(Confirm(b"s" * 32, EVE.sign(b"anything"))))
    assert error.value.code is Code.BAD_SIGNATURE


def test_the_acceptors_own_signature_does_not_serve_as_the_dialers() -> None:
    dialer, acceptor = pair()
    answer = decode(Answer, acceptor.answer(dialer.hello()))
    with pytest.raises(InvalidInput) as error:
        acceptor.finish(encode(Confirm(b"s" * 32, answer.signature)))
    assert error.value.code is Code.BAD_SIGNATURE


def test_a_confirm_of_an_earlier_session_does_not_open_a_later_one() -> None:
    dialer, acceptor = pair()
    confirm, _ = dialer.confirm(acceptor.answer(dialer.hello()), b"b" * 32)
    later = Acceptor(identity(BOB, b"b" * 32), lambda _: True, nonce=b"3" * 32, token=b"t" * 32)
    later.answer(dialer.hello())
    with pytest.raises(InvalidInput) as error:
        later.finish(confirm)
    assert error.value.code is Code.BAD_SIGNATURE


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x97" * 9, b"x" * 2000, b"\xdd\xff\xff\xff\xff"])
def test_garbage_is_refused_with_a_type(data: bytes) -> None:
    dialer, acceptor = pair()
    with pytest.raises(InvalidInput):
        acceptor.answer(data)
    with pytest.raises(InvalidInput):
        dialer.confirm(data, b"b" * 32)
