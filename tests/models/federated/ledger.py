"""Contract `training` on the real engine, with plants and validators around it."""

import asyncio
import hashlib
from dataclasses import dataclass, field

import numpy as np

from andon.client.federated import CONTRACTS, contract_of
from andon.core.codec import Key, Value, decode_value, encode_arguments
from andon.core.hashing import Domain, digest
from contracts_py.engine import Context, Engine, Mode
from contracts_py.engine.memory_host import MemoryHost
from contracts_py.library import source
from models.federated.plan import (
    Plan,
    Progress,
    bound_after,
    has_counted,
    parse_parcel,
    parse_plan,
    parse_progress,
    parse_sent,
)
from models.federated.plant import Action, Plant, Send, Sight
from models.federated.rounds import Material, Result, Scorer, recompute
from models.federated.strategies import (
    fed_avg,
    initial_state,
    state_digest,
    state_from_bytes,
    state_to_bytes,
)
from models.federated.wander import Given, giver_to

GAS = 50_000_000
OWNER = b"\xee" * 32


def account(number: int) -> bytes:
    return hashlib.sha256(b"plant %d" % number).digest()


def plants(count: int) -> list[bytes]:
    return sorted(account(k) for k in range(count))


class Refused(Exception):
    """A call failed; the text is the contract's own."""


@dataclass
class Chain:
    """One engine, one state; every call is its own transaction."""

    host: MemoryHost = field(default_factory=MemoryHost)
    engine: Engine = field(default_factory=Engine)
    height: int = 1
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    is_holding: bool = True
    """Whether validators say at once that they hold all updates of a round."""

    async def grow(self) -> None:
        """Let blocks come until cancelled."""
        while True:
            await asyncio.sleep(0.05)
            self.height += 1

    @staticmethod
    def make(members: list[bytes], validators: int = 4) -> "Chain":
        chain = Chain()
        for name in ("identity", "models", *CONTRACTS):
            chain.host.sources[name] = source(name)
        keys = chain.validators(validators)
        for key in keys:
            chain.host.roles[key] = ("validator",)
        chain.host.roles[OWNER] = ("modeler", "admin")
        chain.host.organisations = {m: f"org{k}" for k, m in enumerate(members)}
        chain.host.organisations[OWNER] = "org0"
        chain.weigh(dict.fromkeys(keys, 1))
        return chain

    def weigh(self, weights: dict[bytes, int]) -> None:
        """Make these the validators, as a vote of the organisations would."""
        entries: list[Value] = [
            {"key": k, "weight": weight, "org": "org0", "address": "", "node_key": k}
            for k, weight in weights.items()
        ]
        names: list[Value] = ["org0"]
        arguments: dict[str, Value] = {
            "organisations": names,
            "members": [],
            "validators": entries,
            "policy": {},
        }
        self._run(OWNER, "identity", "setup", arguments, Mode.INIT)

    def validators(self, count: int = 4) -> list[bytes]:
        return sorted(hashlib.sha256(b"validator %d" % k).digest() for k in range(count))

    def call(self, sender: bytes, method: str, **arguments: Value) -> Value:
        found = self._run(sender, contract_of(method), method, arguments, Mode.CALL)
        if self.is_holding and method in ("commit", "advance"):
            hold(self)
        return found

    def view(self, method: str, **arguments: Value) -> Value:
        return self._run(OWNER, contract_of(method), method, arguments, Mode.VIEW)

    def run(
        self, sender: bytes, contract: str, method: str, mode: Mode = Mode.CALL, /, **args: Value
    ) -> Value:
        return self._run(sender, contract, method, args, mode)

    def events(self, name: str) -> list[Value]:
        return [decode_value(f) for _, event, f in self.host.events if event == name]

    def publish(self, blob: bytes) -> bytes:
        identity = digest(Domain.BLOB, blob)
        self.blobs[identity] = blob
        return identity

    def _run(
        self, sender: bytes, contract: str, method: str, arguments: dict[str, Value], mode: Mode
    ) -> Value:
        context = Context(
            chain_id="test",
            height=self.height,
            time_ms=1000 * self.height,
            sender=sender,
            transaction_id=bytes(32),
        )
        outcome = self.engine.execute(
            self.host, context, contract, method, encode_arguments(arguments), GAS, mode=mode
        )
        if not outcome.ok:
            assert outcome.failure is not None
            raise Refused(f"{outcome.failure.code}: {outcome.failure.message}")
        return decode_value(outcome.result)


