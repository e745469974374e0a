"""Methods that the ledger starts itself: `@scheduled(every=...)`, at the end of a block.

What is due runs in the order of height, contract and method, each with its own gas bound; what
does not fit into one block stays due. A failure undoes the run, leaves a receipt, and the method
runs again a period later. No exact model is asked: its output would have to be at hand before the
leader knows the block, so a scheduled method calls `request` instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from andon.core.codec import Value, decode_value, encode_value
from andon.core.hashing import Digest, Domain, digest
from andon.core.state_key import state_key, state_prefix
from consensus.ledger.host import CONTRACTS, LedgerHost
from consensus.ledger.native_call import Refused
from consensus.ledger.ports import Schedule

SCHEDULES_MAX = 64
"""Scheduled methods of a chain."""

SCHEDULES_PER_CONTRACT_MAX = 8
RUNS_PER_BLOCK_MAX = 8
RUN_GAS_MAX = 5_000_000
"""Gas of one run; with RUNS_PER_BLOCK_MAX a tenth of what transactions may take by default."""

_PREFIX = state_prefix(CONTRACTS, "scheduled")


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A method that is to run; ordered by how long it has waited."""

    height: int
    contract: str
    method: str
    every: int


def write_schedule(host: LedgerHost, contract: str, scheduled: tuple[Schedule, ...]) -> None:
    """Replace what is scheduled for a contract; known methods with the same period keep their turn.

    Raises:
        Refused: E_SIZE above SCHEDULES_MAX or SCHEDULES_PER_CONTRACT_MAX.
    """
    before = read_schedule(host)
    known = {(item.method, item.every): item.height for item in before if item.contract == contract}
    others = len([item for item in before if item.contract != contract])
    too_many = len(scheduled) > SCHEDULES_PER_CONTRACT_MAX
    if too_many or others + len(scheduled) > SCHEDULES_MAX:
        raise Refused(
            "E_SIZE",
            f"at most {SCHEDULES_PER_CONTRACT_MAX} scheduled methods a contract, "
            f"{SCHEDULES_MAX} a chain",
        )
    for item in before:
        if item.contract == contract:
            host.write(_key(item.contract, item.method), None)
    for entry in scheduled:
        height = known.get((entry.method, entry.every), host.height + entry.every)
        _write(host, Due(height, contract, entry.method, entry.every))


def read_schedule(host: LedgerHost) -> list[Due]:
    """Give all scheduled methods in the order in which they run."""
    found: list[Due] = []
    for full, raw in host.iterate(_PREFIX, None, SCHEDULES_MAX):
        key, value = decode_value(full[len(_PREFIX) :]), decode_value(raw)
        assert isinstance(key, tuple) and isinstance(value, list), "written by `_write`"  # noqa: PT018
        (contract, method), (height, every) = key, value
        assert isinstance(contract, str) and isinstance(method, str)  # noqa: PT018 - as above
        assert isinstance(height, int) and isinstance(every, int)  # noqa: PT018 - as above
        found.append(Due(height, contract, method, every))
    return sorted(found)


def due(host: LedgerHost) -> list[Due]:
    """Give what runs in this block: due, not paused, at most RUNS_PER_BLOCK_MAX."""
    waiting = [item for item in read_schedule(host) if item.height <= host.height]
    return [item for item in waiting if not host.is_paused(item.contract)][:RUNS_PER_BLOCK_MAX]


def advance(host: LedgerHost, item: Due) -> None:
    """Set the next turn of a method that has run."""
    _write(host, Due(host.height + item.every, item.contract, item.method, item.every))


def run_id(chain_id: str, height: int, item: Due) -> Digest:
    """Give the id that stands for a transaction id in the receipt of a run."""
    named: Value = [chain_id, height, item.contract, item.method]
    return digest(Domain.SCHEDULED, encode_value(named))


def _write(host: LedgerHost, item: Due) -> None:
    value: Value = [item.height, item.every]
    host.write(_key(item.contract, item.method), encode_value(value))


def _key(contract: str, method: str) -> bytes:
    return state_key(CONTRACTS, "scheduled", (contract, method))
