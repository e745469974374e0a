"""What the client gives back: typed, with open values decoded and proofs already checked."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from andon.client.notebook import facts_html
from andon.client.stages import ContractFailed
from andon.core.block import PredictionRecord, Receipt
from andon.core.codec import Value, decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.json_text import read_json
from andon.core.json_value import from_hex, value_from_json
from andon.core.proof import ProofBundle, Verified
from andon.core.rpc_schema import EventReply, FailureReply, ReceiptReply


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a contract; `cursor` resumes a stream after it."""

    cursor: str
    height: int
    transaction_id: bytes
    contract: str
    name: str
    fields: dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a transaction did; `results` has one value a call."""

    ok: bool
    gas_used: int
    results: tuple[Value, ...]
    failure: FailureReply | None
    events: tuple[Event, ...]

    def facts(self) -> list[tuple[str, object]]:
        """Name and value of what a reader wants to know."""
        failure = self.failure
        why = "" if failure is None else f"{failure.code}, line {failure.line}: {failure.message}"
        names = ", ".join(f"{event.contract}.{event.name}" for event in self.events)
        return [
            ("outcome", "succeeded" if self.ok else f"failed: {why}"),
            ("results", list(self.results)),
            ("events", names or "none"),
            ("gas used", self.gas_used),
        ]

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        return facts_html("Outcome", self.facts())


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A submitted transaction; `outcome` and `height` are None until it is final."""

    hash: bytes
    state: str
    height: int | None
    outcome: Outcome | None

    @property
    def is_final(self) -> bool:
        """True once nothing can undo it."""
        return self.outcome is not None

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        pairs: list[tuple[str, object]] = [
            ("hash", self.hash), ("state", self.state), ("height", self.height)
        ]  # fmt: skip
        if self.outcome is not None:
            pairs += self.outcome.facts()
        return facts_html("Transaction", pairs)

    def require(self) -> Outcome:
        """Give the outcome of a transaction that is final and succeeded.

        Raises:
            InvalidInput: CONTRACT_FAILED with contract, method, line and the contract's message.
        """
        if self.outcome is None:
            raise InvalidInput(
                Code.NOT_FOUND, f"transaction {self.hash.hex()[:16]} is not final yet"
            )
        if self.outcome.failure is not None:
            raise failure_error(self.outcome.failure, self.hash)
        return self.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A committed prediction. `votes` of `validators` signed it; `proof` shows it offline."""

    id: bytes
    transaction_id: bytes
    contract: str
    model_id: bytes
    input_digest: bytes
    output: tuple[int, ...]
    kind: str
    height: int
    time_ms: int
    votes: int
    validators: int
    proof: ProofBundle | None

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        votes = f"{self.votes} of {self.validators}"
        pairs = [
            ("id", self.id), ("output", list(self.output)), ("votes", votes), ("kind", self.kind),
            ("model", self.model_id), ("input digest", self.input_digest),
            ("height", self.height), ("proved", "yes" if self.proof else "no"),
        ]  # fmt: skip
        return facts_html("Prediction", pairs)

    @staticmethod
    def of(verified: Verified, record: PredictionRecord, proof: ProofBundle) -> Prediction:
        """Build from a checked proof alone, whatever else a node said."""
        return Prediction(
            id=record.id,
            transaction_id=record.transaction_id,
            contract=record.contract,
            model_id=record.model_id,
            input_digest=record.input_digest,
            output=record.output,
            kind=record.kind,
            height=record.height,
            time_ms=verified.header.time_ms,
            votes=len(verified.voters),
            validators=len(verified.validators.validators),
            proof=proof,
        )


def failure_error(failure: FailureReply, transaction_id: bytes | None = None) -> ContractFailed:
    """Turn a contract's failure into an error."""
    place = f"{failure.contract}.{failure.method}"
    if failure.line:
        place += f", line {failure.line}"
    fields = {} if transaction_id is None else {"hash": "0x" + transaction_id.hex()}
    return ContractFailed(
        Code.CONTRACT_FAILED,
        f"{failure.code} in {place}: {failure.message}",
        contract=failure.contract,
        method=failure.method,
        line=failure.line,
        failure=failure.code,
        **fields,
    )


def value_of(raw: msgspec.Raw) -> Value:
    """Read the open value inside a reply."""
    return value_from_json(read_json(bytes(raw)))


def event_of(reply: EventReply) -> Event:
    """Read an event."""
    return Event(
        cursor=reply.cursor,
        height=int(reply.height),
        transaction_id=from_hex(reply.tx_hash),
        contract=reply.contract,
        name=reply.name,
        fields=_named(value_of(reply.fields)),
    )


def outcome_of(reply: ReceiptReply) -> Outcome:
    """Read a receipt."""
    return Outcome(
        ok=reply.ok,
        gas_used=int(reply.gas_used),
        results=tuple(value_of(raw) for raw in reply.results),
        failure=reply.failure,
        events=tuple(event_of(item) for item in reply.events),
    )


def outcome_proved(receipt: Receipt, height: int, index: int) -> Outcome:
    """Read a receipt out of a checked proof: transaction `index` of the block at `height`."""
    failure = receipt.failure
    return Outcome(
        ok=receipt.ok,
        gas_used=receipt.gas_used,
        results=tuple(decode_value(result) for result in receipt.results),
        failure=None
        if failure is None
        else FailureReply(
            code=failure.code,
            contract=failure.contract,
            method=failure.method,
            line=failure.line,
            message=failure.message,
        ),
        events=tuple(
            Event(
                cursor=f"{height}-{index}-{place}",
                height=height,
                transaction_id=receipt.transaction_id,
                contract=event.contract,
                name=event.name,
                fields=_named(decode_value(event.fields)),
            )
            for place, event in enumerate(receipt.events)
        ),
    )


def _named(fields: Value) -> dict[str, Value]:
    return {str(name): value for name, value in fields.items()} if isinstance(fields, dict) else {}
