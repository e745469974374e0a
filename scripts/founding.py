"""What organisations found a network with: cards, the genesis file, proposals, a report.

Owns the records and the rules; `scripts.ceremony` is the command line. A card is what one
organisation tells the others: public keys and an address, nothing secret.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import (
    Genesis,
    Params,
    genesis_from_json,
    genesis_hash,
    genesis_to_json,
)
from andon.core.hashing import Domain, digest
from andon.core.json_value import value_from_json, value_to_json
from andon.core.keys import check_public_key
from node.local_network import Plan, make_genesis
from node.net.peers import parse_address

CARD_BYTES_MAX = 1024 * 1024


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account of the organisation; `public` is hex."""

    public: str
    roles: list[str]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one organisation brings into a new network; keys are hex."""

    organisation: str
    address: str
    node_key: str
    validator_key: str
    weight: int
    members: list[Member]


class _Validator(msgspec.Struct, frozen=True):
    key: bytes
    weight: int
    org: str
    address: str
    node_key: bytes


class _Member(msgspec.Struct, frozen=True):
    account: bytes
    org: str
    roles: list[str]


class _Identity(msgspec.Struct, frozen=True):
    organisations: list[str]
    members: list[_Member]
    validators: list[_Validator]


def read_card(path: Path) -> Card:
    """Read and check a card.

    Raises:
        InvalidInput: BAD_GENESIS for a damaged card, BAD_KEY, BAD_CONFIG for the address.
    """
    try:
        card = msgspec.json.decode(path.read_bytes()[:CARD_BYTES_MAX], type=Card)
    except msgspec.MsgspecError as error:
        raise InvalidInput(Code.BAD_GENESIS, f"{path}: {error}") from None
    for key in (card.node_key, card.validator_key, *(member.public for member in card.members)):
        check_public_key(from_hex(key))
    parse_address(card.address)
    return card


def from_hex(text: str) -> bytes:
    """Bytes of a hex key, with or without 0x. Raises InvalidInput BAD_KEY."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise InvalidInput(Code.BAD_KEY, f"{text!r} is not a key in hex") from None


def write_genesis(
    out: Path, chain_id: str, cards: Sequence[Path], params: Params | None = None
) -> None:
    """Join cards to a genesis file that does not exist yet.

    Raises:
        InvalidInput: BAD_GENESIS if two cards share an organisation, a key or an address, or
            nobody is an administrator.
    """
    read = sorted((read_card(path) for path in cards), key=lambda card: card.validator_key)
    for field in ("organisation", "address", "node_key", "validator_key"):
        values = [getattr(card, field) for card in read]
        if len(dict.fromkeys(values)) != len(values):
            raise InvalidInput(Code.BAD_GENESIS, f"two cards have the same {field}")
    if not any("admin" in member.roles for card in read for member in card.members):
        raise InvalidInput(
            Code.BAD_GENESIS,
            "no card has a member with the role admin, so nobody could ever change anything",
            hint="make a card with --accounts DIR or --member PUBLIC:admin",
        )
    plan = Plan(home=out.parent, chain_id=chain_id, params=params or Params())
    genesis = make_genesis(plan, identity_arguments(read))
    text = genesis_to_json(genesis)
    genesis_from_json(text)
    with out.open("xb") as file:
        file.write(text)


def identity_arguments(cards: Sequence[Card]) -> dict[str, Value]:
    """Arguments for @init of the identity contract."""
    organisations: list[Value] = [*sorted(card.organisation for card in cards)]
    members: list[Value] = [
        {
            "account": from_hex(member.public),
            "org": card.organisation,
            "roles": [*member.roles],
        }
        for card in cards
        for member in card.members
    ]
    validators: list[Value] = [
        {
            "key": from_hex(card.validator_key),
            "weight": card.weight,
            "org": card.organisation,
            "address": card.address,
            "node_key": from_hex(card.node_key),
        }
        for card in cards
    ]
    return {
        "organisations": organisations,
        "members": members,
        "validators": validators,
        "policy": {},
    }


def proposal(current: bytes, height: int, add: Sequence[Path], remove: Sequence[str]) -> str:
    """JSON of the arguments for `identity.propose kind=set_validators`.

    A card of an organisation that has a validator replaces it, for example with a new key.

    Raises:
        InvalidInput: BAD_REQUEST if `current` is not a list of validators, NOT_FOUND if an
            organisation to remove has none, or nobody would be left.
    """
    try:
        listed = msgspec.convert(
            value_from_json(msgspec.json.decode(current)),
            type=list[_Validator],
            builtin_types=(bytes,),
        )
    except msgspec.MsgspecError as error:
        raise InvalidInput(Code.BAD_REQUEST, f"the current set: {error}") from None
    chosen = {validator.org: validator for validator in listed}
    for name in remove:
        if chosen.pop(name, None) is None:
            raise InvalidInput(Code.NOT_FOUND, f"{name} has no validator")
    for card in map(read_card, add):
        chosen[card.organisation] = _Validator(
            key=from_hex(card.validator_key),
            weight=card.weight,
            org=card.organisation,
            address=card.address,
            node_key=from_hex(card.node_key),
        )
    if not chosen:
        raise InvalidInput(Code.NOT_FOUND, "nobody would be left")
    entries: list[Value] = [
        {
            "key": validator.key,
            "weight": validator.weight,
            "org": validator.org,
            "address": validator.address,
            "node_key": validator.node_key,
        }
        for validator in sorted(chosen.values(), key=lambda item: item.key)
    ]
    return json.dumps(value_to_json({"height": height, "validators": entries}))


def report(genesis: Genesis) -> str:
    """What people compare before they start: hash, contracts, who is in it."""
    lines = [
        f"chain id   {genesis.chain_id}",
        f"hash       {genesis_hash(genesis).hex()}",
        f"time       {genesis.time_ms} ms since 1970",
    ]
    for contract in genesis.contracts:
        source = digest(Domain.SOURCE, contract.source).hex()
        lines.append(f"contract   {contract.name:<20} source {source[:16]}")
    document = next(item for item in genesis.contracts if item.name == "identity")
    identity = msgspec.convert(decode_value(document.args), type=_Identity, builtin_types=(bytes,))
    for validator in identity.validators:
        lines += [
            f"validator  {validator.org:<20} weight {validator.weight}  {validator.address}",
            f"           key {validator.key.hex()}",
            f"           node key {validator.node_key.hex()}",
        ]
    lines += [
        f"member     {member.org:<20} {member.account.hex()}  {', '.join(member.roles)}"
        for member in identity.members
    ]
    total = sum(validator.weight for validator in identity.validators)
    lines.append(f"quorum     {2 * total // 3 + 1} of weight {total}")
    return "\n".join(lines)
