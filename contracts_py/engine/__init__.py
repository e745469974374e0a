"""The contract engine: checks sources, executes calls, meters exactly.

The door of the room; the language is described in docs/contracts.md.
"""

from contracts_py.engine.contract import Contract
from contracts_py.engine.engine import Engine
from contracts_py.engine.faults import ContractRefused
from contracts_py.engine.gas import SCHEDULE
from contracts_py.engine.limits import DEFAULT_LIMITS, Limits
from contracts_py.engine.ports import (
    Context,
    Failure,
    Host,
    Mode,
    Outcome,
    Prediction,
    PredictionFailed,
)
from contracts_py.engine.profile import LineGas, Profile

__all__ = [
    "DEFAULT_LIMITS",
    "SCHEDULE",
    "Context",
    "Contract",
    "ContractRefused",
    "Engine",
    "Failure",
    "Host",
    "Limits",
    "LineGas",
    "Mode",
    "Outcome",
    "Prediction",
    "PredictionFailed",
    "Profile",
]
