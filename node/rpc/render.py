"""Core records as RPC replies: the one place where bytes become hex and integers become text."""

from __future__ import annotations

import msgspec

from andon.core.block import Event, Failure, Header, Receipt
from andon.core.codec import Value, decode_value, encode
from andon.core.json_value import to_hex, value_to_json
from andon.core.rpc_schema import (
    BlockReply,
    CallEntry,
    CallReply,
    CheckReply,
    EventReply,
    FailureReply,
    HeaderReply,
    HealthReply,
    MismatchReply,
    PeerReply,
    PredictionReply,
    ReceiptReply,
    StatusReply,
    SubmitReply,
    TransactionReply,
)
from andon.core.transaction import parse_transaction
from node.facade import (
    BlockAnswer,
    CallAnswer,
    Cursor,
    Health,
    MismatchStatus,
    NodeStatus,
    PeerStatus,
    Submitted,
    TransactionAnswer,
)

_encoder = msgspec.json.Encoder()


def raw_json(value: Value) -> msgspec.Raw:
    """Render an open value as raw JSON."""
    return msgspec.Raw(_encoder.encode(value_to_json(value)))


def decoded(data: bytes) -> msgspec.Raw:
    """Render an encoded open value as raw JSON."""
    return raw_json(decode_value(data))


def cursor_text(cursor: Cursor) -> str:
    """Write a cursor as clients keep it: height-transaction-event."""
    return f"{cursor.height}-{cursor.transaction}-{cursor.event}"


def failure(answer: Failure | None) -> FailureReply | None:
    """Render why a call failed."""
    if answer is None:
        return None
    return FailureReply(
        code=answer.code,
        contract=answer.contract,
        method=answer.method,
        line=answer.line,
        message=answer.message,
    )


def event(cursor: Cursor, transaction_id: bytes, item: Event) -> EventReply:
    """Render one event."""
    return EventReply(
        cursor=cursor_text(cursor),
        height=str(cursor.height),
        tx_hash=to_hex(transaction_id),
        contract=item.contract,
        name=item.name,
        fields=decoded(item.fields),
    )


def receipt(item: Receipt, height: int, index: int) -> ReceiptReply:
    """Render the receipt of transaction `index` of the block at `height`."""
    return ReceiptReply(
        tx_hash=to_hex(item.transaction_id),
        ok=item.ok,
        gas_used=str(item.gas_used),
        results=[decoded(result) for result in item.results],
        failure=failure(item.failure),
        events=[
            event(Cursor(height, index, place), item.transaction_id, entry)
            for place, entry in enumerate(item.events)
        ],
    )


def submitted(answer: Submitted) -> SubmitReply:
    """Render the answer to a submission."""
    shown = None
    if answer.receipt is not None and answer.height is not None:
        shown = receipt(answer.receipt, answer.height, answer.index or 0)
    return SubmitReply(
        hash=to_hex(answer.transaction_id),
        state=answer.stage.value,
        height=None if answer.height is None else str(answer.height),
        receipt=shown,
    )


def call(answer: CallAnswer) -> CallReply:
    """Render the outcome of a read-only call."""
    return CallReply(
        ok=answer.ok,
        result=decoded(answer.result),
        gas_used=str(answer.gas_used),
        failure=failure(answer.failure),
        height=str(answer.height),
    )


def header(item: Header) -> HeaderReply:
    """Render a header."""
    return HeaderReply(
        version=item.version,
        chain_id=item.chain_id,
        epoch=str(item.epoch),
        slot=str(item.slot),
        height=str(item.height),
        time_ms=str(item.time_ms),
        parent=to_hex(item.parent),
        proposer=to_hex(item.proposer),
        justification_digest=to_hex(item.justification_digest),
        transactions_root=to_hex(item.transactions_root),
        predictions_root=to_hex(item.predictions_root),
        receipts_root=to_hex(item.receipts_root),
        state_root=to_hex(item.state_root),
        validators_hash=to_hex(item.validators_hash),
        next_validators_hash=to_hex(item.next_validators_hash),
        gas_used=str(item.gas_used),
    )


def block(answer: BlockAnswer, signers: tuple[bytes, ...], *, with_raw: bool) -> BlockReply:
    """Render a final block."""
    final = answer.final
    encoded, count = encode(final), len(final.block.transactions)
    certified = final.path[-1] if final.path else final.block.header
    return BlockReply(
        hash=to_hex(answer.hash),
        header=header(final.block.header),
        transactions=[to_hex(item.transaction_id) for item in answer.receipts[:count]],
        scheduled=[
            receipt(item, final.block.header.height, index)
            for index, item in enumerate(answer.receipts[count:], count)
        ],
        predictions=[to_hex(item.id) for item in answer.predictions],
        signers=[to_hex(key) for key in signers],
        certified_height=str(certified.height),
        size_bytes=len(encoded),
        raw=to_hex(encoded) if with_raw else None,
    )


