"""Transactions: signing, parsing, every shape that is refused."""

from __future__ import annotations

import msgspec
import pytest

from andon.core import keys
from andon.core.codec import encode
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.keys import PrivateKey, check_public_key, verify, verify_vote_signature
from andon.core.transaction import (
    CALLS_MAX,
    Call,
    SignedTransaction,
    TransactionBody,
    check_signature,
    make_call,
    parse_transaction,
    sign_transaction,
)

key = PrivateKey(b"k" * 32)
replace = msgspec.structs.replace


def body(**changes: object) -> TransactionBody:
    plain = TransactionBody(
        chain_id="c",
        sender=key.public,
        nonce=bytes(8),
        expires_height=5,
        gas_limit=10,
        calls=(make_call("contract", "method", {"a": 1}),),
    )
    return replace(plain, **changes)


def test_a_signed_transaction_parses_and_its_signature_is_good() -> None:
    transaction = parse_transaction(sign_transaction(body(), key))
    check_signature(transaction)
    assert transaction.body == body()
    assert transaction.sender == key.public


def test_the_id_covers_the_body_and_not_the_signature() -> None:
    raw = sign_transaction(body(), key)
    other = encode(SignedTransaction(body=encode(body()), signature=bytes(64)))
    assert parse_transaction(raw).id == parse_transaction(other).id
    assert parse_transaction(sign_transaction(body(nonce=b"1" * 8), key)).id != (
        parse_transaction(raw).id
    )
    with pytest.raises(InvalidInput) as caught:
        check_signature(parse_transaction(other))
    assert caught.value.code is Code.BAD_SIGNATURE


def test_another_senders_signature_is_refused() -> None:
    raw = sign_transaction(body(sender=PrivateKey(b"x" * 32).public), key)
    with pytest.raises(InvalidInput):
        check_signature(parse_transaction(raw))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": b"short"}, Code.MALFORMED),
        ({"nonce": b"short"}, Code.MALFORMED),
        ({"calls": ()}, Code.TOO_MANY),
        ({"calls": (make_call("c", "m", {}),) * (CALLS_MAX + 1)}, Code.TOO_MANY),
        ({"expires_height": 2**63}, Code.MALFORMED),
        ({"gas_limit": 2**63}, Code.MALFORMED),
        ({"gas_limit": -1}, Code.MALFORMED),
        ({"calls": (Call("", "m", b""),)}, Code.MALFORMED),
        ({"calls": (Call("c" * 33, "m", b""),)}, Code.MALFORMED),
        ({"calls": (Call("c", "m" * 65, b""),)}, Code.MALFORMED),
    ],
)
def test_a_body_out_of_shape_is_refused(changes: dict[str, object], code: Code) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_transaction(sign_transaction(body(**changes), key))
    assert caught.value.code is code


def test_cut_prolonged_and_oversized_bytes_are_refused() -> None:
    raw = sign_transaction(body(), key)
    for bad in (raw[:-1], raw + b"\0", b"", bytes(2 * 1024 * 1024)):
        with pytest.raises(InvalidInput):
            parse_transaction(bad)


def test_keys_of_small_order_never_enter() -> None:
    small_order = bytes(31) + b"\x80"
    for bad in (bytes(32), b"\x01" + bytes(31), small_order, b"short", b"\xff" * 32):
        with pytest.raises(InvalidInput) as caught:
            check_public_key(bad)
        assert caught.value.code is Code.BAD_KEY
    assert check_public_key(key.public) == key.public


def test_a_vote_signature_with_r_of_small_order_is_refused() -> None:
    signature = key.sign(b"m")
    verify_vote_signature(key.public, b"m", signature)
    for bad in (bytes(64), b"\x01" + bytes(31) + signature[32:], signature[:-1]):
        with pytest.raises(InvalidInput):
            verify_vote_signature(key.public, b"m", bad)
    with pytest.raises(InvalidInput):
        verify(key.public, b"other", signature)


def test_a_private_key_does_not_show_itself() -> None:
    assert key.seed.hex() not in repr(key)
    with pytest.raises(InvalidInput):
        PrivateKey(b"short")


def test_a_library_that_judges_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    keys.check_library()
    sound = keys.bindings.crypto_core_ed25519_is_valid_point
    order_two = "ee8fbc54b18d1ce487fb6033a068baa41322f15bd73e029385f0399166e38346"
    with monkeypatch.context() as patch:  # as PyNaCl 1.6.0 judged
        patch.setattr(
            keys.bindings,
            "crypto_core_ed25519_is_valid_point",
            lambda point: point.hex() == order_two or sound(point),
        )
        with pytest.raises(Misuse, match="does not judge as the network does"):
            keys.check_library()
    with monkeypatch.context() as patch:
        patch.setattr(keys.bindings, "crypto_sign_open", lambda signed, public: b"")
        with pytest.raises(Misuse, match="does not judge"):
            keys.check_library()
