"""What the CLI calls, by plain values: it loads this module only when it is needed."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput
from models.federated import privacy, robust
from models.federated.journal import Journal
from models.federated.plant import Plant
from models.federated.service import Ledger, Report, run_plant, run_validator
from models.federated.strategies import (
    ONE,
    initial_state,
    model_from_fine,
    model_to_fine,
    state_digest,
    state_from_bytes,
    state_to_bytes,
)
from models.federated.trained import Floats, Train

SCALE_BITS = 16
FINE_BITS = SCALE_BITS + robust.FINE_BITS
LIMIT, NORM_LIMIT = 1 << 20, 1 << 22
"""An element of an update is at most 16, its norm at most 64; both in units of 2^-16."""
DELTA = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner of a run chooses; the contract checks it.

    `data` names the dataset version by its digest in hex; a `cohort` of 0 is the smallest that the
    rule can work with. The run ends at a score of `target`,
    after `stale` rounds without a better one, or before it owes more than `budget` units of the
    token at `reward` a counted update; 0 and None are no rule. Models wander in `routes` rounds
    before each one that averages. In mode `grouped` the members form `groups`, by turns in the
    order of their accounts.
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


async def create_run(
    ledger: Ledger, run: str, members: Sequence[bytes], initial: str, terms: Terms
) -> int:
    """Put a run on the ledger that starts from the weights `initial` (`module:function`) gives.

    Gives the number of parameters.

    Raises:
        InvalidInput: NOT_FOUND without such a function; what the contract refuses.
    """
    weights = np.asarray(_load(initial, "initial weights")(), np.float32)
    start = initial_state(model_to_fine(weights, FINE_BITS))
    blob = await ledger.publish(state_to_bytes(start))
    arguments = run_arguments(run, members, len(weights), (state_digest(start), blob), terms)
    await ledger.send("create", arguments)
    return len(weights)


def run_arguments(
    run: str,
    members: Sequence[bytes],
    elements: int,
    start: tuple[bytes, bytes],
    terms: Terms,
) -> dict[str, Value]:
    """The arguments of the contract's `create`; `start` is digest and blob of the first state."""
    groups = max(1, terms.groups) if terms.mode == "grouped" else 1
    rows: list[Value] = [[name, k % groups, 1] for k, name in enumerate(sorted(members))]
    strategy: list[Value] = ["average", ONE, 0, 0, 0]
    recipe: dict[Key, Value] = {
        "rule": terms.rule,
        "tolerated": terms.tolerated,
        "strategy": strategy,
        "contributions": terms.contributions,
    }
    rho = privacy.budget_micro_rho(terms.epsilon, DELTA) if terms.epsilon else 0
    return {
        "run": run,
        "members": rows,
        "mode": terms.mode,
        "elements": elements,
        "encoding": [SCALE_BITS, LIMIT, NORM_LIMIT, 1],
        "recipe": recipe,
        "state": start[0],
        "blob": start[1],
        "patience": terms.patience,
        "rounds_max": terms.rounds,
        "rho_budget": rho,
        "tolerance": terms.tolerance,
        "conditions": _conditions(terms),
    }


def _conditions(terms: Terms) -> dict[Key, Value]:
    try:
        data = bytes.fromhex(terms.data.removeprefix("0x"))
    except ValueError:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"{terms.data!r} is not a digest in hex") from None
    return {
        "data": data,
        # More than half of the updates are honest; three at least, or a sum shows single ones.
        "cohort_min": terms.cohort or max(3, 2 * terms.tolerated + 1),
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
    np.save(file, np.asarray(model_from_fine(state.model, FINE_BITS), np.float32))
    return file.getvalue(), digest.hex()


async def take_part(
    ledger: Ledger, run: str, account: bytes, *, folder: Path, train: str, report: Report
) -> str:
    """Run a plant whose training is `train`, given as `module:function`, until the run ends."""
    plant = Plant(account, Journal(folder), load_train(train))
    return await run_plant(ledger, run, account, plant, report)


async def recompute_rounds(ledger: Ledger, run: str, account: bytes, *, report: Report) -> str:
    """Recompute and attest every round as a validator, without a score gate."""
    return await run_validator(ledger, run, account, scorer=None, report=report)


def load_train(name: str) -> Train:
    """Load the plant's own training function, `(model f32[d], round) -> Trained`.

    Raises:
        InvalidInput: NOT_FOUND when there is no such function.
    """
    return cast("Train", _load(name, "training"))


def _load(name: str, what: str) -> Callable[..., Floats]:
    module_name, _, function_name = name.partition(":")
    try:
        found: Callable[..., Floats] = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError):
        raise InvalidInput(
            Code.NOT_FOUND,
            f"there is no {what} function {name}",
            hint="give module:function, importable from where you start andon",
        ) from None
    return found
