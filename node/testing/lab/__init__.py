"""The storage lab: real stores under kill -9 and under damage of the medium."""

from node.testing.lab.certified import CertifiedChain
from node.testing.lab.chain import LabChain
from node.testing.lab.kill import Cycles, run_cycles
from node.testing.lab.rot import (
    Damage,
    Outcome,
    Specimen,
    damaged_copy,
    make_specimen,
    try_damage,
)

__all__ = [
    "CertifiedChain",
    "Cycles",
    "Damage",
    "LabChain",
    "Outcome",
    "Specimen",
    "damaged_copy",
    "make_specimen",
    "run_cycles",
    "try_damage",
]
