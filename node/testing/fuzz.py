"""Every decoder that meets foreign bytes, as a target of a fuzzer: a typed error, or one meaning.

A target takes bytes and returns nothing. `InvalidInput` is the only error that may come out of it;
what it accepts has to mean one thing: it encodes again to the same bytes, or, for text, reads again
equal. Seeds come from the golden vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn, cast

import msgspec

from andon.client.factory.passport import decode_passport, encode_passport
from andon.core.block import Block, Header, Receipt
from andon.core.certificate import Certificate, SignedVote
from andon.core.codec import Record, decode, decode_value, encode, encode_value
from andon.core.errors import Code, InvalidInput, Unavailable
from andon.core.genesis import Genesis, genesis_from_json, genesis_to_json
from andon.core.model import ModelManifest, validate_manifest
from andon.core.proof import decode_bundle
from andon.core.publisher import read_signature
from andon.core.transaction import parse_transaction
from andon.core.wire import AdoptableBlock, FinalBlock, decode_frame, encode_frame
from andon.core.worker import decode_reply, decode_request
from andon.gateway.quantise import read_quantiser
from andon.gateway.reading import Stray
from andon.gateway.sparkplug import read_payload
from contracts_py.engine import Engine
from node.config import parse_config, render_config
from node.facade import NodeFacade
from node.net.fetch import split_records
from node.net.handshake import Answer, Confirm, Hello
from node.net.peers import parse_address
from node.rpc import jsonrpc
from node.rpc.epcis import capture_transaction
from node.rpc.limits import BATCH_MAX
from node.rpc.methods import TABLE, parse_params
from node.rpc.streams import parse_cursor
from node.signer import protocol as signer_protocol
from node.storage.portable import HistoryChunk, HistoryItem, Manifest, StateChunk, check_item
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


class _Closed:
    """A node that does nothing: whatever it is asked, it says so."""

    @property
    def genesis(self) -> Genesis:
        raise Unavailable(Code.NOT_READY, "genesis")

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*_: object, **__: object) -> NoReturn:
            raise Unavailable(Code.NOT_READY, name)

        return refuse


def _json_rpc(data: bytes) -> None:
    """Requests get answers, and none is the mark of a bug."""
    running = jsonrpc.answer(cast("NodeFacade", _Closed()), data)
    try:
        running.send(None)
    except StopIteration as stopped:
        if Code.INTERNAL.name.encode() in stopped.value:
            raise AssertionError("a request brought the node to a bug") from None
    else:
        raise AssertionError("nothing of this waits")
    if not 1 <= jsonrpc.batch_size(data) <= BATCH_MAX:
        raise AssertionError("a body counts as no request, or too many")


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


def _history_item(data: bytes) -> None:
    check_item(decode(HistoryItem, data))


def _blocks(data: bytes) -> None:
    split_records(AdoptableBlock, data)


def _package(data: bytes) -> None:
    read_quantiser(data)


def _signature(data: bytes) -> None:
    read_signature(data)


def _epcis(data: bytes) -> None:
    capture_transaction(data, "supply")


def _sparkplug(data: bytes) -> None:
    try:
        read_payload(data)
    except Stray as stray:
        raise InvalidInput(Code.MALFORMED, str(stray)) from None


def _passport(data: bytes) -> None:
    passport = decode_passport(data)
    if decode_passport(encode_passport(passport)) != passport:
        raise AssertionError("a passport does not read back")


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
    "hello": _record(Hello),
    "hello-answer": _record(Answer),
    "hello-confirm": _record(Confirm),
    "snapshot-manifest": _record(Manifest),
    "state-chunk": _record(StateChunk),
    "history-chunk": _record(HistoryChunk),
    "history-item": _history_item,
    "block-list": _blocks,
    "package": _package,
    "signature": _signature,
    "epcis": _epcis,
    "sparkplug": _sparkplug,
    "passport": _passport,
    "chaos-plan": _plan,
}
