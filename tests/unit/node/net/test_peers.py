from dataclasses import replace

import pytest

from andon.core.errors import Code, InvalidInput
from node.net.peers import PARTING_S, PEERS_MAX, Peer, PeerTable, parse_address


def peer(n: int, port: int = 9000) -> Peer:
    return Peer(
        node_key=bytes([n]) * 32, validator_key=bytes([n + 100]) * 32, host="127.0.0.1", port=port
    )


def numbered(n: int) -> Peer:
    return Peer(node_key=n.to_bytes(32, "big"), validator_key=b"", host="h", port=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("https://a.example:1/", ("a.example", 1)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses_are_parsed(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:0", "host:65536", "u@h:1", "h/p:1"]
)
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_address(text)
    assert error.value.code is Code.BAD_CONFIG


def test_a_table_leaves_out_its_own_node_and_finds_by_both_keys() -> None:
    table = PeerTable(peer(1).node_key)
    changed, gone = table.replace([peer(1), peer(2)], 0)
    assert (changed, gone) == ([peer(2)], [])
    assert table.by_node(peer(2).node_key) == peer(2)
    assert table.by_validator(peer(2).validator_key) == peer(2)
    assert table.by_node(peer(1).node_key) is None


def test_a_new_registry_tells_who_moved_and_who_left() -> None:
    table = PeerTable(peer(1).node_key)
    table.replace([peer(2), peer(3)], 0)
    moved, gone = table.replace([peer(3, port=9001), peer(4)], 1)
    assert moved == [peer(3, port=9001), peer(4)]
    assert gone == []
    _, gone = table.replace([peer(3, port=9001), peer(4)], 1 + PARTING_S)
    assert gone == [peer(2).node_key]
    assert table.by_node(peer(2).node_key) is None
    assert table.next_parting_s() is None


def test_who_left_listens_for_a_while_as_an_observer() -> None:
    table = PeerTable(peer(1).node_key)
    table.replace([peer(1), peer(2)], 0)
    table.replace([peer(1)], 5)
    found = table.by_node(peer(2).node_key)
    assert found is not None
    assert (found.is_observer, found.weight, found.address) == (True, 0, peer(2).address)
    assert table.should_dial(peer(2).node_key)
    assert table.next_parting_s() == 5 + PARTING_S
    # Further changes do not make it stay longer.
    table.replace([peer(1), peer(3)], 30)
    assert table.next_parting_s() == 5 + PARTING_S
    # Who is registered again is a peer as before.
    table.replace([peer(1), peer(2), peer(3)], 40)
    assert table.by_node(peer(2).node_key) == peer(2)
    assert table.next_parting_s() is None


def test_a_validator_with_a_new_node_key_is_found_by_that_one() -> None:
    table = PeerTable(peer(1).node_key)
    table.replace([peer(1), peer(2)], 0)
    moved = replace(peer(2), node_key=peer(9).node_key)
    table.replace([peer(1), moved], 1)
    assert table.by_validator(peer(2).validator_key) == moved


def test_who_left_does_not_take_the_place_of_who_is_registered() -> None:
    table = PeerTable(b"own")
    first = [numbered(n) for n in range(PEERS_MAX)]
    second = [numbered(n) for n in range(PEERS_MAX, 2 * PEERS_MAX - 3)]
    table.replace(first, 0)
    table.replace(second, 1)
    assert len(table.all()) == PEERS_MAX
    assert all(table.by_node(item.node_key) == item for item in second)


def test_configuration_replaces_an_address() -> None:
    table = PeerTable(peer(1).node_key, {peer(2).node_key: "127.0.0.1:7777"})
    table.replace([peer(2)], 0)
    found = table.by_node(peer(2).node_key)
    assert found is not None
    assert found.address == "127.0.0.1:7777"


def test_exactly_one_of_a_pair_dials() -> None:
    low, high = PeerTable(peer(1).node_key), PeerTable(peer(2).node_key)
    for table in (low, high):
        table.replace([peer(1), peer(2)], 0)
    assert low.should_dial(peer(2).node_key)
    assert not high.should_dial(peer(1).node_key)


def test_an_observer_dials_validators_and_is_admitted_but_never_dialled() -> None:
    observer_key = peer(9).node_key
    observer = PeerTable(observer_key)
    observer.replace([peer(1), peer(2)], 0)
    assert observer.should_dial(peer(1).node_key)
    validator = PeerTable(peer(1).node_key, observers=[observer_key])
    validator.replace([peer(1), peer(2)], 0)
    admitted = validator.by_node(observer_key)
    assert admitted is not None
    assert admitted.is_observer
    assert not validator.should_dial(observer_key)


def test_an_observer_that_becomes_a_validator_is_one() -> None:
    table = PeerTable(peer(1).node_key, observers=[peer(2).node_key])
    table.replace([peer(1), peer(2)], 0)
    found = table.by_node(peer(2).node_key)
    assert found is not None
    assert not found.is_observer


def test_the_table_is_bounded() -> None:
    table = PeerTable(b"own")
    peers = [numbered(n) for n in range(PEERS_MAX + 5)]
    table.replace(peers, 0)
    assert len(table.all()) == PEERS_MAX
