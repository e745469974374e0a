"""The ledger as contracts see it: one host a block, set up anew for each transaction and call."""

from __future__ import annotations

from functools import cache, partial
from itertools import repeat

from andon.core.block import (
    Event,
    PredictionOutput,
    PredictionRecord,
    prediction_id,
    prediction_ids,
)
from andon.core.codec import decode_value
from andon.core.errors import Code, InvalidInput
from andon.core.hashing import Digest
from andon.core.model import input_digest, input_digests
from andon.core.state_key import is_name, state_key
from consensus.ledger.directory import Directory
from consensus.ledger.overlay import Overlay
from consensus.ledger.ports import Mark, Prediction, PredictionFailed, PredictionSource
from consensus.ledger.registry import (
    E_MODEL_INPUT,
    OUTPUT_BITS_MAX,
    PREDICTIONS,
    SETTLED,
    Package,
    Registry,
    parse_settled,
)

OUTPUT_OVERHEAD_BYTES = 80
INTEGER_BYTES_MAX = 9
OUTPUT_BOUND: int = 2**OUTPUT_BITS_MAX
EXACT = "exact"
ATTESTED = "attested"
CONTRACTS = "contracts"


class LedgerHost:
    """Implements `Host` over an overlay; collects what goes into receipts and the block body."""

    def __init__(self, overlay: Overlay, source: PredictionSource, height: int) -> None:
        self._overlay = overlay
        self._source = source
        self.height = height
        self.is_scheduled_run = False
        self._transaction_id = b""
        self._is_source_changed = False
        self.contract = ""
        """The contract of the present call: predictions are recorded under it."""
        self.directory = Directory(overlay.get, overlay.writes)
        self.registry = Registry(overlay.get)
        self.events: list[Event] = []
        self.predictions: list[PredictionRecord] = []
        # Every output that execution looked at, also in calls that failed later, by input digest.
        self.outputs: dict[bytes, PredictionOutput] = {}
        self.inputs: list[tuple[bytes, bytes]] = []
        self.outputs_bytes = 0
        # Bound here rather than defined, so that the hottest calls have no frame of their own.
        self.read = overlay.get
        self.write = overlay.put
        self.iterate = overlay.iterate
        self._journal = overlay.journal
        # Every call asks for both: read once a block, then answered without a frame. They hold the
        # overlay and not this host, which would otherwise hold itself and outlive its block. As
        # many names are kept as the block has calls.
        self.source = cache(partial(_source_of, overlay))
        self.is_paused = cache(partial(_is_paused, overlay))

    def begin_transaction(self, transaction_id: bytes) -> None:
        """Forget the previous transaction's events and predictions; marks of it are void."""
        self._transaction_id = transaction_id
        if self._is_source_changed:
            # The deployment may have been rolled back since.
            self.forget_sources()
            self._is_source_changed = False
        self.events = []
        self.predictions = []

    def forget_sources(self) -> None:
        """Read sources anew: one of them was written, or paused, in this transaction."""
        self.source.cache_clear()
        self.is_paused.cache_clear()
        self._is_source_changed = True

    def predict(self, model: str, window: bytes) -> Prediction:
        """Give the output of an active exact model and record it."""
        if self.is_scheduled_run:
            raise PredictionFailed("E_MODEL", "a scheduled method asks with request()")
        package = self.registry.active_exact(model)
        _check_window(package, window)
        digest = input_digest(package.model_id, window)
        output = self._output(package, window, digest)
        self._record(self.contract, package.model_id, digest, output, EXACT)
        return Prediction(output, package.scale_num, package.scale_den, package.gas)

    def predict_many(self, model: str, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Give the outputs of a model that `predict` has just given one of, and record them."""
        package = self.registry.active_exact(model)
        model_id, identity = package.model_id, self._transaction_id
        digests = input_digests(model_id, windows)
        outputs = self._outputs(package, windows, digests)
        # Built by `map` throughout: a frame for each prediction is what a large block would spend
        # its time on.
        self.predictions += map(
            PredictionRecord,
            prediction_ids(identity, len(self.predictions), len(windows)),
            repeat(identity),
            repeat(self.contract),
            repeat(model_id),
            digests,
            outputs,
            repeat(EXACT),
            repeat(self.height),
        )
        return outputs

    def emit(self, contract: str, event: str, fields: bytes) -> None:
        """Record an event; what the `predictions` contract settles is a prediction, too."""
        self.events.append(Event(contract, event, fields))
        if contract == PREDICTIONS and event == SETTLED:
            settled = parse_settled(fields)
            if settled is not None:
                self._record(settled.contract, settled.model_id, settled.input_digest,
                             settled.output, ATTESTED)  # fmt: skip

    def has_role(self, account: bytes, role: str) -> bool:
        """Tell whether the account holds the role now."""
        return self.directory.has_role(account, role)

    def organisation(self, account: bytes) -> str:
        """Name of the account's organisation."""
        return self.directory.organisation(account)

    def checkpoint(self) -> Mark:
        """Mark state, events and predictions."""
        return len(self._journal), len(self.events), len(self.predictions)

    def rollback(self, mark: Mark) -> None:
        """Return to a mark; it stays valid, later ones are void."""
        state, events, predictions = mark
        self._overlay.rollback(state)
        del self.events[events:]
        del self.predictions[predictions:]

    def forget_outputs(self, count: int) -> None:
        """Drop the outputs first used since there were `count`: their transaction is left out."""
        while len(self.inputs) > count:
            self.inputs.pop()
            self.outputs_bytes -= output_bytes(self.outputs.popitem()[1])

    def _record(
        self, contract: str, model_id: bytes, digest: bytes, output: tuple[int, ...], kind: str
    ) -> None:
        identity, found = self._transaction_id, self.predictions
        # In the order of the record's fields: by name it takes twice as long, for every prediction.
        found.append(
            PredictionRecord(
                prediction_id(identity, len(found)),
                identity,
                contract,
                model_id,
                digest,
                output,
                kind,
                self.height,
            )
        )

    def _outputs(
        self, package: Package, windows: list[bytes], digests: list[Digest]
    ) -> list[tuple[int, ...]]:
        """Do as `_output` for each; at once if all are new and sound."""
        model_id, known = package.model_id, self.outputs
        if len(set(digests)) == len(windows) > 0 and known.keys().isdisjoint(digests):
            found = list(map(self._source.output, repeat(model_id), windows, digests))
            if _are_sound(package, found):
                used = list(map(PredictionOutput, repeat(model_id), digests, found))
                known.update(zip(digests, used, strict=True))
                self.outputs_bytes += len(used) * output_bytes(used[0])
                self.inputs += zip(repeat(model_id), windows, strict=False)
                return found
        return list(map(self._output, repeat(package), windows, digests))

    def _output(self, package: Package, window: bytes, digest: Digest) -> tuple[int, ...]:
        model_id = package.model_id
        known = self.outputs.get(digest)
        if known is not None:
            return known.output
        output = self._source.output(model_id, window, digest)
        if len(output) != package.outputs or (
            output and (max(output) >= OUTPUT_BOUND or min(output) <= -OUTPUT_BOUND)
        ):
            raise InvalidInput(
                Code.PREDICTION_MISMATCH,
                f"an output of {package.model_id.hex()[:16]} has {len(output)} elements, "
                f"not {package.outputs}, or is out of range",
                model_id=package.model_id,
                input_digest=digest,
            )
        used = PredictionOutput(model_id, digest, output)
        self.outputs[digest] = used
        self.outputs_bytes += output_bytes(used)
        self.inputs.append((model_id, window))
        return output


def _source_of(overlay: Overlay, contract: str) -> bytes | None:
    """Source text of a deployed contract."""
    raw = overlay.get(state_key(CONTRACTS, "source", contract)) if is_name(contract) else None
    value = None if raw is None else decode_value(raw)
    return value if isinstance(value, bytes) else None


def _is_paused(overlay: Overlay, contract: str) -> bool:
    """Tell whether only the contract's views can be entered."""
    return is_name(contract) and overlay.get(state_key(CONTRACTS, "paused", contract)) is not None


def _are_sound(package: Package, outputs: list[tuple[int, ...]]) -> bool:
    """Tell whether all have the registered number of elements (one at least) in range."""
    if set(map(len, outputs)) != {package.outputs}:
        return False
    most: int = max(map(max, outputs))
    least: int = min(map(min, outputs))
    return least > -OUTPUT_BOUND and most < OUTPUT_BOUND


def output_bytes(used: PredictionOutput) -> int:
    """Upper bound of one encoded output, by which a block's size is measured."""
    return OUTPUT_OVERHEAD_BYTES + INTEGER_BYTES_MAX * len(used.output)


def _check_window(package: Package, window: bytes) -> None:
    if len(window) != package.input_bytes:
        raise PredictionFailed(
            E_MODEL_INPUT, f"the input has {len(window)} bytes, not {package.input_bytes}"
        )
    position = window.find(b"\x80")
    if position >= 0:
        raise PredictionFailed(
            E_MODEL_INPUT, f"input element {position} is -128; elements are -127 to 127"
        )
