"""The storage lab: real stores under kill -9 and under damage of the medium."""

from node.testing.lab.certified import CertifiedChain
from node.testing.lab.chain import LabChain
from node.testing.lab.kill import Cycles, run_cycles
from node.testing.lab.memories import Harm, Memory, make_memories, spoiled, try_memory
from node.testing.lab.power import Losses, record, run_images
from node.testing.lab.refusals import (
    Refusal,
    can_mount,
    draw_refusal,
    run_full_disk,
    run_refusal,
)
from node.testing.lab.repair import Repair, repair
from node.testing.lab.rot import (
    Damage,
    Outcome,
    Specimen,
    damaged_copy,
    make_specimen,
    try_damage,
)
from node.testing.lab.trace import is_traceable

__all__ = [
    "CertifiedChain",
    "Cycles",
    "Damage",
    "Harm",
    "LabChain",
    "Losses",
    "Memory",
    "Outcome",
    "Refusal",
    "Repair",
    "Specimen",
    "can_mount",
    "damaged_copy",
    "draw_refusal",
    "is_traceable",
    "make_memories",
    "make_specimen",
    "record",
    "repair",
    "run_cycles",
    "run_full_disk",
    "run_images",
    "run_refusal",
    "spoiled",
    "try_damage",
    "try_memory",
]
