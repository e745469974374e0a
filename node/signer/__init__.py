"""The key that votes, and its memory: a second, independent guard of rules R6 to R8."""

from node.signer.file import SignStateFile
from node.signer.file_signer import FileSigner
from node.signer.state import ENTRIES_MAX, SignState, SlotRecord, decide, raise_floor, votes_of

__all__ = [
    "ENTRIES_MAX",
    "FileSigner",
    "SignState",
    "SignStateFile",
    "SlotRecord",
    "decide",
    "raise_floor",
    "votes_of",
]
