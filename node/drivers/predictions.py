"""Outputs of exact models for this node: a bounded cache, and batched questions to the worker.

Only outputs that our own worker computed enter the cache; what a proposer claims never does. A
cold cache gives the same blocks as a warm one, later.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from andon.core.block import PredictionOutput
from andon.core.errors import AndonError, Code, InvalidInput, Unavailable
from andon.core.hashing import Digest
from andon.core.model import input_digest, input_digests
from andon.core.worker import WINDOWS_MAX
from consensus.ledger import PredictionUnavailable

CACHE_COUNT_MAX = 200_000
GENERATION_BLOCKS = 512
"""More than a transaction waits in a pool that is not stuck."""
PREFETCH_COUNT_MAX = 65_536
BATCHES_IN_FLIGHT = 2
"""One computes while the next is on its way."""
GATHER_S = 0.025
"""After a batch was begun prefetched questions wait so long for company: a question alone costs a
call of the worker, some 200 us in both processes, and a call costs the same with many. Blocks are
twice as far apart, and whoever makes one ends the wait."""

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
    """Computed outputs by input digest, which covers the model; the older half leaves at once.

    Two generations of plain tables: an order of entries, and to let them go one by one, costs as
    much for each as all else that is done with it here.
    The event loop writes; the execution thread reads.
    """

    def __init__(self, count_max: int = CACHE_COUNT_MAX) -> None:
        self._outputs: dict[bytes, tuple[int, ...]] = {}
        self._older: dict[bytes, tuple[int, ...]] = {}
        self._generation_max = max(1, count_max // 2)
        self._turned_height = 0

    def __len__(self) -> int:
        return len(self._outputs) + len(self._older)

    def get(self, key: bytes) -> tuple[int, ...] | None:
        """Give the output for an input digest."""
        found = self._outputs.get(key)
        return self._older.get(key) if found is None else found

    def get_all(self, keys: Sequence[bytes]) -> list[tuple[int, ...] | None]:
        """Do as `get` for each."""
        found = list(map(self._outputs.get, keys))
        return list(map(self.get, keys)) if None in found else found

    def has_any(self, keys: Sequence[bytes]) -> bool:
        """Tell whether at least one of these outputs is there."""
        return not (self._outputs.keys().isdisjoint(keys) and self._older.keys().isdisjoint(keys))

    def put(self, key: bytes, output: tuple[int, ...]) -> None:
        """Remember an output."""
        self.put_all((key,), (output,))

    def put_all(self, keys: Sequence[bytes], outputs: Sequence[tuple[int, ...]]) -> None:
        """Remember the outputs under these keys, in order."""
        for start in range(0, len(keys), self._generation_max):
            part = slice(start, start + self._generation_max)
            if len(self._outputs) + len(keys[part]) > self._generation_max:
                self._turn()
            self._outputs.update(zip(keys[part], outputs[part], strict=True))

    def age(self, height: int) -> None:
        """Let what is older than two times `GENERATION_BLOCKS` go, now that there is this block.

        Or a node under a small steady load would fill it for an hour with what is final.
        """
        if height >= self._turned_height + GENERATION_BLOCKS:
            self._turned_height = height
            self._turn()

    def _turn(self) -> None:
        # In this order: whoever reads between the two finds all that is kept.
        self._older = self._outputs
        self._outputs = {}

    def output(self, model_id: bytes, window: bytes, digest: bytes) -> tuple[int, ...]:
        """Be the `PredictionSource` of blocks that this node builds."""
        found = self.get(digest)
        if found is None:
            raise PredictionUnavailable(model_id, window)
        return found


def cache_keys(questions: Sequence[Question]) -> list[Digest]:
    """Name predictions by their input digests; many of one model cost less each."""
    if not questions:
        return []
    model_id = questions[0][0]
    if any(question[0] != model_id for question in questions):
        return [input_digest(*question) for question in questions]
    return input_digests(model_id, [window for _, window in questions])


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


@dataclass(slots=True)
class _Batch:
    """Questions of one model, with the keys of their outputs."""

    model_id: bytes
    keys: list[bytes]
    windows: list[bytes]


class PredictionService:
    """Asks the worker in batches; questions that are already on their way are shared.

    What is done for every prediction of a large block is done for whole batches, without a frame
    or a future for each: `_answers` has None for a question until somebody waits for it.
    """

    def __init__(self, predictor: Predictor | None, cache: PredictionCache | None = None) -> None:
        self._predictor = predictor
        self.cache = cache or PredictionCache()
        self._answers: dict[bytes, asyncio.Future[tuple[int, ...]] | None] = {}
        self._started: set[bytes] = set()
        self._urgent: deque[_Batch] = deque()
        self._prefetched: deque[_Batch] = deque()
        self._prefetched_count = 0
        self._has_work = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._begun_s = -GATHER_S

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
        self, questions: Sequence[Question], keys: Sequence[bytes] | None = None
    ) -> list[tuple[int, ...]]:
        """Give all outputs, from the cache or the worker, ahead of prefetched questions.

        `keys` are those of `cache_keys`, from a caller that has them.

        Raises:
            Unavailable: WORKER_DOWN, or PREDICTION_MISSING if the worker refuses an input.
        """
        if self._predictor is None:
            raise Unavailable(Code.WORKER_DOWN, "this node runs no prediction worker")
        if keys is None:
            keys = cache_keys(questions)
        found = self.cache.get_all(keys)
        missing = [place for place, output in enumerate(found) if output is None]
        if missing:
            for part in _batches([questions[at] for at in missing], [keys[at] for at in missing]):
                # They may wait among the prefetched ones; whichever copy is taken first counts.
                self._urgent.append(part)
            waiting = [self._answer(keys[at]) for at in missing]
            self._has_work.set()
            self._is_urgent.set()
            for at, answer in zip(missing, waiting, strict=True):
                found[at] = await asyncio.shield(answer)
        return [output for output in found if output is not None]

    async def check(
        self, height: int, claims: Sequence[PredictionOutput], questions: Sequence[Question]
    ) -> None:
        """Compare what a block claims with our own outputs; raises as `fetch`, `check_output`."""
        keys = [claim.input_digest for claim in claims]
        outputs = await self.fetch(questions, keys)
        if outputs == [claim.output for claim in claims]:
            return
        for claim, computed, (_, window) in zip(claims, outputs, questions, strict=True):
            check_output(height, claim, computed, window)

    def prefetch(self, questions: Sequence[Question]) -> None:
        """Ask for outputs that will be needed; drops what does not fit the bound."""
        if self._predictor is None:
            return
        questions = questions[: max(0, PREFETCH_COUNT_MAX - self._prefetched_count)]
        answers, keys = self._answers, cache_keys(questions)
        if self.cache.has_any(keys) or not answers.keys().isdisjoint(keys):
            known = self.cache.get
            places = [at for at, key in enumerate(keys) if key not in answers and not known(key)]
            questions, keys = [questions[at] for at in places], [keys[at] for at in places]
        # Nobody waits for them yet; who does makes the future.
        answers.update(dict.fromkeys(keys))
        self._prefetched.extend(_batches(questions, keys))
        self._prefetched_count += len(keys)
        if self._prefetched:
            self._has_work.set()

    async def hurry(self, limit_s: float) -> None:
        """End the wait for company, and wait for what was prefetched until now, `limit_s` at most.

        Before a block is made: what it lacks would be asked for by a dry run, and all of the block
        be made again.
        """
        if not self._answers:
            return
        newest = self._answer(next(reversed(self._answers)))
        self._has_work.set()
        self._is_urgent.set()
        with contextlib.suppress(TimeoutError, AndonError):
            async with asyncio.timeout(limit_s):
                await asyncio.shield(newest)

    def _answer(self, key: bytes) -> asyncio.Future[tuple[int, ...]]:
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = asyncio.get_running_loop().create_future()
        return answer

    async def _serve(self) -> None:
        while True:
            await self._has_work.wait()
            await self._gather()
            batch = self._take_batch()
            if not self._urgent and not self._prefetched:
                self._is_urgent.clear()
            if batch is None:
                self._has_work.clear()
                continue
            self._begun_s = asyncio.get_running_loop().time()
            await self._compute(batch)

    async def _gather(self) -> None:
        """Let prefetched questions wait for company; an urgent one, or enough of them, ends it."""
        rest_s = self._begun_s + GATHER_S - asyncio.get_running_loop().time()
        if rest_s <= 0 or self._is_urgent.is_set() or self._prefetched_count >= WINDOWS_MAX:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(rest_s):
                await self._is_urgent.wait()

    def _take_batch(self) -> _Batch | None:
        """Take the next questions of one model, urgent ones first."""
        batch: _Batch | None = None
        for queue in (self._urgent, self._prefetched):
            passed: list[_Batch] = []
            while queue and (batch is None or len(batch.keys) < WINDOWS_MAX):
                part = queue.popleft()
                if queue is self._prefetched:
                    self._prefetched_count -= len(part.keys)
                part = self._unanswered(part)
                if not part.keys:
                    continue
                if batch is None:
                    batch = _Batch(part.model_id, [], [])
                if batch.model_id == part.model_id:
                    room = WINDOWS_MAX - len(batch.keys)
                    self._started.update(part.keys[:room])
                    batch.keys += part.keys[:room]
                    batch.windows += part.windows[:room]
                    part = _Batch(part.model_id, part.keys[room:], part.windows[room:])
                if part.keys:
                    passed.append(part)
                    if queue is self._prefetched:
                        self._prefetched_count += len(part.keys)
            queue.extendleft(reversed(passed))
        return batch

    def _unanswered(self, part: _Batch) -> _Batch:
        """Leave out what another copy was taken for, or has brought an answer for since."""
        answers, started, keys = self._answers, self._started, part.keys
        is_fresh = all(map(answers.__contains__, keys)) and len(set(keys)) == len(keys)
        if is_fresh and started.isdisjoint(keys):
            return part
        fresh = {
            key: window
            for key, window in zip(keys, part.windows, strict=True)
            if key in answers and key not in started
        }
        return _Batch(part.model_id, list(fresh), list(fresh.values()))

    async def _compute(self, batch: _Batch) -> None:
        assert self._predictor is not None, "questions are refused without a predictor"
        try:
            outputs = await self._predictor.predict(batch.model_id, batch.windows)
        except Unavailable as error:
            self._fail(batch.keys, error)
        except InvalidInput as error:
            # The ledger has checked these inputs against the registry; that our worker refuses
            # them is no fault of the block that uses them.
            refused = Unavailable(Code.PREDICTION_MISSING, f"the worker refuses: {error.message}")
            self._fail(batch.keys, refused)
        except asyncio.CancelledError:
            self._fail(batch.keys, Unavailable(Code.WORKER_DOWN, "the node is stopping"))
            raise
        else:
            self.cache.put_all(batch.keys, outputs)
            answers = self._end(batch.keys)
            if any(answers):
                for answer, output in zip(answers, outputs, strict=True):
                    if answer is not None and not answer.done():
                        answer.set_result(output)

    def _fail(self, keys: list[bytes], error: AndonError) -> None:
        for answer in self._end(keys):
            if answer is not None and not answer.done():
                answer.set_exception(error)
                answer.exception()  # Whoever asked may be gone, and nobody would look at it.

    def _end(self, keys: list[bytes]) -> list[asyncio.Future[tuple[int, ...]] | None]:
        self._started.difference_update(keys)
        return list(map(self._answers.pop, keys))


def _batches(questions: Sequence[Question], keys: Sequence[bytes]) -> list[_Batch]:
    """Part questions by model, in the order in which the models come first."""
    found: dict[bytes, _Batch] = {}
    for (model_id, window), key in zip(questions, keys, strict=True):
        part = found.get(model_id)
        if part is None:
            part = found[model_id] = _Batch(model_id, [], [])
        part.keys.append(key)
        part.windows.append(window)
    return list(found.values())
