"""A rehearsal of an upgrade: the real call on the real state, and the keys it reads and writes.

The caller undoes what it does. Only approvals are not asked for: organisations want to see what an
upgrade does before they give theirs.
"""

from __future__ import annotations

from andon.core.codec import Key, Value, decode_value, encode_value
from andon.core.transaction import Call
from consensus.ledger import native
from consensus.ledger.host import CONTRACTS, LedgerHost
from consensus.ledger.lifecycle import POLICY_KEY
from consensus.ledger.ports import Context, Engine, Outcome

UPGRADE = "upgrade"
KEYS_MAX = 256
"""Keys listed each way; `reads` and `writes` count all of them."""


def is_rehearsal(call: Call) -> bool:
    """Tell whether a read-only call asks for a rehearsal."""
    return call.contract == CONTRACTS and call.method == UPGRADE


def rehearse(
    host: LedgerHost, engine: Engine, context: Context, call: Call, gas_limit: int
) -> Outcome:
    """Run an upgrade with @migrate on the state so far, on a host that has run nothing else.

    The host has to be rolled back afterwards.

    The result is a map: `version`, `gas_used`, `reads` and `writes` (counts), `read` and `written`
    (at most KEYS_MAX rows [contract, variable, key] each, key None for a `Var`). Keys that the
    ledger itself reads and writes for any upgrade are left out. A refusal is the upgrade's own.
    """
    seen: dict[bytes, None] = {}
    written: dict[bytes, None] = {}
    read, write, iterate = host.read, host.write, host.iterate

    def recorded_read(key: bytes) -> bytes | None:
        seen[key] = None
        return read(key)

    def recorded_iterate(
        prefix: bytes, after: bytes | None, count_max: int
    ) -> list[tuple[bytes, bytes]]:
        found = iterate(prefix, after, count_max)
        seen.update(dict.fromkeys([key for key, _ in found]))
        return found

    def recorded_write(key: bytes, value: bytes | None) -> None:
        written[key] = None
        write(key, value)

    host.read, host.write, host.iterate = recorded_read, recorded_write, recorded_iterate
    try:
        outcome = native.execute(host, engine, context, call, gas_limit, is_rehearsal=True)
    finally:
        host.read, host.write, host.iterate = read, write, iterate
    if not outcome.ok:
        return outcome
    reads, writes = _contracts_keys(seen), _contracts_keys(written)
    listed: dict[Key, Value] = {
        "version": decode_value(outcome.result),
        "gas_used": outcome.gas_used,
        "reads": len(reads),
        "writes": len(writes),
        "read": list(reads[:KEYS_MAX]),
        "written": list(writes[:KEYS_MAX]),
    }
    result = encode_value(listed)
    return Outcome(ok=True, result=result, gas_used=outcome.gas_used, failure=None)


def _contracts_keys(keys: dict[bytes, None]) -> list[Value]:
    ledgers = CONTRACTS.encode() + b"\0"
    return [_named(k) for k in sorted(keys) if k != POLICY_KEY and not k.startswith(ledgers)]


def _named(key: bytes) -> Value:
    contract, variable, rest = key.split(b"\0", 2)
    return [contract.decode(), variable.decode(), decode_value(rest) if rest else None]
