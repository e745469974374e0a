"""Chaos: a seed becomes a plan of faults and decisions, played on real processes and checked."""

from node.testing.chaos.acts import Act, Deed
from node.testing.chaos.audit import NodeChain, read_chain
from node.testing.chaos.checkers import Acknowledged, check
from node.testing.chaos.plan import ChaosPlan, Fault, Verb, draw_plan, parse_plan
from node.testing.chaos.run import Report, run_plan
from node.testing.chaos.soak import draw_soak

__all__ = [
    "Acknowledged",
    "Act",
    "ChaosPlan",
    "Deed",
    "Fault",
    "NodeChain",
    "Report",
    "Verb",
    "check",
    "draw_plan",
    "draw_soak",
    "parse_plan",
    "read_chain",
    "run_plan",
]
