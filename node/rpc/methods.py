"""The method table: name, parameters, result and handler, from which every face is built."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from andon.core.codec import Key, Value, encode_arguments
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.genesis import genesis_hash, genesis_to_json
from andon.core.hashing import DIGEST_BYTES
from andon.core.json_text import read_json
from andon.core.json_value import from_hex, to_hex, value_from_json
from andon.core.rpc_interfaces import ContractParams, ContractReply
from andon.core.rpc_schema import (
    BlobParams,
    BlobReply,
    BlockParams,
    BlockReply,
    BlocksParams,
    BlocksReply,
    CallParams,
    CallReply,
    DigestParams,
    Empty,
    EntriesParams,
    EntriesReply,
    EntryReply,
    EventsParams,
    EventsReply,
    GenesisReply,
    Height,
    PredictionParams,
    PredictionReply,
    Reply,
    Schema,
    StateParams,
    StateReply,
    StatusReply,
    SubmitParams,
    SubmitReply,
    TransactionParams,
    TransactionReply,
    ValidatorReply,
    ValidatorsReply,
)
from andon.core.state_key import state_key, state_prefix
from node.facade import BlockAnswer, NodeFacade, Wait
from node.rpc import interfaces, proofs, render, streams
from node.rpc.access import READ, SUBMIT, require
from node.rpc.slots import waiting

P = TypeVar("P", bound=Schema)
R = TypeVar("R", bound=Reply)
HEIGHT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One row of the table. `run` takes the parameters as a JSON object."""

    name: str
    verb: str
    path: str
    """REST path below /v1; its {fields} are parameters."""
    params: type[Schema]
    result: type[Reply]
    run: Callable[[NodeFacade, bytes, bool], Awaitable[Reply]]
    """node, parameters, whether types are strict (JSON) or texts are converted (queries)."""
    is_immutable: bool = False
    """True if an answer about a final thing never changes."""


def _method(
    name: str,
    rest: str,
    params: type[P],
    result: type[R],
    handler: Callable[[NodeFacade, P], Awaitable[R]],
    *,
    is_immutable: bool = False,
    role: str = READ,
) -> Method:
    async def run(node: NodeFacade, document: bytes, strict: bool) -> Reply:  # noqa: FBT001
        require(role)
        return await handler(node, parse_params(params, document, strict=strict))

    verb, _, path = rest.partition(" ")
    return Method(
        name=name,
        verb=verb,
        path=path,
        params=params,
        result=result,
        run=run,
        is_immutable=is_immutable,
    )


