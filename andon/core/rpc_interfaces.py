"""The RPC method about interfaces of contracts, as types; see `andon.core.rpc_schema`."""

from __future__ import annotations

import msgspec

from andon.core.rpc_schema import Hex, Reply, Schema


class ContractParams(Schema, frozen=True):
    """Name a deployed contract."""

    name: str


class ContractReply(Reply, frozen=True):
    """What can be called, read and observed of a contract: `abi` is the engine's description."""

    name: str
    source_hash: Hex
    abi: msgspec.Raw
