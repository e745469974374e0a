"""What will happen in one run: drawn from a seed, or read from a file that an earlier run wrote.

The plan is the replayable part of a run; how processes interleave is not (the simulator in
`node.testing.sim` is for that).
"""

from __future__ import annotations

import random
import tomllib
from enum import Enum

import msgspec

from andon.core.errors import Code, InvalidInput
from node.testing.chaos.acts import Act, check_acts, draw_acts, published

FAULTS_MS = 14_000
"""Length of the phase with faults; all faults have ended after it."""
FAULTS_MAX = 256
VALIDATORS = (4, 5, 6, 7)
VALIDATOR_SHARES = (5, 2, 1, 2)
LIAR_SHARE = 0.2
OBSERVER_SHARE = 0.3
DELAYS_MS = (20, 80, 250)
RESETS_PER_MILLE = (5, 20, 60)
SKEWS_MS = (-400, 400, 3_000)
COMMITS_MS = (20, 100)


class Verb(Enum):
    """What is done to nodes or to the links between them."""

    KILL = "kill"
    """SIGKILL, and a new start when the fault ends."""
    PAUSE = "pause"
    """SIGSTOP, SIGCONT when the fault ends."""
    PARTITION = "partition"
    """The named nodes lose all others; connections are reset."""
    CABLE = "cable"
    """The same, but bytes vanish silently."""
    ONE_WAY = "one-way"
    """Nothing from the first named node reaches the second."""
    DELAY = "delay"
    """Every link of the named nodes is slower by `amount` ms."""
    DROP = "drop"
    """A piece of data on a link of the named nodes is lost with `amount` per mille."""
    SKEW = "skew"
    """The node starts again with its clock off by `amount` ms, and again with a true one."""
    SLOW_DISK = "slow-disk"
    """The same with commits that take `amount` ms longer."""
    DISK_FULL = "disk-full"
    """No file of the node may grow: it ends, and starts when there is room again."""
    WORKER_HANGS = "worker-hangs"
    """The model worker's clock stands still."""
    SILENT = "silent"
    """Byzantine: the node follows, and says nothing in consensus."""
    REPLAY = "replay"
    """Byzantine: the node repeats what it said long ago beside everything it says."""


LINK_VERBS = (Verb.PARTITION, Verb.CABLE, Verb.ONE_WAY, Verb.DELAY, Verb.DROP)
PROCESS_VERBS = tuple(verb for verb in Verb if verb not in LINK_VERBS)
"""At most one of these at a time on one node."""
FIRST_VERBS = (Verb.KILL, Verb.PAUSE, *LINK_VERBS)
WEAR_VERBS = tuple(verb for verb in Verb if verb not in FIRST_VERBS)
WEAR_VERBS_WITHOUT_WORKERS = tuple(verb for verb in WEAR_VERBS if verb is not Verb.WORKER_HANGS)
WEAR_SHARE = 0.5


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault from `at_ms` to `until_ms` after the start of the load."""

    verb: Verb
    at_ms: int
    until_ms: int
    nodes: tuple[str, ...]
    amount: int = 0

    def __str__(self) -> str:
        amount = f" {self.amount}" if self.amount else ""
        return (
            f"{self.at_ms / 1000:5.1f} s to {self.until_ms / 1000:4.1f} s  "
            f"{self.verb.value}{amount} {' '.join(self.nodes)}"
        )


class ChaosPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole run. `liar` names the node whose worker gives wrong outputs; empty for none.

    A network with a liar activates the demo model before the faults begin, if no act does.
    """

    seed: int
    validators: int
    clients: int
    observers: int = 0
    liar: str = ""
    faults_ms: int = FAULTS_MS
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    sample_ms: int = 0
    """How often memory and open files are noted; 0 for never."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the validators; observers are spared, and have to keep up."""
        return tuple(f"node-{number}" for number in range(1, self.validators + 1))

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.validators} validators, {self.clients} clients"]
        if self.observers:
            lines[0] += f", {self.observers} observer"
        if self.liar:
            lines[0] += f", the worker of {self.liar} lies"
        events: list[tuple[int, str]] = [(fault.at_ms, str(fault)) for fault in self.faults]
        events += [(act.at_ms, str(act)) for act in self.acts]
        return "\n  ".join([*lines, *(text for _, text in sorted(events))])

    @property
    def has_models(self) -> bool:
        """Whether nodes need workers."""
        return bool(self.liar or published(self.acts))