def parse_params(kind: type[P], document: bytes, *, strict: bool) -> P:
    """Parse a method's parameters.

    Raises:
        InvalidInput: BAD_REQUEST that names the field.
    """
    try:
        return msgspec.json.decode(document, type=kind, strict=strict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(
            Code.BAD_REQUEST,
            f"parameters: {error}",
            hint="see /openapi.json for the fields of every method",
        ) from None


async def _submit(node: NodeFacade, params: SubmitParams) -> SubmitReply:
    raw, wait = from_hex(params.raw), Wait(params.wait)
    with waiting() if wait is Wait.FINAL else contextlib.nullcontext():
        return render.submitted(await node.submit(raw, wait, params.timeout_ms))


async def _call(node: NodeFacade, params: CallParams) -> CallReply:
    arguments: Value = {}
    if not isinstance(params.args, msgspec.UnsetType):
        arguments = open_value(params.args)
    if not isinstance(arguments, dict):
        raise InvalidInput(Code.BAD_ARGUMENTS, "args is a map from name to value")
    named: dict[str, Value] = {}
    for name, value in arguments.items():
        if not isinstance(name, str):
            raise InvalidInput(Code.BAD_ARGUMENTS, "names of arguments are text")
        named[name] = value
    sender = None if params.sender is None else from_hex(params.sender)
    height = None if params.height is None else height_of(params.height)
    data = encode_arguments(named)
    return render.call(await node.call(params.contract, params.method, data, sender, height=height))


async def _transaction(node: NodeFacade, params: TransactionParams) -> TransactionReply:
    answer = await node.transaction(_digest(params.hash))
    receipt_proof = transaction_proof = None
    shown: list[PredictionReply] = []
    if answer.block is not None and answer.index is not None:
        shown = [
            await prediction_reply(node, answer.block, index, with_proof=False)
            for index, record in enumerate(answer.block.predictions)
            if record.transaction_id == answer.transaction_id
        ]
        if params.proof:
            receipt_proof = await proofs.prove_receipt(node, answer.block, answer.index)
            transaction_proof = await proofs.prove_transaction(node, answer.block, answer.index)
    return render.transaction(answer, shown, receipt_proof, transaction_proof)


async def _block(node: NodeFacade, params: BlockParams) -> BlockReply:
    reference: int | bytes | None = None
    if params.height is not None and params.hash is not None:
        raise InvalidInput(Code.BAD_REQUEST, "give height or hash, not both")
    if params.height is not None:
        reference = height_of(params.height)
    elif params.hash is not None:
        reference = _digest(params.hash)
    return _block_reply(node, await node.block(reference), with_raw=params.raw)


def _block_reply(node: NodeFacade, answer: BlockAnswer, *, with_raw: bool) -> BlockReply:
    validators = node.validators(answer.final.block.header.epoch)
    signers = proofs.signer_keys(validators, answer.final.certificate)
    return render.block(answer, signers, with_raw=with_raw)


async def _blocks(node: NodeFacade, params: BlocksParams) -> BlocksReply:
    top = node.status().height
    first = top if params.before is None else min(top, height_of(params.before) - 1)
    found: list[BlockReply] = []
    for height in range(first, max(-1, first - params.limit), -1):
        try:
            found.append(_block_reply(node, await node.block(height), with_raw=False))
        except InvalidInput:  # pruned: what is below is gone too
            return BlocksReply(blocks=found, before=None)
    rest = first - params.limit + 1
    return BlocksReply(blocks=found, before=str(rest) if rest > 0 else None)


async def _entries(node: NodeFacade, params: EntriesParams) -> EntriesReply:
    prefix = state_prefix(params.contract, params.variable)
    after = from_hex(params.cursor)
    if after and not after.startswith(prefix):
        raise InvalidInput(Code.BAD_REQUEST, "the cursor is of another variable")
    found = await node.entries(prefix, after or None, params.limit)
    shown = [
        EntryReply(key=render.decoded(key[len(prefix) :]), value=render.decoded(value))
        for key, value in found
        if len(key) > len(prefix)  # the prefix itself is a plain variable, no map
    ]
    more = len(found) == params.limit
    return EntriesReply(entries=shown, cursor=to_hex(found[-1][0]) if more else None)


async def _state(node: NodeFacade, params: StateParams) -> StateReply:
    key = _state_key(params) if params.raw_key is None else from_hex(params.raw_key)
    answer = await node.state(key)
    return StateReply(
        key=to_hex(answer.key),
        present=answer.value is not None,
        value=msgspec.Raw(b"null") if answer.value is None else render.decoded(answer.value),
        height=str(answer.final.block.header.height),
        proof=to_hex(await proofs.prove_state(node, answer)),
    )


async def _prediction(node: NodeFacade, params: PredictionParams) -> PredictionReply:
    answer = await node.prediction(from_hex(params.id))
    return await prediction_reply(node, answer.block, answer.index, with_proof=params.proof)


async def prediction_reply(
    node: NodeFacade, block: BlockAnswer, index: int, *, with_proof: bool
) -> PredictionReply:
    """Render prediction `index` of a block with the votes behind it."""
    validators = node.validators(block.final.block.header.epoch)
    proof = None
    voters = proofs.signer_keys(validators, block.final.certificate)
    if with_proof:
        voters = await proofs.voters_of(node, block, validators)
        notar = await proofs.notar_of(node, block)
        proof = await proofs.prove_prediction(node, block, index, notar)
    return render.prediction(
        block,
        index,
        voters,
        len(validators.validators),
        proof,
    )


async def _status(node: NodeFacade, params: Empty) -> StatusReply:
    del params
    return render.status(node.status(), node.health("ready"))


async def _validators(node: NodeFacade, params: Empty) -> ValidatorsReply:
    del params
    current = node.validators()
    return ValidatorsReply(
        epoch=str(node.status().epoch),
        validators=[
            ValidatorReply(key=to_hex(item.key), weight=str(item.weight))
            for item in current.validators
        ],
        total_weight=str(current.total_weight),
        quorum=str(current.quorum),
    )


async def _genesis(node: NodeFacade, params: Empty) -> GenesisReply:
    del params
    return GenesisReply(
        genesis_hash=to_hex(genesis_hash(node.genesis)),
        document=msgspec.Raw(genesis_to_json(node.genesis)),
    )


async def _events(node: NodeFacade, params: EventsParams) -> EventsReply:
    after = streams.parse_cursor(params.cursor) or streams.now_cursor(node)
    wanted = streams.Filter(contract=params.contract, name=params.name)
    with waiting():
        events, cursor = await streams.collect(node, after, wanted, params.limit, params.wait_ms)
    return EventsReply(
        events=[render.event(item.cursor, item.transaction_id, item.event) for item in events],
        cursor=render.cursor_text(cursor),
    )


async def _publish_blob(node: NodeFacade, params: BlobParams) -> BlobReply:
    blob = from_hex(params.blob)
    return BlobReply(digest=to_hex(await node.publish_blob(blob)), size_bytes=len(blob), blob=None)


async def _blob(node: NodeFacade, params: DigestParams) -> BlobReply:
    blob = await node.blob(_digest(params.digest))
    return BlobReply(digest=params.digest, size_bytes=len(blob), blob=to_hex(blob))


def open_value(raw: msgspec.Raw) -> Value:
    """Read an open value from raw JSON.

    Raises:
        InvalidInput: MALFORMED, TOO_DEEP.
    """
    return value_from_json(read_json(bytes(raw)))


def height_of(height: Height) -> int:
    """Read a height from a number or decimal text.

    Raises:
        InvalidInput: HEIGHT_UNKNOWN outside 0..2**63-1.
    """
    number = int(height)
    if not 0 <= number <= HEIGHT_MAX:
        raise InvalidInput(Code.HEIGHT_UNKNOWN, f"there is no height {number}")
    return number


def _state_key(params: StateParams) -> bytes:
    if isinstance(params.key, msgspec.UnsetType):
        return state_key(params.contract, params.variable)
    try:
        return state_key(params.contract, params.variable, _as_key(open_value(params.key)))
    except Misuse as error:  # the caller over there misused us: its fault, not ours
        raise InvalidInput(error.code, error.message, hint=error.hint) from None


def _as_key(value: Value) -> Key:
    if isinstance(value, list | dict):
        raise InvalidInput(Code.BAD_REQUEST, "a list or map cannot be a map key")
    if isinstance(value, tuple):
        return tuple(_as_key(item) for item in value)
    return value


def _digest(text: str) -> bytes:
    data = from_hex(text)
    if len(data) != DIGEST_BYTES:
        raise InvalidInput(
            Code.BAD_REQUEST, f"a hash has {DIGEST_BYTES} bytes, this one {len(data)}"
        )
    return data


TABLE: tuple[Method, ...] = (
    _method("submit", "POST /tx", SubmitParams, SubmitReply, _submit, role=SUBMIT),
    _method("call", "POST /call", CallParams, CallReply, _call),
    _method("contract", "GET /contract/{name}", ContractParams, ContractReply, interfaces.contract),
    _method("tx", "GET /tx/{hash}", TransactionParams, TransactionReply, _transaction),
    _method("block", "GET /block", BlockParams, BlockReply, _block),
    _method("blocks", "GET /blocks", BlocksParams, BlocksReply, _blocks),
    _method("state", "GET /state/{contract}/{variable}", StateParams, StateReply, _state),
    _method(
        "entries",
        "GET /entries/{contract}/{variable}",
        EntriesParams,
        EntriesReply,
        _entries,
    ),
    _method(
        "prediction",
        "GET /prediction/{id}",
        PredictionParams,
        PredictionReply,
        _prediction,
        is_immutable=True,
    ),
    _method("status", "GET /status", Empty, StatusReply, _status),
    _method("validators", "GET /validators", Empty, ValidatorsReply, _validators),
    _method("genesis", "GET /genesis", Empty, GenesisReply, _genesis, is_immutable=True),
    _method("events", "GET /events/list", EventsParams, EventsReply, _events),
    _method("publish_blob", "POST /blob", BlobParams, BlobReply, _publish_blob),
    _method("blob", "GET /blob/{digest}", DigestParams, BlobReply, _blob, is_immutable=True),
)
METHODS = {method.name: method for method in TABLE}
