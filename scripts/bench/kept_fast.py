"""Hot paths are kept fast by counting interpreted instructions, which no load on a machine changes.

`python -m scripts.bench.kept_fast` prints the counts beside those stored in `kept_fast.toml` for
this version of Python, and exits with 1 if one has grown by more than GROWTH_MAX. `--rewrite`
stores them; explain the diff in the commit. What C code does below is not counted: `make bench`
times it.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Protocol

from andon.core.block import Block
from andon.core.codec import Value, decode, decode_value, encode, encode_arguments, encode_value
from andon.core.transaction import check_signature, parse_transaction
from andon.core.wire import Transactions, decode_frame, encode_frame
from consensus.ledger import MemoryState, build_block, check_and_execute_block, update_tree
from contracts_py.engine import Context, Engine, Mode
from contracts_py.engine.entrance import FLAT_FROM
from contracts_py.engine.memory_host import MemoryHost
from scripts.bench.bench_contracts import ALICE, BOB, TOKEN, ledger_transfer
from scripts.bench.bench_ledger import NoModels, full_block

STORE = Path(__file__).with_suffix(".toml")
GROWTH_MAX = 1.10
TRANSACTIONS = 50
KEYS = 200
GAS = 10_000_000
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"

Job = Callable[[], object]


class _Trace(Protocol):
    def __call__(self, frame: FrameType, event: str, arg: object) -> _Trace: ...


def jobs() -> dict[str, Job]:
    """The hot paths by name, prepared and warm."""
    engine, parent, turn, transactions = full_block(TRANSACTIONS)
    block, _, _ = build_block(parent, turn, transactions, engine, NoModels())
    raw, block_bytes = transactions[0].raw, encode(block)
    frame = encode_frame((Transactions(tuple(item.raw for item in transactions)),))
    value: Value = {"machine": "press-1", "ruls": list(range(50)), "state": {"a": [True, None]}}
    value_bytes = encode_value(value)
    found: dict[str, Job] = {
        "codec record": lambda: encode(decode(Block, block_bytes)),
        "codec value": lambda: encode_value(decode_value(value_bytes)),
        "verify": lambda: check_signature(parse_transaction(raw)),
        "frame": lambda: encode_frame(decode_frame(frame)),
        "engine call": _engine_call(),
        "transaction": ledger_transfer(),
        "tree update": _tree_update(),
        "block build": lambda: build_block(parent, turn, transactions, engine, NoModels()),
        "block check": lambda: check_and_execute_block(parent, block, engine, transactions),
    }
    for job in found.values():
        for _ in range(FLAT_FROM + 1):  # By then the engine has prepared what it will.
            job()
    return found


def instructions(job: Job) -> int:
    """Interpreted instructions that a job takes; the same for the same Python, always."""
    return _monitored(job) if sys.version_info >= (3, 12) else _traced(job)


def _monitored(job: Job) -> int:
    count = 0

    def note(_code: CodeType, _offset: int) -> None:
        nonlocal count
        count += 1

    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore] # since 3.12
    tool, event = monitoring.PROFILER_ID, monitoring.events.INSTRUCTION
    monitoring.use_tool_id(tool, "andon")
    monitoring.register_callback(tool, event, note)
    try:
        monitoring.set_events(tool, event)
        job()
        monitoring.set_events(tool, 0)
    finally:
        monitoring.free_tool_id(tool)
    return count


def _traced(job: Job) -> int:
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> _Trace:
        nonlocal count
        del arg
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        job()
    finally:
        sys.settrace(before)
    return count


def stored() -> dict[str, dict[str, int]]:
    """Counts by version of Python and name."""
    return tomllib.loads(STORE.read_text(encoding="utf-8"))


def main() -> int:
    """Print or store the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rewrite", action="store_true")
    counts = {name: instructions(job) for name, job in jobs().items()}
    tables = stored() if STORE.exists() else {}
    if parser.parse_args().rewrite:
        tables[VERSION] = counts
        STORE.write_text(_toml(tables), encoding="utf-8")
    kept = tables.get(VERSION, {})
    slower = [name for name, count in counts.items() if count > GROWTH_MAX * kept.get(name, count)]
    for name, count in counts.items():
        mark = "  slower" if name in slower else ""
        print(f"{name:<14}{count:>10} instructions, stored {kept.get(name, 0):>10}{mark}")
    return 1 if slower else 0


def _toml(tables: dict[str, dict[str, int]]) -> str:
    lines = ["# Interpreted instructions by Python version: python -m scripts.bench.kept_fast"]
    for version in sorted(tables):
        lines += ["", f'["{version}"]']
        lines += [f'"{name}" = {count}' for name, count in tables[version].items()]
    return "\n".join(lines) + "\n"


def _engine_call() -> Job:
    engine, host = Engine(), MemoryHost()
    host.sources["token"] = TOKEN
    context = Context(chain_id="bench", height=1, time_ms=1, sender=ALICE, transaction_id=b"t" * 32)
    setup = encode_arguments({"owner": ALICE})
    engine.execute(host, context, "token", "", setup, GAS, mode=Mode.INIT)
    args = encode_arguments({"target": BOB, "amount": 1})
    return lambda: engine.execute(host, context, "token", "transfer", args, GAS, mode=Mode.CALL)


def _tree_update() -> Job:
    state = MemoryState()
    entries: dict[bytes, bytes | None] = {
        b"key-%d" % index: b"value-%d" % index for index in range(KEYS)
    }
    return lambda: update_tree(state, entries)


if __name__ == "__main__":
    sys.exit(main())