def draw_plan(seed: int) -> ChaosPlan:
    """Expand a seed. The same seed gives the same plan on every Python."""
    draw = random.Random(f"chaos {seed}")  # noqa: S311 - no secret
    validators = draw.choices(VALIDATORS, VALIDATOR_SHARES)[0]
    # Four nodes with workers are what a small machine can bear.
    liar = f"node-{draw.randint(1, 4)}" if validators == 4 and draw.random() < LIAR_SHARE else ""
    plan = ChaosPlan(seed=seed, validators=validators, clients=draw.randint(2, 4), liar=liar)
    acts = draw_acts(seed, plan.names, FAULTS_MS, lies=bool(liar))
    plan = msgspec.structs.replace(plan, acts=acts)
    busy_until: dict[str, int] = dict.fromkeys(plan.names, 0)
    faults: list[Fault] = []
    for _ in range(draw.randint(3, 8)):
        at_ms = draw.randrange(200, FAULTS_MS - 2_000, 100)
        until_ms = min(FAULTS_MS, at_ms + draw.randrange(500, 6_000, 100))
        verb = draw.choice(FIRST_VERBS)
        fault = draw_fault(draw, verb, plan.names, at_ms, until_ms)
        if verb in PROCESS_VERBS:
            name = fault.nodes[0]
            if at_ms <= busy_until[name]:
                continue
            # Later faults of this process may begin only after this one, whatever their order.
            busy_until[name] = FAULTS_MS
        faults.append(fault)
    # Drawn last, so that the rest of a seed's plan is what it was.
    observers = int(draw.random() < OBSERVER_SHARE)
    unharmed = [name for name in plan.names if not busy_until[name] and name != liar]
    if unharmed and draw.random() < WEAR_SHARE:
        at_ms = draw.randrange(200, FAULTS_MS // 2, 100)
        verbs = WEAR_VERBS if plan.has_models else WEAR_VERBS_WITHOUT_WORKERS
        verb = draw.choice(verbs)
        faults.append(draw_fault(draw, verb, (draw.choice(unharmed),), at_ms, FAULTS_MS))
    faults.sort(key=lambda fault: (fault.at_ms, fault.verb.value, fault.nodes))
    return msgspec.structs.replace(plan, faults=tuple(faults), observers=observers)


def draw_fault(
    draw: random.Random, verb: Verb, names: tuple[str, ...], at_ms: int, until_ms: int
) -> Fault:
    """Draw the nodes and the amount of one fault."""
    count, amount = 1, 0
    match verb:
        case Verb.PARTITION | Verb.CABLE:
            count = draw.randint(1, len(names) // 2)
        case Verb.ONE_WAY:
            count = 2
        case Verb.DELAY:
            count, amount = draw.randint(1, len(names)), draw.choice(DELAYS_MS)
        case Verb.DROP:
            count, amount = draw.randint(1, len(names)), draw.choice(RESETS_PER_MILLE)
        case Verb.SKEW:
            amount = draw.choice(SKEWS_MS)
        case Verb.SLOW_DISK:
            amount = draw.choice(COMMITS_MS)
        case (
            Verb.KILL | Verb.PAUSE | Verb.DISK_FULL | Verb.WORKER_HANGS | Verb.SILENT | Verb.REPLAY
        ):
            pass
    nodes = tuple(draw.sample(names, count))
    return Fault(verb=verb, at_ms=at_ms, until_ms=until_ms, nodes=nodes, amount=amount)


def parse_plan(text: bytes) -> ChaosPlan:
    """Read a plan from JSON, or from TOML: what does not begin with a brace.

    Raises:
        InvalidInput: BAD_CONFIG with what is wrong.
    """
    try:
        if text.lstrip().startswith(b"{"):
            plan = msgspec.json.decode(text, type=ChaosPlan)
        else:
            plan = msgspec.toml.decode(text, type=ChaosPlan)
    except (msgspec.MsgspecError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Code.BAD_CONFIG, f"chaos plan: {error}") from None
    if plan.observers not in range(9):
        raise InvalidInput(Code.BAD_CONFIG, "0 to 8 observers")
    if plan.sample_ms < 0:
        raise InvalidInput(Code.BAD_CONFIG, "chaos plan: sample_ms is 0 or more")
    if plan.validators not in range(1, 65) or len(plan.faults) > FAULTS_MAX:
        raise InvalidInput(Code.BAD_CONFIG, f"1 to 64 validators, at most {FAULTS_MAX} faults")
    known = set(plan.names)
    for fault in plan.faults:
        if not fault.nodes or not known.issuperset(fault.nodes):
            raise InvalidInput(Code.BAD_CONFIG, f"chaos plan: no such node in '{fault}'")
        if fault.verb is Verb.ONE_WAY and len(fault.nodes) != 2:
            raise InvalidInput(Code.BAD_CONFIG, "one-way names two nodes")
        if fault.verb in PROCESS_VERBS and len(fault.nodes) != 1:
            raise InvalidInput(Code.BAD_CONFIG, f"{fault.verb.value} names one node")
        if not 0 <= fault.at_ms < fault.until_ms <= plan.faults_ms:
            raise InvalidInput(Code.BAD_CONFIG, f"chaos plan: bad times in '{fault}'")
    if problem := check_acts(plan.names, plan.acts, plan.faults_ms):
        raise InvalidInput(Code.BAD_CONFIG, f"chaos plan: {problem}")
    return plan
