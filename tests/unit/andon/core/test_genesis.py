"""The genesis document as a file, and what is refused in one."""

from __future__ import annotations

import json

import msgspec
import pytest

from andon.core.errors import Code, InvalidInput
from andon.core.genesis import (
    Genesis,
    Params,
    check_genesis,
    contract_at_genesis,
    genesis_from_json,
    genesis_hash,
    genesis_to_json,
)

genesis = Genesis(
    chain_id="plant-7",
    time_ms=1_700_000_000_000,
    params=Params(),
    contracts=(contract_at_genesis("identity", "grüße".encode(), {"a": [1, b"\x00"]}),),
)
replace = msgspec.structs.replace


def test_the_file_comes_back_as_the_same_network() -> None:
    data = genesis_to_json(genesis)
    assert genesis_from_json(data) == genesis
    assert genesis_hash(genesis_from_json(data)) == genesis_hash(genesis)


def test_every_field_changes_the_networks_identity() -> None:
    seen = {genesis_hash(genesis)}
    others = [
        replace(genesis, chain_id="plant-8"),
        replace(genesis, time_ms=1),
        replace(genesis, contracts=()),
        *(
            replace(genesis, params=replace(genesis.params, **{name: 77}))
            for name in Params.__struct_fields__
        ),
    ]
    seen.update(genesis_hash(other) for other in others)
    assert len(seen) == len(others) + 1


def test_bad_documents_are_refused_with_the_reason() -> None:
    good = json.loads(genesis_to_json(genesis))
    without_identity = {**good, "contracts": []}
    for document in (
        {**good, "chain_id": ""},
        {**good, "chain_id": "x" * 51},
        {**good, "extra": 1},
        {name: value for name, value in good.items() if name != "time_ms"},
        {**good, "params": {**good["params"], "skip_timeout_ms": 0}},
        {**good, "contracts": good["contracts"] * 2},
        {**good, "contracts": [{**good["contracts"][0], "args": "zz"}]},
        without_identity,
    ):
        with pytest.raises(InvalidInput) as caught:
            genesis_from_json(json.dumps(document).encode())
        assert caught.value.code is Code.BAD_GENESIS
    for data in (b"", b"{", b"\xff"):
        with pytest.raises(InvalidInput):
            genesis_from_json(data)
    check_genesis(genesis)
