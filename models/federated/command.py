"""What the CLI calls, by plain values: it loads this module only when it is needed."""

from __future__ import annotations

import importlib
from pathlib import Path

from andon.core.errors import Code, InvalidInput
from models.federated.journal import Journal
from models.federated.plant import Plant, Train
from models.federated.service import Ledger, Report, run_plant, run_validator


async def take_part(
    ledger: Ledger, run: str, account: bytes, *, folder: Path, train: str, report: Report
) -> str:
    """Run a plant whose training is `train`, given as `module:function`, until the run ends."""
    plant = Plant(account, Journal(folder), load_train(train))
    return await run_plant(ledger, run, account, plant, report)


async def recompute_rounds(ledger: Ledger, run: str, *, report: Report) -> str:
    """Recompute and attest every round as a validator, without a score gate."""
    return await run_validator(ledger, run, scorer=None, report=report)


def load_train(name: str) -> Train:
    """Load the plant's own training function, `(model f32[d], round) -> Trained`.

    Raises:
        InvalidInput: NOT_FOUND when there is no such function.
    """
    module_name, _, function_name = name.partition(":")
    try:
        found: Train = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError):
        raise InvalidInput(
            Code.NOT_FOUND,
            f"there is no training function {name}",
            hint="--train module:function, importable from where you start andon",
        ) from None
    return found
