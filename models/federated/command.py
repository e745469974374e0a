"""What the CLI calls, by plain values: it loads this module only when it is needed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from msgspec.structs import replace

from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput
from models.federated import privacy, robust
from models.federated.journal import open_journal
from models.federated.plan import parse_plan
from models.federated.plant import Plant
from models.federated.ring import HEADROOM
from models.federated.service import Ledger, Report, run_plant, run_validator
from models.federated.strategies import (
    ONE,
    Strategy,
    check_strategy,
    fed_adaptive,
    fed_avg,
    fed_avg_momentum,
    initial_state,
    model_from_fine,
    model_to_fine,
    scaffold,
    state_digest,
    state_from_bytes,
    state_to_bytes,
    vector_length,
)
from models.federated.trained import Train
from models.federated.validation import Validation, make_scorer, validation_to_bytes

SCALE_BITS = 16
FINE_BITS = SCALE_BITS + robust.FINE_BITS
"""Of a run with the default scale."""
DELTA = 1e-5
WEIGHTS_MAX = 255
ADAPTIVE_RATE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner of a run chooses; the contract checks it.

    `data` names the dataset version by its digest in hex; a `cohort` of 0 is the smallest that the
    rule can work with. `validation` is a function that makes what models are scored on; the run
    ends at a score of `target`, after `stale` rounds without a better one, or before it owes more
    than `budget` units of the token at `reward` a counted update; 0 and None are no rule. A round
    whose score is worse by more than `tolerance` is rolled back. Models wander in `routes` rounds
    before each one that averages. `sizes` are records of members; a member without has weight 1.
    In mode `grouped` the members form `groups`, by turns in the order of their accounts. An element
    of an update is at most `limit`, its norm `norm_limit`, in steps of 2^-`scale_bits`.
    """

    mode: str = "full"
    groups: int = 2
    rule: str = "mean"
    tolerated: int = 0
    rounds: int = 5
    patience: int = 30
    epsilon: float = 0.0
    tolerance: int = 0
    contributions: bool = False
    data: str = ""
    cohort: int = 0
    target: int | None = None
    stale: int = 0
    reward: int = 0
    budget: int = 0
    reliability: int = 0
    routes: int = 0
    validation: str = ""
    root: bytes | None = None
    sizes: Mapping[bytes, int] = field(default_factory=dict)
    strategy: str = "average"
    server_rate: float | None = None
    momentum: float = 0.9
    second_decay: float = 0.99
    floor: float = 1e-3
    scale_bits: int = SCALE_BITS
    limit: float = 16.0
    norm_limit: float = 64.0

    @property
    def fine_bits(self) -> int:
        """Of the global model."""
        return self.scale_bits + robust.FINE_BITS


async def create_run(
    ledger: Ledger, run: str, members: Sequence[bytes], initial: str, terms: Terms
) -> int:
    """Put a run on the ledger that starts from the weights `initial` (`module:function`) gives.

    Gives the number of parameters.

    Raises:
        InvalidInput: NOT_FOUND without such a function; what the contract refuses.
    """
    weights = np.asarray(_load(initial, "initial weights")(), np.float32)
    start = initial_state(model_to_fine(weights, terms.fine_bits))
    judge, score = b"", None
    if terms.validation:
        made = cast("Validation", _load(terms.validation, "validation")())
        score = make_scorer(made, len(weights), terms.fine_bits)(start.model)
        judge = await ledger.publish(validation_to_bytes(made))
    blob = await ledger.publish(state_to_bytes(start))
    place = (state_digest(start), blob, judge)
    await ledger.send(
        "create", run_arguments(run, members, len(weights), place, terms, score=score)
    )
    return len(weights)