def sight(chain: Chain, run: str = "run", taker: bytes = b"", pending: int = 0) -> Sight:
    """What a plant or validator reads from the final state; `taker` and `pending` are a plant's."""
    status = chain.view("status", run=run)
    assert isinstance(status, dict)
    plan = parse_plan("test", run, status["run"])
    progress = parse_progress(plan.round, status["round"])
    sent = {
        name: parse_sent(
            chain.view(
                "sent",
                run=run,
                number=progress.number,
                attempt=progress.attempt,
                account=name,
            )
        )
        for name in plan.accounts()
    }
    base = state_from_bytes(chain.blobs[progress.base_blob])
    given = None
    if progress.phase == "TAKE" and taker in progress.announced:
        giver = giver_to(plan, progress, sent, taker)
        value = chain.view(
            "parcel",
            run=run,
            number=progress.number,
            attempt=progress.attempt,
            giver=giver,
        )
        parcel = None if value is None else parse_parcel(value)
        given = None if parcel is None else Given(parcel, chain.blobs.get(parcel.blob))
    bound = bound_of(chain, plan, progress)
    counted = False
    if 0 < pending < plan.round:
        counted = has_counted(plan, chain.view("round_at", run=run, number=pending), taker)
    return Sight(
        plan=plan,
        progress=progress,
        sent=sent,
        base=base,
        bound=bound,
        given=given,
        has_counted=counted,
    )


def bound_of(chain: Chain, plan: Plan, progress: Progress) -> int:
    """The longest update of the round, from what the round before declared."""
    number = plan.averaged_before(progress.number)
    if number < 1:
        return bound_after(plan, None, {})
    before = parse_progress(number, chain.view("round_at", run=plan.run, number=number))
    place: dict[str, Value] = {"run": plan.run, "number": number, "attempt": before.attempt}
    norms = {
        name: parse_sent(chain.view("sent", account=name, **place)).norm for name in before.frozen
    }
    return bound_after(plan, before, norms)


def material_of(chain: Chain) -> Material:
    """What validators recompute from."""
    seen = sight(chain)
    return Material(
        plan=seen.plan,
        progress=seen.progress,
        sent=seen.sent,
        blobs=chain.blobs,
        bound=seen.bound,
    )


def create(
    chain: Chain,
    members: list[bytes],
    elements: int = 5,
    /,
    *,
    mode: str = "full",
    groups: int = 1,
    recipe: dict[Key, Value] | None = None,
    rounds_max: int = 3,
    **changes: Value,
) -> None:
    average = fed_avg()
    chosen: dict[Key, Value] = {
        "rule": "mean",
        "strategy": [average.name, average.rate, 0, 0, 0],
    }
    chosen.update(recipe or {})
    strategy = chosen["strategy"]
    is_double = isinstance(strategy, list) and strategy[0] == "scaffold"
    state = initial_state(np.zeros(elements // 2 if is_double else elements, np.int64))
    arguments: dict[str, Value] = {
        "run": "run",
        "members": [[m, k % groups, 1] for k, m in enumerate(members)],
        "mode": mode,
        "elements": elements,
        "encoding": [16, 1 << 20, 1 << 22, 1],
        "recipe": chosen,
        "state": state_digest(state),
        "blob": chain.publish(state_to_bytes(state)),
        "patience": 10,
        "rounds_max": rounds_max,
        "rho_budget": 0,
        "tolerance": 0,
    }
    chain.call(OWNER, "create", **{**arguments, **changes})


def act(chain: Chain, name: bytes, plant: Plant) -> Action:
    """One look and one action of a plant."""
    action = plant.next_action(sight(chain, taker=name, pending=plant.pending))
    if isinstance(action, Send):
        if action.blob:
            chain.publish(action.blob)
        chain.call(name, action.method, **action.arguments)
    return action


def hold(chain: Chain, missing: tuple[bytes, ...] = (), validators: int = 3) -> None:
    """Validators keep the updates of all that committed, but for some that they cannot get."""
    status = chain.view("status", run="run")
    assert isinstance(status, dict)
    assert isinstance(status["run"], dict)
    progress = parse_progress(int(str(status["run"]["round"])), status["round"])
    if progress.phase != "HOLD":
        return
    place: dict[str, Value] = {
        "run": "run",
        "number": progress.number,
        "attempt": progress.attempt,
        "held": [name for name in progress.committed if name not in missing],
        "missing": list(missing),
    }
    for key in chain.validators()[:validators]:
        chain.call(key, "hold", **place)


def attest(chain: Chain, scorer: Scorer | None = None, validators: int = 3) -> Result:
    """Validators recompute and attest; their state blob is published."""
    seen = sight(chain)
    result = recompute(material_of(chain), seen.base, scorer)
    blob = chain.publish(state_to_bytes(result.state))
    for key in chain.validators()[:validators]:
        chain.call(
            key,
            "attest",
            run=seen.plan.run,
            number=seen.progress.number,
            attempt=seen.progress.attempt,
            state=result.state_digest,
            blob=blob,
            score=result.score,
            flags=list(result.flagged),
            left_out=list(result.left_out),
            contributions=list(result.contributions),
        )
    return result
