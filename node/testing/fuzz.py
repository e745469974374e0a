"""Every decoder that meets foreign bytes, as a target of a fuzzer: a typed error, or one meaning.

A target takes bytes and returns nothing. `InvalidInput` is the only error that may come out of it;
what it accepts has to mean one thing: it encodes again to the same bytes, or, for text, reads again
equal. Seeds come from the golden vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from andon.core.block import Block, Header, Receipt
from andon.core.certificate import Certificate, SignedVote
from andon.core.codec import Record, decode, decode_value, encode, encode_value
from andon.core.errors import Code, InvalidInput
from andon.core.genesis import genesis_from_json, genesis_to_json
from andon.core.model import ModelManifest, validate_manifest
from andon.core.proof import decode_bundle
from andon.core.transaction import parse_transaction
from andon.core.wire import AdoptableBlock, FinalBlock, decode_frame, encode_frame
from andon.core.worker import decode_reply, decode_request
from contracts_py.engine import Engine
from node.config import parse_config, render_config
from node.net.peers import parse_address
from node.rpc import jsonrpc
from node.rpc.methods import TABLE, parse_params
from node.rpc.streams import parse_cursor
from node.signer import protocol as signer_protocol
from node.testing.chaos.plan import parse_plan

Target = Callable[[bytes], None]


def run(target: Target, data: bytes) -> bool:
    """Give one input to a target; True if it was accepted.

    Raises:
        whatever else than InvalidInput comes out: a finding.
    """
    try:
        target(data)
    except InvalidInput:
        return False
    return True


def _record(kind: type[Record]) -> Target:
    def target(data: bytes) -> None:
        if encode(decode(kind, data)) != data:
            raise AssertionError("decoded bytes encode to others")

    return target


def _value(data: bytes) -> None:
    if encode_value(decode_value(data)) != data:
        raise AssertionError("decoded bytes encode to others")


def _frame(data: bytes) -> None:
    if encode_frame(decode_frame(data)) != data:
        raise AssertionError("decoded bytes encode to others")


def _transaction(data: bytes) -> None:
    if parse_transaction(data).raw != data:
        raise AssertionError("another transaction than was read")


def _genesis(data: bytes) -> None:
    genesis = genesis_from_json(data)
    if genesis_from_json(genesis_to_json(genesis)) != genesis:
        raise AssertionError("a genesis document does not read back")


def _manifest(data: bytes) -> None:
    validate_manifest(decode(ModelManifest, data))


def _contract(data: bytes) -> None:
    Engine().check(data)


def _config(data: bytes) -> None:
    config = parse_config(_text(data))
    if parse_config(render_config(config)) != config:
        raise AssertionError("a configuration does not read back")


def _cursor(data: bytes) -> None:
    parse_cursor(_text(data))


def _address(data: bytes) -> None:
    parse_address(_text(data))


def _json_rpc(data: bytes) -> None:
    jsonrpc.batch_size(data)


def _parameters(data: bytes) -> None:
    """The first byte chooses the method."""
    method = TABLE[(data[0] if data else 0) % len(TABLE)]
    parse_params(method.params, data[1:], strict=True)


def _worker(data: bytes) -> None:
    decode_request(data)


def _worker_reply(data: bytes) -> None:
    decode_reply(data)


def _signer(data: bytes) -> None:
    signer_protocol.decode_request(data)


def _bundle(data: bytes) -> None:
    decode_bundle(data)


def _plan(data: bytes) -> None:
    plan = parse_plan(data)
    if parse_plan(msgspec.json.encode(plan)) != plan:
        raise AssertionError("a plan does not read back")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(Code.BAD_REQUEST, "not UTF-8") from None


TARGETS: Mapping[str, Target] = {
    "block": _record(Block),
    "header": _record(Header),
    "receipt": _record(Receipt),
    "certificate": _record(Certificate),
    "vote": _record(SignedVote),
    "final-block": _record(FinalBlock),
    "adoptable-block": _record(AdoptableBlock),
    "value": _value,
    "frame": _frame,
    "transaction": _transaction,
    "bundle": _bundle,
    "genesis": _genesis,
    "manifest": _manifest,
    "contract": _contract,
    "worker-request": _worker,
    "worker-reply": _worker_reply,
    "signer-request": _signer,
    "config": _config,
    "cursor": _cursor,
    "address": _address,
    "json-rpc": _json_rpc,
    "parameters": _parameters,
    "chaos-plan": _plan,
}
