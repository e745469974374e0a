"""Outputs of exact models for this node: a bounded cache, and batched questions to the worker.

Only outputs that our own worker computed enter the cache; what a proposer claims never does. A
cold cache gives the same blocks as a warm one, later.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Protocol

from andon.core.block import PredictionOutput
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.model import input_digest
from andon.core.worker import WINDOWS_MAX
from consensus.ledger import PredictionUnavailable

CACHE_COUNT_MAX = 262_144
PREFETCH_COUNT_MAX = 65_536
BATCHES_IN_FLIGHT = 2
"""One computes while the next is on its way."""

Question = tuple[bytes, bytes]
"""Model id and window."""


class Predictor(Protocol):
    """Whoever computes: the worker's supervisor."""

    async def predict(self, model_id: bytes, windows: list[bytes]) -> list[tuple[int, ...]]:
        """Give one output a window, in order.

        Raises:
            Unavailable: WORKER_DOWN. InvalidInput: BAD_MODEL_INPUT, NOT_FOUND.
        """
        ...


class PredictionCache:
    """Computed outputs by model and input digest; the oldest entry leaves first.

    The event loop writes; the execution thread reads.
    """

    def __init__(self, count_max: int = CACHE_COUNT_MAX) -> None:
        # Ordered: to find the oldest entry of a plain dict that lost its first ones costs their
        # number, 80 us an entry for 100,000.
        self._outputs: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._count_max = count_max

    def __len__(self) -> int:
        return len(self._outputs)

    def get(self, key: bytes) -> tuple[int, ...] | None:
        """Give the output under `cache_key`."""
        return self._outputs.get(key)

    def put(self, key: bytes, output: tuple[int, ...]) -> None:
        """Remember an output."""
        if key not in self._outputs and len(self._outputs) >= self._count_max:
            self._outputs.popitem(last=False)
        self._outputs[key] = output

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Be the `PredictionSource` of blocks that this node builds."""
        found = self._outputs.get(model_id + digest)
        if found is None:
            raise PredictionUnavailable(model_id, window)
        return found


def cache_key(model_id: bytes, window: bytes) -> bytes:
    """Name one prediction."""
    return model_id + input_digest(model_id, window)


def check_output(
    height: int, claimed: PredictionOutput, computed: tuple[int, ...], window: bytes = b""
) -> None:
    """Compare a proposer's claim with our own output.

    Raises:
        InvalidInput: PREDICTION_MISMATCH with fields model_id, input_digest, element, expected,
            computed, height, window, claimed; `expected` is the claim's element.
    """
    if claimed.output == computed:
        return
    pairs = enumerate(zip(claimed.output, computed, strict=False))
    element = next((index for index, pair in pairs if pair[0] != pair[1]), 0)
    raise InvalidInput(
        Code.PREDICTION_MISMATCH,
        f"element {element} of a prediction of model {claimed.model_id.hex()[:16]} "
        f"is {claimed.output[element]}, this node computes {computed[element]}",
        hint="compare the workers' environments and the package on both sides",
        model_id=claimed.model_id,
        input_digest=claimed.input_digest,
        element=element,
        expected=claimed.output[element],
        computed=computed[element],
        height=height,
        window=window,
        claimed=claimed.output,
    )


class PredictionService:
    """Asks the worker in batches; questions that are already on their way are shared."""

    def __init__(self, predictor: Predictor | None, cache: PredictionCache | None = None) -> None:
        self._predictor = predictor
        self.cache = cache or PredictionCache()
        self._answers: dict[bytes, asyncio.Future[tuple[int, ...]] | None] = {}
        self._started: set[bytes] = set()
        self._urgent: deque[tuple[bytes, Question]] = deque()
        self._prefetched: deque[tuple[bytes, Question]] = deque()
        self._has_work = asyncio.Event()

    @property
    def can_predict(self) -> bool:
        """Tell whether this node recomputes at all."""
        return self._predictor is not None

    async def run(self) -> None:
        """Serve questions until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(BATCHES_IN_FLIGHT):
                group.create_task(self._serve())

    async def fetch(
        self, questions: Sequence[Question], digests: Sequence[bytes] | None = None
    ) -> list[tuple[int, ...]]:
        """Give all outputs, from the cache or the worker, ahead of prefetched questions.

        `digests` are the inputs' own, from a caller that has them.

        Raises:
            Unavailable: WORKER_DOWN, or PREDICTION_MISSING if the worker refuses an input.
        """
        if self._predictor is None:
            raise Unavailable(Code.WORKER_DOWN, "this node runs no prediction worker")
        if digests is None:
            digests = [input_digest(*question) for question in questions]
        waiting = [
            self._ask(question, question[0] + digest)
            for question, digest in zip(questions, digests, strict=True)
        ]
        if self._urgent:
            self._has_work.set()
        return [item if isinstance(item, tuple) else await asyncio.shield(item) for item in waiting]

    async def check(
        self, height: int, claims: Sequence[PredictionOutput], questions: Sequence[Question]
    ) -> None:
        """Compare what a block claims with our own outputs; raises as `fetch`, `check_output`."""
        outputs = await self.fetch(questions, [claim.input_digest for claim in claims])
        for claim, computed, (_, window) in zip(claims, outputs, questions, strict=True):
            if claim.output != computed:
                check_output(height, claim, computed, window)

    def prefetch(self, questions: Sequence[Question]) -> None:
        """Ask for outputs that will be needed; drops what does not fit the bound."""
        if self._predictor is None:
            return
        answers, cache = self._answers, self.cache
        for question in questions[: max(0, PREFETCH_COUNT_MAX - len(self._prefetched))]:
            key = cache_key(*question)
            if key not in answers and cache.get(key) is None:
                # Nobody waits for it yet; who does makes the future.
                answers[key] = None
                self._prefetched.append((key, question))
        if self._prefetched:
            self._has_work.set()

    def _ask(
        self, question: Question, key: bytes
    ) -> tuple[int, ...] | asyncio.Future[tuple[int, ...]]:
        known = self.cache.get(key)
        if known is not None:
            return known
        answer = self._answers.get(key)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
        if key not in self._started:
            # It may wait among the prefetched ones; whichever copy is taken first counts.
            self._urgent.append((key, question))
        self._answers[key] = answer
        return answer

    async def _serve(self) -> None:
        while True:
            await self._has_work.wait()
            batch = self._take_batch()
            if not batch:
                self._has_work.clear()
                continue
            await self._compute(batch)

    def _take_batch(self) -> list[tuple[bytes, Question]]:
        """Take the next questions of one model, urgent ones first."""
        batch: list[tuple[bytes, Question]] = []
        for queue in (self._urgent, self._prefetched):
            passed: list[tuple[bytes, Question]] = []
            while queue and len(batch) < WINDOWS_MAX:
                entry = queue.popleft()
                key, (model_id, _) = entry
                if key in self._started or key not in self._answers:
                    continue
                if batch and batch[0][1][0] != model_id:
                    passed.append(entry)
                    continue
                self._started.add(key)
                batch.append(entry)
            queue.extendleft(reversed(passed))
        return batch

    async def _compute(self, batch: list[tuple[bytes, Question]]) -> None:
        assert self._predictor is not None, "questions are refused without a predictor"
        model_id = batch[0][1][0]
        try:
            outputs = await self._predictor.predict(model_id, [item[1][1] for item in batch])
        except Unavailable as error:
            for key, _ in batch:
                self._settle(key, error)
        except InvalidInput as error:
            # The ledger has checked these inputs against the registry; that our worker refuses
            # them is no fault of the block that uses them.
            refused = Unavailable(Code.PREDICTION_MISSING, f"the worker refuses: {error.message}")
            for key, _ in batch:
                self._settle(key, refused)
        except asyncio.CancelledError:
            for key, _ in batch:
                self._settle(key, Unavailable(Code.WORKER_DOWN, "the node is stopping"))
            raise
        else:
            for (key, _), output in zip(batch, outputs, strict=True):
                self.cache.put(key, output)
                self._settle(key, output)

    def _settle(self, key: bytes, result: tuple[int, ...] | AndonError) -> None:
        self._started.discard(key)
        answer = self._answers.pop(key)
        if answer is None or answer.done():
            return
        if isinstance(result, tuple):
            answer.set_result(result)
        else:
            answer.set_exception(result)
            answer.exception()  # Prefetched questions have nobody who would look at it.
