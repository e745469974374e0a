from andon.core.codec import Value, encode_value
from node.registry import peers_of


def entry(n: int, **changes: Value) -> dict[str, Value]:
    base: dict[str, Value] = {
        "key": bytes([n]) * 32,
        "weight": n,
        "org": f"org-{n}",
        "address": f"127.0.0.1:{9000 + n}",
        "node_key": bytes([100 + n]) * 32,
    }
    return {**base, **changes}


def test_peers_come_from_the_current_and_the_scheduled_set_once() -> None:
    current = encode_value([entry(1), entry(2)])
    upcoming = encode_value({"height": 9, "validators": [entry(2), entry(3)]})
    peers = peers_of(current, upcoming)
    assert [(peer.port, peer.weight, peer.organisation) for peer in peers] == [
        (9001, 1, "org-1"),
        (9002, 2, "org-2"),
        (9003, 3, "org-3"),
    ]


def test_entries_that_cannot_be_dialled_are_left_out() -> None:
    current = encode_value(
        [entry(1, address="nowhere"), entry(2, node_key=b"short"), entry(3, address=None), entry(4)]
    )
    assert [peer.port for peer in peers_of(current, None)] == [9004]


def test_no_registry_means_no_peers() -> None:
    assert peers_of(None, encode_value(None)) == []
