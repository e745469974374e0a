"""A registry cannot make a node call its own host or the cloud's metadata."""

from __future__ import annotations

import pytest

from andon.core.errors import Code, InvalidInput
from node.net.addresses import CheckedResolver, DialRules, is_loopback

OPEN = DialRules("0.0.0.0", {b"k": "127.0.0.1:22", b"l": "localhost:9000"})
LOCAL = DialRules("127.0.0.1", {})


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("169.254.169.254", 8080),
        ("127.0.0.1", 26656),
        ("::1", 26656),
        ("::ffff:127.0.0.1", 26656),
        ("::ffff:169.254.169.254", 8080),
        ("fe80::1", 26656),
        ("0.0.0.0", 26656),
        ("224.0.0.1", 26656),
        ("255.255.255.255", 26656),
        ("192.0.2.1", 22),
        ("peer.example", 25),
    ],
)
def test_what_is_no_peer_is_refused(host: str, port: int) -> None:
    with pytest.raises(InvalidInput) as error:
        OPEN.check(host, port)
    assert error.value.code is Code.WRONG_PEER


@pytest.mark.parametrize(
    ("rules", "host", "port"),
    [
        (OPEN, "192.0.2.1", 26656),
        (OPEN, "10.1.2.3", 443),
        (OPEN, "2001:db8::1", 26656),
        (OPEN, "peer.example", 26656),
        (OPEN, "127.0.0.1", 22),
        (LOCAL, "127.0.0.1", 26656),
    ],
)
def test_peers_are_dialled_and_what_the_operator_names(
    rules: DialRules, host: str, port: int
) -> None:
    rules.check(host, port)


async def test_a_name_is_judged_by_what_it_leads_to() -> None:
    refused = DialRules("0.0.0.0", {})
    with pytest.raises(OSError, match="no address of a peer"):
        await CheckedResolver(refused).resolve("localhost", 26656)
    for rules in (LOCAL, OPEN):
        assert await CheckedResolver(rules).resolve("localhost", 26656)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("node.localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.evil.example", False),
        ("notlocalhost", False),
    ],
)
def test_names_and_addresses_of_this_machine_alone(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected
