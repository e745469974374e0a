# ruff: noqa: T201 - what it prints is its result
"""Replay the golden receipts in this process, cold and warm; prints each that differs.

Usage: receipts.py FILE. Needs no compiled package: a receipt is encoded as the array that it is.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from andon.core.codec import Value, encode_value  # noqa: E402
from contracts_py.engine import Context, Engine, Mode, Outcome  # noqa: E402
from contracts_py.engine.memory_host import MemoryHost  # noqa: E402

ACCOUNT, TRANSACTION = b"a" * 32, b"t" * 32
GAS_LIMIT = 300_000
CONTEXT = Context(
    chain_id="vectors", height=7, time_ms=1_000, sender=ACCOUNT, transaction_id=TRANSACTION
)


def receipt(outcome: Outcome, host: MemoryHost) -> bytes:
    """Bytes of the receipt: an array of its fields."""
    found = outcome.failure
    failure: Value = None
    if found is not None:
        failure = [found.code, found.contract, found.method, found.line, found.message]
    results: Value = [outcome.result] if outcome.ok else []
    events: Value = [[contract, name, fields] for contract, name, fields in host.events]
    return encode_value([TRANSACTION, outcome.ok, outcome.gas_used, results, failure, events])


def replay(world: dict[str, object], engine: Engine) -> list[str]:
    """Run one world; gives what differs."""
    sources, calls = world["sources"], world["calls"]
    assert isinstance(sources, dict)
    assert isinstance(calls, list)
    host = MemoryHost(sources={name: text.encode() for name, text in sources.items()})
    differing: list[str] = []
    for place, row in enumerate(calls):
        host.forget()
        outcome = engine.execute(
            host, CONTEXT, row["contract"], row["method"], bytes.fromhex(row["args"]), GAS_LIMIT,
            mode=Mode.CALL,
        )  # fmt: skip
        rows: Value = [[key, value] for key, value in sorted(host.state.items())]
        tag = b"andon/source\0"
        told = {
            "gas_used": outcome.gas_used,
            "result": outcome.result.hex(),
            "receipt": receipt(outcome, host).hex(),
            "state_digest": hashlib.sha256(tag + encode_value(rows)).hexdigest(),
        }
        differing += [f"{world['name']} {place} {key}" for key in told if told[key] != row[key]]
    return differing


def main() -> int:
    """Replay all worlds: a fresh engine each, then all again in one that knows them."""
    worlds = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["receipts"]
    warm = Engine()
    differing = [line for world in worlds for line in replay(world, Engine())]
    for _ in range(2):
        differing += [f"warm {line}" for world in worlds for line in replay(world, warm)]
    print("\n".join(differing))
    print(f"{sum(len(world['calls']) for world in worlds)} receipts, {len(differing)} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
