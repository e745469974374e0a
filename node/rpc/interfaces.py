"""What deployed contracts can be asked: their interface, read from their source by the engine."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

import msgspec

from andon.core.codec import decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Domain, digest
from andon.core.json_value import to_hex, value_to_json
from andon.core.rpc_interfaces import ContractParams, ContractReply
from andon.core.state_key import is_name, state_key
from contracts_py.engine import Engine
from node.facade import NodeFacade

INTERFACES_MAX = 128
_engine = Engine()
_known: OrderedDict[bytes, msgspec.Raw] = OrderedDict()
"""Interfaces by hash of the source, which they follow from alone."""


async def contract(node: NodeFacade, params: ContractParams) -> ContractReply:
    """Describe a deployed contract.

    Raises:
        InvalidInput: NO_CONTRACT.
    """
    raw = None
    if is_name(params.name):
        raw = (await node.state(state_key("contracts", "source", params.name))).value
    if raw is None:
        raise InvalidInput(
            Code.NO_CONTRACT,
            f"there is no contract {params.name[:40]!r}",
            hint="the page /contracts of the explorer lists what is deployed",
        )
    text = decode_value(raw)
    source = text if isinstance(text, bytes) else str(text).encode()
    identity = digest(Domain.SOURCE, source)
    if identity not in _known:
        described = await asyncio.to_thread(_describe, source)
        while len(_known) >= INTERFACES_MAX:
            _known.popitem(last=False)
        _known[identity] = described
    return ContractReply(name=params.name, source_hash=to_hex(identity), abi=_known[identity])


def _describe(source: bytes) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value_to_json(_engine.check(source).abi())))