def prediction(
    in_block: BlockAnswer,
    index: int,
    signers: tuple[bytes, ...],
    validators: int,
    proof: bytes | None,
) -> PredictionReply:
    """Render prediction `index` of a block with the votes behind it."""
    record = in_block.predictions[index]
    return PredictionReply(
        id=to_hex(record.id),
        tx_hash=to_hex(record.transaction_id),
        contract=record.contract,
        model_id=to_hex(record.model_id),
        input_digest=to_hex(record.input_digest),
        output=list(record.output),
        kind=record.kind,
        height=str(record.height),
        time_ms=str(in_block.final.block.header.time_ms),
        index=index,
        votes=[to_hex(key) for key in signers],
        validators=validators,
        proof=None if proof is None else to_hex(proof),
    )


def transaction(
    answer: TransactionAnswer,
    predictions: list[PredictionReply],
    receipt_proof: bytes | None,
    transaction_proof: bytes | None,
) -> TransactionReply:
    """Render a transaction, pending or final."""
    body = parse_transaction(answer.raw).body
    header_of = None if answer.block is None else answer.block.final.block.header
    shown = None
    if answer.block is not None and answer.index is not None and header_of is not None:
        shown = receipt(answer.block.receipts[answer.index], header_of.height, answer.index)
    return TransactionReply(
        hash=to_hex(answer.transaction_id),
        state="pending" if header_of is None else "final",
        sender=to_hex(body.sender),
        expires_height=str(body.expires_height),
        gas_limit=str(body.gas_limit),
        calls=[
            CallEntry(contract=item.contract, method=item.method, args=decoded(item.args))
            for item in body.calls
        ],
        height=None if header_of is None else str(header_of.height),
        index=answer.index,
        time_ms=None if header_of is None else str(header_of.time_ms),
        receipt=shown,
        predictions=predictions,
        raw=to_hex(answer.raw),
        receipt_proof=None if receipt_proof is None else to_hex(receipt_proof),
        transaction_proof=None if transaction_proof is None else to_hex(transaction_proof),
    )


def health(answer: Health) -> HealthReply:
    """Render the verdict of a probe."""
    return HealthReply(
        ok=answer.is_ok,
        checks=[
            CheckReply(name=check.name, ok=check.is_ok, detail=check.detail)
            for check in answer.checks
        ],
    )


def status(answer: NodeStatus, ready: Health) -> StatusReply:
    """Render where the node stands."""
    return StatusReply(
        version=answer.version,
        chain_id=answer.chain_id,
        genesis_hash=to_hex(answer.genesis_hash),
        node_key=to_hex(answer.node_key),
        validator_key=None if answer.validator_key is None else to_hex(answer.validator_key),
        height=str(answer.height),
        block_hash=to_hex(answer.block_hash),
        state_root=to_hex(answer.state_root),
        time_ms=str(answer.time_ms),
        epoch=str(answer.epoch),
        slot=str(answer.slot),
        is_syncing=answer.is_syncing,
        is_ready=ready.is_ok,
        not_ready=[f"{c.name}: {c.detail}" for c in ready.checks if not c.is_ok],
        mempool_count=answer.mempool_count,
        mempool_bytes=answer.mempool_bytes,
        worker_state=answer.worker_state,
        worker_detail=answer.worker_detail,
        models_loaded=answer.models_loaded,
        mismatch=_mismatch(answer.mismatch),
        peers=[_peer(item) for item in answer.peers],
    )


def _mismatch(item: MismatchStatus | None) -> MismatchReply | None:
    if item is None:
        return None
    return MismatchReply(
        model_id=to_hex(item.model_id),
        input_digest=to_hex(item.input_digest),
        element=item.element,
        expected=item.expected,
        computed=item.computed,
        height=str(item.height),
        count=item.count,
    )


def _peer(item: PeerStatus) -> PeerReply:
    return PeerReply(
        validator_key=to_hex(item.validator_key),
        node_key=to_hex(item.node_key),
        organisation=item.organisation,
        address=item.address,
        weight=str(item.weight),
        connected=item.connected,
        height=str(item.height),
    )
