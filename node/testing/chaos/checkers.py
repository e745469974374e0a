"""What must hold after any chaos: pure functions from observations to findings (none is good)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from node.testing.chaos.audit import NodeChain

FINDINGS_MAX = 20
"""Shown of one kind: one fork gives a finding a height."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What the last state must say: each validator's key and weight, by key; the serving model."""

    weights: tuple[tuple[bytes, int], ...]
    serving: bytes


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a client was told about a final transaction; results are encoded values."""

    id: bytes
    height: int
    ok: bool
    results: tuple[bytes, ...]


def check(
    chains: Sequence[NodeChain],
    acknowledged: Sequence[Acknowledged],
    attempted: Collection[bytes],
    senders: Collection[bytes],
) -> list[str]:
    """All findings. `attempted` are ids of all that the accounts `senders` ever signed."""
    found = [*check_agreement(chains)]
    for chain in chains:
        found += check_links(chain)
        found += check_acknowledged(chain, acknowledged)
        found += check_origin(chain, attempted, senders)
    return found


def check_agreement(chains: Sequence[NodeChain]) -> list[str]:
    """No two nodes have different blocks or state roots at one height."""
    found = []
    for height in range(max(chain.height for chain in chains) + 1):
        holders = [chain for chain in chains if chain.height >= height]
        for what, values in (
            ("blocks", {chain.hashes[height] for chain in holders}),
            ("state roots", {chain.state_roots[height] for chain in holders}),
        ):
            if len(values) > 1:
                names = ", ".join(
                    f"{chain.name} {chain.hashes[height].hex()[:12]}" for chain in holders
                )
                found.append(f"different {what} at height {height}: {names}")
    return found[:FINDINGS_MAX]


def check_links(chain: NodeChain) -> list[str]:
    """Every block names the one below it as its parent."""
    return [
        f"{chain.name}: block {height} does not follow block {height - 1}"
        for height in range(1, chain.height + 1)
        if chain.parents[height] != chain.hashes[height - 1]
    ][:FINDINGS_MAX]


def check_acknowledged(chain: NodeChain, acknowledged: Sequence[Acknowledged]) -> list[str]:
    """Nothing is in the chain twice; what was acknowledged is there, with the same outcome."""
    counts = Counter(entry.id for entry in chain.entries)
    found = [
        f"{chain.name}: transaction {identity.hex()[:16]} is in the chain {count} times"
        for identity, count in counts.items()
        if count > 1
    ]
    places = {entry.id: entry for entry in chain.entries}
    for promised in acknowledged:
        entry = places.get(promised.id)
        name = f"acknowledged transaction {promised.id.hex()[:16]}"
        if entry is None and promised.height > chain.height:
            continue  # a node that is behind; `run` demands that none stays behind
        if entry is None:
            found.append(f"{chain.name}: {name} of height {promised.height} is not in the chain")
        elif (entry.height, entry.ok, entry.results) != (
            promised.height,
            promised.ok,
            promised.results,
        ):
            found.append(
                f"{chain.name}: {name} was promised at {promised.height} (ok={promised.ok}), "
                f"but stands at {entry.height} (ok={entry.ok}) or has other results"
            )
    return found[:FINDINGS_MAX]


def check_origin(
    chain: NodeChain, attempted: Collection[bytes], senders: Collection[bytes]
) -> list[str]:
    """Nothing is in the chain in the name of an account that did not sign it."""
    return [
        f"{chain.name}: transaction {entry.id.hex()[:16]} at {entry.height} was never sent"
        for entry in chain.entries
        if entry.sender in senders and entry.id not in attempted
    ][:FINDINGS_MAX]


def check_decided(chain: NodeChain, decided: Decided) -> list[str]:
    """The last state of a chain is what organisations decided."""
    found = []
    if chain.weights != decided.weights:
        found.append(f"{chain.name}: other validators than decided: {_said(chain.weights)}")
    if chain.serving != decided.serving:
        found.append(f"{chain.name}: model {chain.serving.hex()[:16]} serves, another was decided")
    return found


def _said(weights: tuple[tuple[bytes, int], ...]) -> str:
    return ", ".join(f"{key.hex()[:8]} {weight}" for key, weight in weights)
