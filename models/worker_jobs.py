"""What a worker does for one request: it always gives an answer, whatever goes wrong in it.

Sockets and the order of work are `models.worker`. Loads may run in a thread of their own beside
predictions: what both touch is the runtime, whose models appear and vanish whole.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from andon.core import worker as protocol
from andon.core.codec import encode
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.model import validate_windows
from models.divergence import explain
from models.runtime import Runtime

BATCH_WINDOWS_MAX = 4096
FAULTS = ("none", "wrong-output", "far-output")
FAR = 1_000_000
"""How far a worker with the fault "far-output" is off: beyond any sensible tolerance."""

Order = protocol.Load | protocol.Conform | protocol.Explain | protocol.Unload
Answer = protocol.Loaded | protocol.Outputs | protocol.Done | protocol.Explained | protocol.Failed


class Jobs:
    """Does requests on a runtime that is warm, and counts them."""

    def __init__(self, runtime: Runtime, fault: str = "none") -> None:
        self._runtime = runtime
        self._fault = fault
        self.broken = ""
        """Why the backend did not start; every request fails then."""
        self.counters = {"batches": 0, "errors": 0, "loads": 0, "predictions": 0, "requests": 0}

    def perform(self, order: Order) -> Answer:
        """Do what is no prediction."""
        try:
            self._require_ready()
            return self._perform(order)
        except Exception as error:  # noqa: BLE001 - a job's root: one package must not end the rest
            return self._failed(error)

    def begin_warming(self, model_id: bytes) -> bool:
        """Tell whether `warm_next` has anything to do for a model just loaded."""
        return self._runtime.begin_warming(model_id)

    def warm_next(self, model_id: bytes) -> bool:
        """Compile one more batch size of a model; True if there are more."""
        try:
            return self._runtime.warm_next(model_id)
        except Exception as error:  # noqa: BLE001 - a job's root: what is left compiles when needed
            self._failed(error)
            return False

    def windows_max(self, model_id: bytes) -> int:
        """How many windows of a model make one batch, by its work."""
        try:
            multiply_adds = self._runtime.manifest(model_id).multiply_adds
        except InvalidInput:
            return BATCH_WINDOWS_MAX
        return protocol.windows_max(multiply_adds, BATCH_WINDOWS_MAX)

    def predict(self, model_id: bytes, requests: Sequence[protocol.Predict]) -> list[Answer]:
        """Evaluate the windows of all requests as one batch; one answer a request, in order."""
        answers: dict[int, Answer] = {}
        windows: list[bytes] = []
        for place, request in enumerate(requests):
            try:
                self._require_ready()
                windows += self._checked(request)
            except AndonError as error:
                answers[place] = self._failed(error)
        sound = [place for place in range(len(requests)) if place not in answers]
        try:
            outputs = self._told(self._runtime.predict(model_id, windows)) if sound else []
        except Exception as error:  # noqa: BLE001 - the same
            failed = self._failed(error)
            return [answers.get(place, failed) for place in range(len(requests))]
        self.counters["batches"] += 1 if sound else 0
        self.counters["predictions"] += len(outputs)
        start = 0
        for place in sound:
            end = start + len(requests[place].windows)
            answers[place] = protocol.Outputs(tuple(outputs[start:end]))
            start = end
        return [answers[place] for place in range(len(requests))]

    def _perform(self, order: Order) -> Answer:
        match order:
            case protocol.Load(blob):
                model_id = self._runtime.load(blob)
                self.counters["loads"] += 1
                return protocol.Loaded(model_id, encode(self._runtime.manifest(model_id)))
            case protocol.Explain(model_id, window, committed):
                package = self._runtime.package(model_id)
                (found,) = self._told(self._runtime.predict(model_id, [window]))
                return explain(package, window, committed, found, self._runtime.backend)
            case protocol.Conform(model_id):
                self._runtime.conformance(model_id)
            case protocol.Unload(model_id):
                self._runtime.unload(model_id)
        return protocol.Done()

    def _failed(self, error: Exception) -> protocol.Failed:
        self.counters["errors"] += 1
        if isinstance(error, AndonError):
            return protocol.failed(error)
        # The log of the worker gets the whole of it: memory that ran out, a failure inside XLA.
        traceback.print_exception(error, file=sys.stderr)
        return protocol.failed(
            Unavailable(
                Code.INTERNAL,
                f"{type(error).__name__} in the worker",
                hint="see logs/worker.log; if memory ran out, raise worker_memory_mib",
            )
        )

    def _told(self, outputs: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """What this worker says: the truth, unless a test made it lie."""
        if self._fault == "wrong-output":
            return [(row[0] ^ 1, *row[1:]) for row in outputs]
        if self._fault == "far-output":
            return [(row[0] + FAR, *row[1:]) for row in outputs]
        return outputs

    def _checked(self, request: protocol.Predict) -> tuple[bytes, ...]:
        """The windows of one request, checked alone: another's mistake must not fail them."""
        if len(request.windows) > protocol.WINDOWS_MAX:
            raise InvalidInput(
                Code.TOO_MANY, f"{len(request.windows)} windows exceed {protocol.WINDOWS_MAX}"
            )
        manifest = self._runtime.manifest(request.model_id)
        validate_windows(manifest, request.windows)
        return request.windows

    def _require_ready(self) -> None:
        if self.broken:
            raise Unavailable(Code.WORKER_DOWN, f"the backend is down: {self.broken}")
