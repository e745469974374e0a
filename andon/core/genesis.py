"""The genesis document: chain id, parameters, first contracts. Its hash names the network."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from andon.core.codec import Record, Value, encode, encode_arguments
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Digest, Domain, digest

CHAIN_ID_BYTES_MAX = 50
GENESIS_BYTES_MAX = 8 * 1024 * 1024


class Params(Record, frozen=True):
    """Limits and timeouts of a chain, with units. Part of the genesis hash."""

    block_bytes_max: int = 4 * 1024 * 1024
    block_gas_max: int = 400_000_000
    block_transactions_max: int = 4096
    transaction_gas_max: int = 100_000_000
    expiry_window_blocks: int = 4096
    skip_timeout_ms: int = 2_000
    skip_timeout_max_ms: int = 16_000
    idle_block_ms: int = 1_000
    standstill_ms: int = 3_000
    clock_drift_ms: int = 10_000
    slots_ahead_max: int = 64
    gas_schedule: int = 1


class GenesisContract(Record, frozen=True):
    """A contract that exists from height 0; `args` is the encoded map for its @init."""

    name: str
    source: bytes
    args: bytes


class Genesis(Record, frozen=True):
    """All that the members of a network must agree on before block 1."""

    chain_id: str
    time_ms: int
    params: Params
    contracts: tuple[GenesisContract, ...]


def genesis_hash(genesis: Genesis) -> Digest:
    """Identity of the network; the parent of block 1 commits to it through the genesis header."""
    return digest(Domain.GENESIS, encode(genesis))


class _ContractDocument(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    source: str
    args: str


class _ParamsDocument(msgspec.Struct, forbid_unknown_fields=True):
    block_bytes_max: int
    block_gas_max: int
    block_transactions_max: int
    transaction_gas_max: int
    expiry_window_blocks: int
    skip_timeout_ms: int
    skip_timeout_max_ms: int
    idle_block_ms: int
    standstill_ms: int
    clock_drift_ms: int
    slots_ahead_max: int
    gas_schedule: int


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    chain_id: str
    time_ms: int
    params: _ParamsDocument
    contracts: list[_ContractDocument]


def genesis_to_json(genesis: Genesis) -> bytes:
    """Render as the JSON file that operators exchange; arguments are hex of their encoding."""
    document = _Document(
        chain_id=genesis.chain_id,
        time_ms=genesis.time_ms,
        params=_ParamsDocument(
            **{name: getattr(genesis.params, name) for name in Params.__struct_fields__}
        ),
        contracts=[
            _ContractDocument(item.name, item.source.decode(), item.args.hex())
            for item in genesis.contracts
        ],
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def genesis_from_json(data: bytes) -> Genesis:
    """Parse and check the JSON file.

    Raises:
        InvalidInput: BAD_GENESIS with the field that is wrong.
    """
    if len(data) > GENESIS_BYTES_MAX:
        raise InvalidInput(Code.BAD_GENESIS, f"genesis exceeds {GENESIS_BYTES_MAX} bytes")
    try:
        document = msgspec.json.decode(data, type=_Document)
        contracts = tuple(
            GenesisContract(item.name, item.source.encode(), bytes.fromhex(item.args))
            for item in document.contracts
        )
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput(
            Code.BAD_GENESIS, f"genesis file: {error}", hint="copy it unchanged from another member"
        ) from None
    params = Params(**{name: getattr(document.params, name) for name in Params.__struct_fields__})
    genesis = Genesis(document.chain_id, document.time_ms, params, contracts)
    check_genesis(genesis)
    return genesis


def check_genesis(genesis: Genesis) -> None:
    """Check names and ranges.

    Raises:
        InvalidInput: BAD_GENESIS.
    """
    if not 1 <= len(genesis.chain_id.encode()) <= CHAIN_ID_BYTES_MAX:
        raise InvalidInput(Code.BAD_GENESIS, f"chain_id has 1 to {CHAIN_ID_BYTES_MAX} bytes")
    for name in Params.__struct_fields__:
        if getattr(genesis.params, name) < 1:
            raise InvalidInput(Code.BAD_GENESIS, f"params.{name} must be at least 1")
    names = [contract.name for contract in genesis.contracts]
    if len(dict.fromkeys(names)) != len(names):
        raise InvalidInput(Code.BAD_GENESIS, "a contract name stands twice")
    if "identity" not in names:
        raise InvalidInput(Code.BAD_GENESIS, "the identity contract is missing")


def contract_at_genesis(name: str, source: bytes, args: Mapping[str, Value]) -> GenesisContract:
    """Build a genesis entry from named @init arguments."""
    return GenesisContract(name=name, source=source, args=encode_arguments(args))
