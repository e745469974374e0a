"""The second opinion on the contract engine: generated programs, CPython, and a plain walker.

For tests and the long run of `make oracle` only; no node imports it.
"""

from node.testing.oracle.compare import Differs, compare
from node.testing.oracle.programs import Program, integer_program, value_program
from node.testing.oracle.walker import Stopped, by_walker

__all__ = [
    "Differs",
    "Program",
    "Stopped",
    "by_walker",
    "compare",
    "integer_program",
    "value_program",
]
