"""One seed, one world: every choice is drawn here, once, and printed with a failure."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

ACTORS = (
    "equivocator",
    "double_voter",
    "withholder",
    "selective_sender",
    "censor",
    "state_liar",
    "prediction_liar",
    "stale_replayer",
    "slot_flooder",
    "sync_liar",
    "mutator",
    "twin",
    "forger",
)
CHANGES = ("add", "remove", "weight", "rotate")
LOSSES = ("wiped", "restored", "sign_state_old")
"""Chain and votes gone, sign state kept; all of it from a backup; the sign state from a backup."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a seed means. Probabilities are in parts per 10,000, times in milliseconds."""

    seed: int
    nodes: int
    weights: tuple[int, ...]
    heights: int
    safety_ms_max: int
    delay_ms: int
    jitter_ms: int
    loss: int
    replay: int
    reorder: int
    partition_every_ms: int
    partition_ms: int
    is_oneway: bool
    crash: int
    """Of crashing before an effect, in parts per million."""
    down_ms: int
    build_ms: int
    validate_ms: int
    skew_ms: int
    actor: str
    """Name of a Byzantine actor; empty for none."""
    actor_node: int
    liar: int
    """Index of a node whose worker computes wrong outputs; -1 for none."""
    set_changes: int
    late_node: int
    """Index of a node that is down for most of the safety phase; -1 for none."""
    clog: int
    """Of a message clogging its link for up to `clog_ms`: what follows on it waits."""
    clog_ms: int
    drift_ppm: int
    """A clock runs fast or slow by at most this."""
    jump_ms: int
    """A clock jumps by up to this, now and then."""
    spare: int
    """Index of a node whose key is not in the genesis set; -1 for none."""
    changes: tuple[str, ...]
    """Changes of the set by governance, of `CHANGES`."""
    jails: bool
    """Evidence becomes a transaction, and whoever is convicted leaves the set."""
    loss_of: str
    """What happens to the disk of `loss_node`, of `LOSSES`; empty for nothing."""
    loss_node: int

    @property
    def members(self) -> int:
        """Validators of the genesis set."""
        return self.nodes if self.spare < 0 else self.nodes - 1

    @property
    def faulty(self) -> int:
        """Index of the node that may misbehave or lies; -1 for none."""
        if self.actor:
            return self.actor_node
        return self.loss_node if self.loss_of else self.liar


def quiet(seed: int, *, nodes: int = 4, heights: int = 20) -> Options:
    """A world without faults."""
    return Options(
        seed=seed,
        nodes=nodes,
        weights=(1,) * nodes,
        heights=heights,
        safety_ms_max=60_000,
        delay_ms=5,
        jitter_ms=5,
        loss=0,
        replay=0,
        reorder=0,
        partition_every_ms=0,
        partition_ms=0,
        is_oneway=False,
        crash=0,
        down_ms=0,
        build_ms=2,
        validate_ms=3,
        skew_ms=0,
        actor="",
        actor_node=0,
        liar=-1,
        set_changes=0,
        late_node=-1,
        clog=0,
        clog_ms=0,
        drift_ppm=0,
        jump_ms=0,
        spare=-1,
        changes=(),
        jails=False,
        loss_of="",
        loss_node=0,
    )


def draw(seed: int, *, heights: int = 12) -> Options:
    """Expand a seed. Swarm: each world has some faults, none has all of them."""
    rng = random.Random(f"options/{seed}")  # noqa: S311 - a reproducible world
    nodes = rng.choice((4, 4, 4, 4, 5, 7))
    options = replace(
        quiet(seed, nodes=nodes, heights=heights), delay_ms=rng.choice((1, 5, 20, 60))
    )
    options = replace(options, jitter_ms=rng.choice((1, 10, 80)))
    if rng.random() < 0.5:
        options = replace(options, loss=rng.choice((100, 500, 1500, 3000)))
    if rng.random() < 0.3:
        options = replace(options, replay=rng.choice((500, 2000, 5000)))
    if rng.random() < 0.3:
        options = replace(options, reorder=rng.choice((500, 2000)))
    if rng.random() < 0.4:
        options = replace(
            options,
            partition_every_ms=rng.choice((800, 3000, 8000)),
            partition_ms=rng.choice((300, 2000, 6000)),
            is_oneway=rng.random() < 0.3,
        )
    if rng.random() < 0.5:
        options = replace(
            options, crash=rng.choice((300, 1000, 4000)), down_ms=rng.choice((50, 1000, 5000))
        )
    if rng.random() < 0.3:
        options = replace(options, validate_ms=rng.choice((30, 200)))
    if rng.random() < 0.3:
        options = replace(options, skew_ms=rng.choice((200, 3000)))
    if rng.random() < 0.35:
        options = replace(options, set_changes=rng.choice((1, 2, 3)))
    if rng.random() < 0.2:
        options = replace(options, late_node=rng.randrange(nodes))
    # Streams of their own: a kind of fault more does not redraw the ones before.
    options = _with_guilty(options, rng)
    options = _with_clocks_and_links(options, _stream("links", seed))
    return _with_changes(options, _stream("changes", seed))


def _stream(name: str, seed: int) -> random.Random:
    return random.Random(f"options/{name}/{seed}")  # noqa: S311 - a reproducible world


def _with_clocks_and_links(options: Options, rng: random.Random) -> Options:
    if rng.random() < 0.25:
        options = replace(
            options, clog=rng.choice((20, 200)), clog_ms=rng.choice((200, 1500, 5000))
        )
    if rng.random() < 0.25:
        options = replace(
            options,
            drift_ppm=rng.choice((0, 500, 50_000)),
            jump_ms=rng.choice((200, 2000, 3_600_000)),
        )
    if rng.random() < 0.1:  # flapping
        options = replace(options, partition_every_ms=60, partition_ms=40)
    return options


def _with_changes(options: Options, rng: random.Random) -> Options:
    """Members come, go and change their keys; a disk is lost where nobody else is faulty."""
    is_honest = not options.actor and options.liar < 0
    if rng.random() < 0.3:
        count = rng.choice((1, 1, 2))
        options = replace(options, changes=tuple(rng.choice(CHANGES) for _ in range(count)))
        options = replace(
            options,
            spare=options.nodes,
            nodes=options.nodes + 1,
            weights=(*options.weights, rng.randrange(1, 3)),
        )
    if not is_honest:
        return replace(options, jails=rng.random() < 0.5)
    node = rng.randrange(options.nodes)
    if rng.random() < 0.3 and 3 * options.weights[node] < sum(options.weights[: options.members]):
        options = replace(options, loss_of=rng.choice(LOSSES), loss_node=node)
    return options


def _with_guilty(options: Options, rng: random.Random) -> Options:
    """At most one faulty validator with less than a third of the weight: all the rest is honest."""
    kind = rng.random()
    nodes = options.nodes
    if kind < 0.4:
        options = replace(options, actor=rng.choice(ACTORS), actor_node=rng.randrange(nodes))
    elif kind < 0.5:
        options = replace(options, liar=rng.randrange(nodes))
    if rng.random() < 0.25:
        weights = [rng.randrange(3, 8) for _ in range(nodes)]
        guilty = options.actor_node if options.actor else options.liar
        if guilty >= 0:
            weights[guilty] = 2
        if 3 * max(weights) < sum(weights):
            options = replace(options, weights=tuple(weights))
    return options
