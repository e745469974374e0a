"""Readiness by criterion, without I/O: each check says what it saw, so that the verdict is true.

Liveness only asks whether the event loop turns; a halted chain must not restart every validator.
Source: ecosystem reference 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.facade import Health, HealthCheck, NodeStatus

LAG_BLOCKS_MAX = 5
TIP_AGE_MS_MAX = 30_000
IDLE_BLOCKS_MAX = 4
"""A chain whose blocks come seldom when nothing happens may miss so many before it counts."""
TICK_AGE_MS_MAX = 5_000
DISK_FREE_RATIO_MIN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the checks look at. Ages and free space are measured by the caller."""

    status: NodeStatus
    tip_age_ms: int
    idle_block_ms: int
    """How long the chain's leaders wait for transactions before they make an empty block."""
    supported_height: int
    """Height that validators claim whose weight is more than may lie."""
    disk_free_ratio: float
    linked_weight: int
    """Weight of this validator and all linked ones."""
    quorum: int
    needs_worker: bool
    fatal: str
    refusals: int = 0
    """Peers that say that this node is not registered."""
    removed_at: int | None = None
    """Height of the block that took this validator's vote; None if it has it, or had none."""
    differing: str = ""
    """Models that this machine computes wrong."""
    damage: str = ""
    """What is damaged in the store and not repaired yet."""


def age_text(age_ms: int) -> str:
    """Write an age for people: two digits of the largest unit that fits."""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if age_ms >= size_ms:
            count = age_ms / size_ms
            return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"
    return f"{age_ms} ms"


def live(tick_age_ms: int) -> Health:
    """The event loop ran recently."""
    return _verdict(
        HealthCheck(
            name="loop",
            is_ok=tick_age_ms < TICK_AGE_MS_MAX,
            detail=f"last turn {age_text(tick_age_ms)} ago",
        )
    )


def startup(*, has_started: bool) -> Health:
    """Storage, network and RPC are up."""
    return _verdict(
        HealthCheck(
            name="started", is_ok=has_started, detail="up" if has_started else "still starting"
        )
    )


def ready(facts: Facts) -> Health:
    """The node follows the chain and can serve and, if it is a validator, vote."""
    status = facts.status
    lag = max(0, facts.supported_height - status.height)
    mismatch = status.mismatch
    checks = [
        HealthCheck(
            name="syncing",
            is_ok=not status.is_syncing,
            detail="catching up" if status.is_syncing else "in step",
        ),
        HealthCheck(name="lag", is_ok=lag <= LAG_BLOCKS_MAX, detail=f"{lag} blocks behind"),
        HealthCheck(
            name="tip_age",
            is_ok=facts.tip_age_ms <= max(TIP_AGE_MS_MAX, IDLE_BLOCKS_MAX * facts.idle_block_ms),
            detail=f"last block {age_text(facts.tip_age_ms)} ago",
        ),
        HealthCheck(
            name="peers",
            is_ok=facts.linked_weight >= facts.quorum,
            detail=f"linked weight {facts.linked_weight}, quorum {facts.quorum}"
            + (f"; {facts.refusals} peers do not know this node" if facts.refusals else ""),
        ),
        HealthCheck(
            name="membership",
            is_ok=facts.removed_at is None,
            detail="no vote was taken from this node"
            if facts.removed_at is None
            else f"removed from the validators at height {facts.removed_at}",
        ),
        HealthCheck(
            name="disk",
            is_ok=facts.disk_free_ratio > DISK_FREE_RATIO_MIN,
            detail=f"{facts.disk_free_ratio:.0%} free",
        ),
        HealthCheck(
            name="worker",
            is_ok=status.worker_state == "ready" or not facts.needs_worker,
            detail=f"{status.worker_state} {status.worker_detail}".strip(),
        ),
        HealthCheck(
            name="conformance",
            is_ok=not (facts.differing and facts.needs_worker),
            detail=facts.differing or "this backend computes what the models mean",
        ),
        HealthCheck(
            name="predictions",
            is_ok=mismatch is None,
            detail="all outputs agree"
            if mismatch is None
            else (
                f"model {mismatch.model_id.hex()} input {mismatch.input_digest.hex()} "
                f"element {mismatch.element}: block says {mismatch.expected}, "
                f"this worker {mismatch.computed} (height {mismatch.height})"
            ),
        ),
        HealthCheck(
            name="storage", is_ok=not facts.damage, detail=facts.damage or "no damage is known"
        ),
        HealthCheck(name="fatal", is_ok=not facts.fatal, detail=facts.fatal or "none"),
    ]
    return _verdict(*checks)


def _verdict(*checks: HealthCheck) -> Health:
    return Health(is_ok=all(check.is_ok for check in checks), checks=checks)
