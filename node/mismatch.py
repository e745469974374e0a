"""The record of prediction mismatches: this node's worker against a proposer's block.

A mismatch never stops the node; it withholds its vote and says which model, input and element
differ, in the log, in /health/ready, in the status and as a metric. If a quorum then finalises
our output, the proposer was wrong and this node is sound again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from andon.core.block import PredictionRecord
from andon.core.errors import AndonError, InvalidInput
from andon.core.worker import Explained
from node.facade import MismatchStatus

CLEAR_AFTER_S = 600.0
"""A mismatch that has not come again for so long no longer makes the node unready."""
OPEN_MAX = 1024

log = structlog.get_logger()


class Explainer(Protocol):
    """The worker's side of a divergence report."""

    async def explain(
        self, model_id: bytes, window: bytes, committed: tuple[int, ...]
    ) -> Explained:
        """Compare with what the model means."""


class MismatchLog:
    """Counts mismatches and remembers those that finality has not decided in our favour."""

    def __init__(self, counted: Callable[[], None]) -> None:
        self._counted = counted
        self._open: dict[tuple[bytes, bytes], tuple[float, MismatchStatus]] = {}
        self._count = 0

    @property
    def last(self) -> MismatchStatus | None:
        """The last mismatch in which this node may be the one that is wrong, None if none is."""
        now_s = asyncio.get_running_loop().time()
        recent = [item for at_s, item in self._open.values() if now_s - at_s < CLEAR_AFTER_S]
        return recent[-1] if recent else None

    def settle(self, records: Sequence[PredictionRecord]) -> None:
        """Compare with what became final: who agrees with a quorum was right."""
        if not self._open:
            return
        for record in records:
            key = (record.model_id, record.input_digest)
            if key not in self._open:
                continue
            mismatch = self._open[key][1]
            if record.output[mismatch.element : mismatch.element + 1] == (mismatch.computed,):
                del self._open[key]
                log.warning("proposer.refuted", input=mismatch.input_digest.hex())

    def record(self, error: InvalidInput) -> None:
        """Note a PREDICTION_MISMATCH with its fields."""
        fields = error.fields
        self._count += 1
        self._counted()
        mismatch = MismatchStatus(
            model_id=_bytes(fields.get("model_id")),
            input_digest=_bytes(fields.get("input_digest")),
            element=_integer(fields.get("element")),
            expected=_integer(fields.get("expected")),
            computed=_integer(fields.get("computed")),
            height=_integer(fields.get("height")),
            count=self._count,
        )
        key = (mismatch.model_id, mismatch.input_digest)
        self._open.pop(key, None)
        if len(self._open) >= OPEN_MAX:
            del self._open[next(iter(self._open))]
        self._open[key] = (asyncio.get_running_loop().time(), mismatch)
        log.error(
            "prediction.mismatched",
            model=mismatch.model_id.hex(),
            input=mismatch.input_digest.hex(),
            element=mismatch.element,
            expected=mismatch.expected,
            computed=mismatch.computed,
            height=mismatch.height,
        )


async def explain_mismatch(worker: Explainer, error: InvalidInput) -> None:
    """Log the divergence report of a mismatch: the operation, and who is at fault."""
    fields = error.fields
    model_id, window, claimed = fields.get("model_id"), fields.get("window"), fields.get("claimed")
    if not isinstance(model_id, bytes) or not isinstance(window, bytes):
        return
    if not isinstance(claimed, tuple) or not all(isinstance(item, int) for item in claimed):
        return
    try:
        report = await worker.explain(model_id, window, claimed)
    except AndonError as failed:
        log.warning("divergence.unexplained", reason=str(failed)[:200])
        return
    log.error(
        "divergence.explained",
        model=model_id.hex(),
        input=_bytes(fields.get("input_digest")).hex(),
        element=report.element,
        operation=report.operation,
        op=report.name,
        expected=report.expected,
        committed=report.committed,
        computed=report.found,
        at_fault=report.at_fault,
    )


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _integer(value: object) -> int:
    return value if isinstance(value, int) else 0