def run_arguments(
    run: str,
    members: Sequence[bytes],
    parameters: int,
    blobs: tuple[bytes, bytes, bytes],
    terms: Terms,
    *,
    score: int | None = None,
) -> dict[str, Value]:
    """The arguments of the contract's `create`.

    `blobs` are digest and blob of the first state, and the blob of the validation set or nothing;
    `score` is that of the first state on it, so that even the first round can be rolled back.

    Raises:
        InvalidInput: BAD_ARGUMENTS for a strategy, a size or an epsilon that cannot be.
    """
    unit = 1 << terms.scale_bits
    limit = max(1, round(terms.limit * unit))
    weights = weights_of(members, terms.sizes, (HEADROOM - 1) // (len(members) * limit))
    groups = max(1, terms.groups) if terms.mode == "grouped" else 1
    rows: list[Value] = [[n, k % groups, weights[n]] for k, n in enumerate(sorted(members))]
    strategy = strategy_of(terms)
    step: list[Value] = [
        strategy.name, strategy.rate, strategy.first_decay, strategy.second_decay, strategy.floor
    ]  # fmt: skip
    recipe: dict[Key, Value] = {
        "rule": terms.rule,
        "tolerated": terms.tolerated,
        "strategy": step,
        "contributions": terms.contributions,
    }
    if terms.root is not None:
        recipe["root"] = terms.root
    if blobs[2]:
        recipe["validation"] = blobs[2]
    return {
        "run": run,
        "members": rows,
        "mode": terms.mode,
        "elements": vector_length(strategy, parameters),
        "encoding": [
            terms.scale_bits, limit, max(1, round(terms.norm_limit * unit)), max(weights.values())
        ],
        "recipe": recipe,
        "state": blobs[0],
        "blob": blobs[1],
        "patience": terms.patience,
        "rounds_max": terms.rounds,
        "rho_budget": privacy.budget_micro_rho(terms.epsilon, DELTA) if terms.epsilon else 0,
        "tolerance": terms.tolerance,
        "conditions": {**_conditions(terms), "score": score},
    }  # fmt: skip


def weights_of(
    members: Sequence[bytes], sizes: Mapping[bytes, int], weight_max: int
) -> dict[bytes, int]:
    """Public weights in proportion to the members' records, within what a sum can hold.

    Raises:
        InvalidInput: BAD_ARGUMENTS for a size below one, or sizes of some members alone.
    """
    if not sizes:
        return dict.fromkeys(members, 1)
    if set(sizes) != set(members) or min(sizes.values()) < 1:
        raise InvalidInput(
            Code.BAD_ARGUMENTS,
            "weights by size need the number of records of every member",
            hint="give each member as KEY=RECORDS, or all without",
        )
    largest, most = max(sizes.values()), min(WEIGHTS_MAX, weight_max)
    if largest > most:
        return {name: max(1, size * most // largest) for name, size in sizes.items()}
    return dict(sizes)


def strategy_of(terms: Terms) -> Strategy:
    """The server's step that the terms name.

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    rate = terms.server_rate
    match terms.strategy:
        case "average":
            found = replace(fed_avg(), rate=round((1.0 if rate is None else rate) * ONE))
        case "momentum":
            found = fed_avg_momentum(1.0 if rate is None else rate, terms.momentum)
        case "scaffold":
            found = scaffold(1.0 if rate is None else rate)
        case "adagrad" | "adam" | "yogi":
            found = fed_adaptive(
                terms.strategy,
                rate=ADAPTIVE_RATE if rate is None else rate,
                fine_bits=terms.fine_bits,
                floor=terms.floor,
                first_decay=terms.momentum,
                second_decay=terms.second_decay,
            )
        case _:
            raise InvalidInput(Code.BAD_ARGUMENTS, f"there is no strategy {terms.strategy[:20]!r}")
    check_strategy(found)
    return found


def _conditions(terms: Terms) -> dict[Key, Value]:
    try:
        data = bytes.fromhex(terms.data.removeprefix("0x"))
    except ValueError:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"{terms.data!r} is not a digest in hex") from None
    # More than half of the updates are honest, the root's aside; of three no sum shows one.
    least = 2 * terms.tolerated + (1 if terms.root is None else 2)
    return {
        "data": data,
        "cohort_min": terms.cohort or max(3, least),
        "target": terms.target,
        "stale_max": terms.stale,
        "reward": terms.reward,
        "budget": terms.budget,
        "reliability_min": terms.reliability,
        "routes": terms.routes,
    }


async def fetch_model(ledger: Ledger, run: str) -> tuple[bytes, str]:
    """Give the run's present weights as an `.npy` file of float32, and the digest on the ledger.

    Raises:
        InvalidInput: NOT_FOUND without such a run, DIGEST_MISMATCH if the blob is another state.
    """
    plan = await ledger.state("runs", run)
    if not isinstance(plan, dict):
        raise InvalidInput(Code.NOT_FOUND, f"there is no run {run}")
    blob, digest = plan["blob"], plan["state"]
    assert isinstance(blob, bytes)
    assert isinstance(digest, bytes)
    state = state_from_bytes(await ledger.blob(blob))
    if state_digest(state) != digest:
        raise InvalidInput(Code.DIGEST_MISMATCH, "the blob is not the state of the run")
    file = io.BytesIO()
    scale_bits = parse_plan(ledger.chain_id, run, plan).encoding.scale_bits
    np.save(file, model_from_fine(state.model, scale_bits + robust.FINE_BITS))
    return file.getvalue(), digest.hex()


async def take_part(
    ledger: Ledger, run: str, account: bytes, *, folder: Path, train: str, report: Report
) -> str:
    """Run a plant whose training is `train`, given as `module:function`, until the run ends.

    Raises:
        Unavailable: LOCKED while another process takes part with the same folder.
    """
    with open_journal(folder) as journal:
        plant = Plant(account, journal, load_train(train))
        return await run_plant(ledger, run, account, plant, report)


async def recompute_rounds(ledger: Ledger, run: str, account: bytes, *, report: Report) -> str:
    """Recompute, score and attest every round as a validator."""
    return await run_validator(ledger, run, account, report=report)


def load_train(name: str) -> Train:
    """Load the plant's own training function, `(model f32[d], round) -> Trained`.

    Raises:
        InvalidInput: NOT_FOUND when there is no such function.
    """
    return cast("Train", _load(name, "training"))


def _load(name: str, what: str) -> Callable[..., object]:
    module_name, _, function_name = name.partition(":")
    try:
        found: Callable[..., object] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError):
        raise InvalidInput(
            Code.NOT_FOUND,
            f"there is no {what} function {name}",
            hint="give module:function, importable from where you start andon",
        ) from None
    return found
