"""Contract `updates`: what a member sends is checked before anybody has to read it."""

import pytest

from andon.core.codec import Value
from tests.models.federated.ledger import Chain, Refused, create
from tests.unit.contracts_py.test_training import (
    HERE,
    KEYS,
    MEMBERS,
    commitment,
    dealt_round,
    opened,
    shares,
)

SMALL = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    b"\xec" + b"\xff" * 30 + b"\x7f",
    b"\xed" + b"\xff" * 30 + b"\x7f",
    b"\xee" + b"\xff" * 30 + b"\x7f",
]


@pytest.mark.parametrize(
    "row",
    [
        [0, 0, bytes(33), bytes(16), 1],
        [0, 0, bytes(33)],
        [0, 0, bytes(32), bytes(17)],
        [0, 0, "text", bytes(16)],
        [-1, 1, bytes(33), bytes(16)],
        [4, 0, bytes(33), bytes(16)],
        [0, False, bytes(33), bytes(16)],
        7,
    ],
)
def test_a_share_of_another_shape_is_refused(row: Value) -> None:
    chain = dealt_round()
    with pytest.raises(Refused, match=r"a share|such dealer"):
        chain.call(MEMBERS[0], "reveal", shares=[row], **HERE)
    # It is no fault either: its holder may still reveal what it was dealt.
    chain.call(MEMBERS[0], "reveal", shares=shares(0, (0, 0, 0, 1)), **HERE)


@pytest.mark.parametrize(
    ("sealed", "committed"),
    [
        ([1, 2, 3, 4], [commitment(k) for k in range(4)]),
        ([b"x"] * 4, [commitment(k) for k in range(4)]),
        ([b""] * 4, [1, 2, 3, 4]),
        ([b""] * 4, [b"short"] * 4),
    ],
)
def test_a_dealing_of_another_shape_is_refused(sealed: list[Value], committed: list[Value]) -> None:
    chain = opened()
    for name in MEMBERS:
        chain.call(name, "announce", **HERE, **KEYS)
    good: list[Value] = [commitment(k) for k in range(4)]
    for seeds, keys in ((committed, good), (good, committed)):
        words: dict[str, Value] = {"seed_commitments": seeds, "key_commitments": keys}
        with pytest.raises(Refused, match=r"114 bytes|32 bytes"):
            chain.call(MEMBERS[0], "deal", sealed=sealed, **words, **HERE)


@pytest.mark.parametrize("field", ["mask_key", "seal_key"])
def test_keys_of_small_order_are_refused_when_they_are_announced(field: str) -> None:
    chain = opened()
    for point in SMALL:
        for key in (point, point[:31] + bytes([point[31] | 0x80])):
            with pytest.raises(Refused, match="small order"):
                chain.call(MEMBERS[0], "announce", **HERE, **{**KEYS, field: key})
    chain.call(MEMBERS[0], "announce", **HERE, **KEYS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"members": [[m, 0, 1, 1] for m in MEMBERS]}, "an account, a group and a weight"),
        ({"members": [[m, "0", 1] for m in MEMBERS]}, "an account, a group and a weight"),
        ({"encoding": [16, 1 << 20, 1 << 22, 1, 1]}, "four numbers"),
    ],
)
def test_a_run_that_nobody_could_read_is_refused(changes: dict[str, Value], reason: str) -> None:
    chain = Chain.make(MEMBERS)
    with pytest.raises(Refused, match=reason):
        create(chain, MEMBERS, mode="grouped", **changes)
