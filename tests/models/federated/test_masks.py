import numpy as np
import pytest
from nacl import bindings

from andon.core.errors import Code, InvalidInput
from models.federated.masks import (
    add_keystream,
    derive,
    key_pair,
    keystream,
    seal,
    shared_key,
    unseal,
)


def test_the_stream_is_chacha20_of_rfc_8439_from_block_one() -> None:
    # RFC 8439 appendix A.1, test vector 2: zero key and nonce, block counter 1.
    expected = bytes.fromhex(
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"
    )
    assert keystream(bytes(32), 16).tobytes() == expected


@pytest.mark.parametrize("count", [1, 1000, 2**16, 2**18])
def test_two_libraries_give_the_same_stream(count: int) -> None:
    key = derive(b"\x06" * 32, "test", b"")
    sealed = bindings.crypto_aead_chacha20poly1305_ietf_encrypt(
        bytes(4 * count), None, bytes(12), key
    )
    assert keystream(key, count).tobytes() == sealed[:-16]


def test_public_keys_are_x25519_of_rfc_7748() -> None:
    # RFC 7748 5.2: one iteration from k = u = 9.
    public = key_pair(b"\x09" + bytes(31)).public
    assert public.hex() == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"


def test_both_ends_agree_on_the_same_key() -> None:
    own, peer = key_pair(b"\x01" * 32), key_pair(b"\x02" * 32)
    assert shared_key(own, peer.public, "p", b"c") == shared_key(peer, own.public, "p", b"c")


def test_a_key_differs_by_purpose_context_and_pair() -> None:
    own, peer, other = (key_pair(bytes([k]) * 32) for k in (1, 2, 3))
    keys = {
        shared_key(own, peer.public, "pair mask", b"a"),
        shared_key(own, peer.public, "pair mask", b"b"),
        shared_key(own, peer.public, "seal", b"a"),
        shared_key(own, other.public, "pair mask", b"a"),
    }
    assert len(keys) == 4


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)])
def test_points_of_small_order_are_refused(point: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        shared_key(key_pair(b"\x05" * 32), point, "pair mask", b"")
    assert refused.value.code is Code.BAD_KEY


def test_every_bit_of_the_key_seeds_the_stream() -> None:
    # Flower 1.41 folds the key to 32 bits by XOR: flipping two words there changes nothing.
    base = keystream(bytes(32), 4).tobytes()
    streams = {keystream((1 << bit).to_bytes(32, "big"), 4).tobytes() for bit in range(256)}
    assert len(streams) == 256
    assert base not in streams
    folded = bytes([0xFF] * 4 + [0xFF] * 4 + [0] * 24)
    assert keystream(folded, 4).tobytes() != base


def test_the_stream_covers_the_whole_ring_evenly() -> None:
    # A mask from a smaller range leaves the top of the ring unmasked.
    words = np.zeros(2**18, np.uint32)
    add_keystream(words, derive(b"\x01" * 32, "test", b""), 1)
    counts = np.bincount(words >> 24, minlength=256)
    assert counts.min() > 1024 * 0.8
    assert counts.max() < 1024 * 1.2
    assert int(words.max()) > 2**32 - 2**17


def test_adding_and_subtracting_a_stream_cancel_over_several_chunks() -> None:
    words = np.arange(2**18 + 5, dtype=np.uint32)
    original = words.copy()
    add_keystream(words, b"\x02" * 32, 1)
    assert (words != original).mean() > 0.999
    add_keystream(words, b"\x02" * 32, -1)
    assert (words == original).all()


def test_a_sealed_message_opens_only_with_its_key_and_context() -> None:
    sealed = seal(b"\x03" * 32, b"content", b"context")
    assert unseal(b"\x03" * 32, sealed, b"context") == b"content"
    for key, content, context in (
        (b"\x04" * 32, sealed, b"context"),
        (b"\x03" * 32, sealed, b"other"),
        (b"\x03" * 32, sealed[:-1] + b"\0", b"context"),
        (b"\x03" * 32, b"short", b"context"),
    ):
        with pytest.raises(InvalidInput):
            unseal(key, content, context)


def test_secrets_do_not_appear_in_a_repr() -> None:
    assert bytes([9] * 32).hex() not in repr(key_pair(b"\x09" * 32))
