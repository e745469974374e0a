"""Protocols by height: organisations decide, headers say, an older release goes no further."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.keys import PrivateKey
from andon.core.transaction import (
    Call,
    Transaction,
    TransactionBody,
    make_call,
    parse_transaction,
    sign_transaction,
)
from consensus.ledger import Parent, build_block, check_and_execute_block, protocol_at
from node.drivers.horizon import Horizon
from node.testing.lab import CertifiedChain

OTHER = PrivateKey(b"o" * 32)
_nonces = itertools.count(1)


def upgrade(version: int, height: int) -> Call:
    return make_call("params", "upgrade", {"version": version, "height": height})


def cancel(version: int) -> Call:
    return make_call("params", "cancel", {"version": version})


def by(chain: CertifiedChain, key: PrivateKey, *calls: Call) -> Transaction:
    body = TransactionBody(
        chain_id=chain.genesis.chain_id,
        sender=key.public,
        nonce=b"by" + next(_nonces).to_bytes(6, "big"),
        expires_height=chain.parent.header.height + 50,
        gas_limit=2_000_000,
        calls=calls,
    )
    return parse_transaction(sign_transaction(body, key))


def outcome(chain: CertifiedChain, transaction: Transaction) -> str:
    receipt = chain.extend(transaction).executed.receipts[0]
    return "" if receipt.failure is None else receipt.failure.code


@pytest.fixture
def chain() -> CertifiedChain:
    return CertifiedChain()


@pytest.fixture
def pair() -> CertifiedChain:
    """A chain of two organisations, so that neither decides alone."""
    return CertifiedChain(second_admin=OTHER)


def test_headers_change_their_version_at_the_height_that_was_decided(chain: CertifiedChain) -> None:
    assert outcome(chain, chain.transaction(upgrade(2, 5))) == ""
    versions = [chain.extend(chain.write(1)).block.header.version for _ in range(5)]
    assert versions == [1, 1, 1, 2, 2]
    assert protocol_at(chain.parent.state, 4) == 1
    assert protocol_at(chain.parent.state, 5) == 2


def test_a_block_of_the_other_protocol_is_refused_on_both_sides_of_the_height(
    chain: CertifiedChain,
) -> None:
    chain.extend(chain.transaction(upgrade(2, 3)))
    for _ in range(3):
        parent = chain.parent
        block, _, _ = build_block(parent, chain.turn(), [], chain.engine, chain._sums)
        wrong = 3 - block.header.version
        header = msgspec.structs.replace(block.header, version=wrong)
        with pytest.raises(InvalidInput) as caught:
            check_and_execute_block(
                parent, msgspec.structs.replace(block, header=header), chain.engine
            )
        assert caught.value.code is Code.WRONG_VERSION
        chain.extend()


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (upgrade(3, 9), "E_ARGS"),
        (upgrade(1, 9), "E_ARGS"),
        (upgrade(2, 2), "E_ARGS"),
        (upgrade(2, 0), "E_ARGS"),
        (make_call("params", "upgrade", {"version": "2", "height": 9}), "E_ARGS"),
        (make_call("params", "upgrade", {"version": 2}), "E_ARGS"),
        (cancel(2), "E_ARGS"),
    ],
)
def test_what_is_no_upgrade_is_refused(chain: CertifiedChain, call: Call, code: str) -> None:
    assert outcome(chain, chain.transaction(call)) == code
    assert protocol_at(chain.parent.state, 100) == 1


def test_more_than_half_of_the_organisations_decide(pair: CertifiedChain) -> None:
    first = pair.parent.header.height + 10
    assert outcome(pair, pair.transaction(upgrade(2, first))) == ""
    assert protocol_at(pair.parent.state, first) == 1
    assert outcome(pair, pair.transaction(upgrade(2, first))) == "E_EXISTS"
    # Another height is another decision.
    assert outcome(pair, by(pair, OTHER, upgrade(2, first + 1))) == ""
    assert protocol_at(pair.parent.state, first + 1) == 1
    assert outcome(pair, by(pair, OTHER, upgrade(2, first))) == ""
    assert protocol_at(pair.parent.state, first) == 2
    assert protocol_at(pair.parent.state, first - 1) == 1
    # And they may change their mind until then.
    assert outcome(pair, by(pair, OTHER, cancel(2))) == ""
    assert protocol_at(pair.parent.state, first) == 2
    assert outcome(pair, pair.transaction(cancel(2))) == ""
    assert protocol_at(pair.parent.state, first) == 1


def test_only_an_admin_speaks_for_an_organisation(chain: CertifiedChain) -> None:
    member = {"account": OTHER.public, "org": "org-1", "roles": ["operator"]}
    arguments = {"kind": "add_member", "arguments": member}
    chain.extend(chain.transaction(make_call("identity", "propose", arguments)))
    assert outcome(chain, by(chain, OTHER, upgrade(2, 50))) == "E_ROLE"


def test_a_begun_protocol_cannot_be_cancelled(chain: CertifiedChain) -> None:
    chain.extend(chain.transaction(upgrade(2, 3)))
    chain.extend()
    assert outcome(chain, chain.transaction(cancel(2))) == "E_ARGS"
    assert chain.parent.header.version == 2


def test_an_older_release_halts_before_the_first_block_that_it_does_not_know(
    chain: CertifiedChain,
) -> None:
    old, new = Horizon(protocols=(1,)), Horizon(protocols=(1, 2))
    chain.extend(chain.transaction(upgrade(2, 4)))
    for _ in range(2):
        old.check(chain.parent)
        chain.extend()
    parent: Parent = chain.parent
    assert parent.header.height == 3
    new.check(parent)
    with pytest.raises(Unavailable) as caught:
        old.check(parent)
    assert caught.value.code is Code.HALTED
    assert "from height 4 on the network speaks protocol 2" in caught.value.message
    assert old.reason(2, parent.state) == ""
    assert new.reason(3, parent.state) == ""
    assert Horizon(halt_at=3).reason(3, parent.state) == "halt_at_height is reached: height 3"
