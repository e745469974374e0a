"""Gas schedule 1: what every operation costs. One gas is about 1.7 ns of one core.

Costs of syntax are static and charged before a straight run of statements; costs that depend on
sizes are charged in the operation, before its work. `scripts/bench/bench_contracts.py` prints how
far the table is from measured time. A change of any number is a new schedule, because two nodes
with different tables disagree about receipts.
"""

from __future__ import annotations

from typing import Final

SCHEDULE: Final = 1

CONSTANT: Final = 14
LOCAL: Final = 20
UNARY: Final = 30
BINARY: Final = 40
COMPARE: Final = 24
BOOLEAN: Final = 20
CHOICE: Final = 24
DISPLAY: Final = 120
ITEM: Final = 32
SUBSCRIPT: Final = 90
SLICE: Final = 120
METHOD: Final = 170
BUILTIN: Final = 100
CALL: Final = 240
ARGUMENT: Final = 20
STATEMENT: Final = 20
ITERATION: Final = 60
STORE: Final = 30
CONTEXT: Final = 40
TEXT: Final = 200

STATE_READ: Final = 500
STATE_WRITE: Final = 800
STATE_ITERATE: Final = 1_000
STATE_ENTRY: Final = 400
STATE_BYTE: Final = 3
STATE_NODE_BYTE: Final = 24
"""One byte of a list or dict read from state: most are single small values."""

FRESH: Final = 60
"""A text or bytes made by an operation, beside its length."""

DECIMAL: Final = 180
SORT: Final = 500
COLLECT: Final = 110
"""One element of a list comprehension that is kept."""

EVENT: Final = 800
EXTERNAL_CALL: Final = 4_000
ENTER: Final = 800
SOURCE_BYTE: Final = 2
PREDICT: Final = 2_000
ROLE: Final = 1_000
HASH: Final = 300
HASH_BYTE: Final = 1
SIGNATURE: Final = 40_000
NODE: Final = 40
"""One value looked at by a walker: equality, ordering, measuring, checking of a type."""

NODE_EQUAL: Final = 160
"""One element compared with another."""

NODE_ENCODE: Final = 120
"""One value encoded or decoded."""

ELEMENT_COPY: Final = 1
"""One element of a list copied by the host in one piece, as in slices and concatenations."""

BYTES_PER_GAS_SHIFT: Final = 4
"""Copying text: one gas moves 16 bytes."""

LIST_BYTES: Final = 64
ELEMENT_BYTES: Final = 40
ENTRY_BYTES: Final = 120
TEXT_BYTES: Final = 64
