"""Verbs for federated runs: what a run is doing, take part as a plant, attest as a validator."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import click

from andon.cli.checkout import from_checkout
from andon.cli.context import Context, shown
from andon.client.federated import CONTRACT, TrainingLedger, contract_of, holder_of
from andon.client.sync import Client
from andon.core.codec import Key, Value
from andon.core.errors import Code, InvalidInput, Misuse
from andon.core.genesis import Genesis
from andon.core.json_value import Json, from_hex, to_hex, value_to_json

ENGINE = "models.federated.command"
MODES = ("full", "grouped", "plain")
ROUNDS_SHOWN = 256
# As `models.federated.strategies` has them, which a command line alone does not bring.
STRATEGIES = ("average", "momentum", "scaffold", "adagrad", "adam", "yogi")


class TakePart(Protocol):
    """`models.federated.command.take_part`."""

    async def __call__(
        self,
        ledger: TrainingLedger,
        run: str,
        account: bytes,
        *,
        folder: Path,
        train: str,
        report: Callable[[str], None],
    ) -> str:
        """Run a plant until the run ends."""


class Recompute(Protocol):
    """`models.federated.command.recompute_rounds`."""

    async def __call__(
        self, ledger: TrainingLedger, run: str, account: bytes, *, report: Callable[[str], None]
    ) -> str:
        """Attest until the run ends."""


class CreateRun(Protocol):
    """`models.federated.command.create_run`."""

    async def __call__(
        self, ledger: TrainingLedger, run: str, members: list[bytes], initial: str, terms: object
    ) -> int:
        """Put a run on the ledger; gives its number of parameters."""


class FetchModel(Protocol):
    """`models.federated.command.fetch_model`."""

    async def __call__(self, ledger: TrainingLedger, run: str) -> tuple[bytes, str]:
        """Give the run's weights as a file, and their digest on the ledger."""


@click.group("fl")
def fl_command() -> None:
    """Train together without showing data: runs of contract `training`."""


@fl_command.command("status")
@click.argument("run")
@click.pass_obj
def status(context: Context, *, run: str) -> None:
    """Show a run and its current round: phase, deadline, who has sent what."""
    with context.client() as client:
        plan = client.state(CONTRACT, "runs", run)
        if not isinstance(plan, dict) or not isinstance(plan["round"], int):
            raise InvalidInput(
                Code.NOT_FOUND, f"there is no run {run}", hint="ask its owner for the name"
            )
        current = client.state(CONTRACT, "rounds", (run, plan["round"]))
        worth = _worth(client, run, plan)
    assert isinstance(current, dict)
    lines = [f"run {run}: {plan['status']!s}, mode {plan['mode']!s}, round {plan['round']}"]
    lines.append(f"attempt {current['attempt']!s}, phase {current['phase']!s}")
    if isinstance(reason := plan.get("reason"), str):
        lines[0] += f", {reason}"
    lines.append(f"deadline height {current['deadline']!s}, score {shown(plan['score'])}")
    for field in ("announced", "dealt", "committed", "frozen", "revealed"):
        names = current[field]
        if isinstance(names, list) and names:
            short = ", ".join(name.hex()[:8] for name in names if isinstance(name, bytes))
            lines.append(f"{field:10} {len(names)}: {short}")
    lines.extend(f"worth      {name.hex()[:8]}: {amount}" for name, amount in worth.items())
    document: Value = {"run": plan, "round": current}
    context.show(value_to_json(document), "\n".join(lines))


def _worth(client: Client, run: str, plan: dict[Key, Value]) -> dict[bytes, int]:
    """What the updates of members were worth so far, in units of the score; if the run asks."""
    recipe, members = plan["recipe"], plan["members"]
    if not isinstance(recipe, dict) or not isinstance(members, list):
        return {}
    names = [row[0] for row in members if isinstance(row, list) and recipe.get("contributions")]
    found = {
        name: client.state(holder_of("earned"), "earned", (run, name))
        for name in names
        if isinstance(name, bytes)
    }
    return {name: value if isinstance(value, int) else 0 for name, value in found.items()}


@fl_command.command("create")
@click.argument("run")
@click.option("--initial", required=True, help="First weights, f32[d]: module:function.")
@click.option("--member", "members", multiple=True, required=True, help="KEY or KEY=RECORDS.")
@click.option("--mode", type=click.Choice(MODES), default="full", show_default=True)
@click.option(
    "--groups", default=2, show_default=True, help="Groups of mode grouped, of 3 or more."
)
@click.option("--rule", default="mean", show_default=True, help="Beyond mean: not in mode full.")
@click.option("--tolerated", default=0, help="Members that the rule outvotes.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--patience", default=30, show_default=True, help="Blocks a phase may last.")
@click.option("--epsilon", default=0.0, help="Privacy budget of a member at delta 1e-5; 0: none.")
@click.option("--data", default="", help="Digest of the dataset version, hex.")
@click.option("--cohort", default=0, help="Fewer members abort a round; 0: what the rule needs.")
@click.option("--validation", default="", help="What models are scored on: module:function.")
@click.option("--tolerance", default=0, help="A worse score is rolled back beyond this.")
@click.option("--contributions", is_flag=True, help="Score what each member's update is worth.")
@click.option("--root", help="Member that trains on public data, for the rule trust.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="average", show_default=True)
@click.option("--server-rate", type=float, help="Of the server's step; 1, adaptive ones 0.01.")
@click.option("--momentum", default=0.9, show_default=True, help="Decay of the first moment.")
@click.option("--second-decay", default=0.99, show_default=True, help="Adam, Yogi.")
@click.option("--floor", default=1e-3, show_default=True, help="Tau of adaptive strategies.")
@click.option("--scale-bits", default=16, show_default=True, help="An update's steps are 2^-bits.")
@click.option("--limit", default=16.0, show_default=True, help="Largest element of an update.")
@click.option("--norm-limit", default=64.0, show_default=True, help="Longest update.")
@click.option("--target", type=int, help="End at this score.")
@click.option("--stale", default=0, help="End after so many rounds without a better score.")
@click.option("--reward", default=0, help="Units of the token for each counted update.")
@click.option("--budget", default=0, help="End before the run owes more units than this.")
@click.option("--reliability", default=0, help="Refuse members below this, 0 to 1000.")
@click.option("--routes", default=0, help="Rounds in which models wander before each average.")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def create(
    context: Context,
    /,
    *,
    run: str,
    initial: str,
    members: tuple[str, ...],
    root: str | None,
    sender: str,
    **terms: str | float | None,
) -> None:
    """Open RUN for its members; everybody starts from the same published weights."""
    key = context.key(sender)
    engine = from_checkout(ENGINE)
    create_run: CreateRun = engine.create_run
    sizes = {context.account(name): records for name, records in map(_sized, members)}
    given = {account: records for account, records in sizes.items() if records is not None}
    anchor = None if root is None else context.account(root)
    chosen = engine.Terms(root=anchor, sizes=given, **terms)

    async def work() -> int:
        async with TrainingLedger(context.endpoints(), key, genesis=_genesis(context)) as ledger:
            return await create_run(ledger, run, list(sizes), initial, chosen)

    elements = asyncio.run(work())
    context.show(
        {"run": run, "elements": elements, "members": len(sizes)},
        f"run {run}: {len(sizes)} members, {elements} parameters, {terms['rounds']} rounds",
    )  # fmt: skip


def _sized(member: str) -> tuple[str, int | None]:
    """A member and how many records it has, if that was given."""
    name, mark, records = member.partition("=")
    if mark and not records.isdecimal():
        raise InvalidInput(Code.BAD_ARGUMENTS, f"{member!r} is not KEY or KEY=RECORDS")
    return name, int(records) if mark else None


@fl_command.command("fetch")
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.pass_obj
def fetch(context: Context, *, run: str, out: Path, sender: str) -> None:
    """Write the weights of RUN to an .npy file, checked against the ledger."""
    key = context.key(sender)
    fetch_model: FetchModel = from_checkout(ENGINE).fetch_model

    async def work() -> tuple[bytes, str]:
        async with TrainingLedger(context.endpoints(), key, genesis=_genesis(context)) as ledger:
            return await fetch_model(ledger, run)

    data, digest = asyncio.run(work())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    context.show({"out": str(out), "state": digest}, f"{out}: state {digest}")


@fl_command.command("join")
@click.argument("run")
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.pass_obj
def join(context: Context, *, run: str, sender: str) -> None:
    """Agree to take part in RUN; shows the privacy budget. `andon fl run` agrees by itself."""
    key = context.key(sender)
    with context.client(key) as client:
        plan, group = _member_of(client, run, key.public)
        client.send(contract_of("join"), "join", run=run)
        spent = client.state(holder_of("spent"), "spent", (run, bytes(key.public)))
    budget = plan["rho_budget"]
    place = f"member of {run}" + (f", group {group}" if plan["mode"] == "grouped" else "")
    text = f"{place}; privacy spent {spent or 0!s} of {budget!s} micro-rho"
    context.show({"member": True, "group": group, "spent": value_to_json(spent)}, text)


@fl_command.command("leave")
@click.argument("run")
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.pass_obj
def leave(context: Context, *, run: str, sender: str) -> None:
    """Take no part in RUN: nobody waits for this key, and staying away costs it nothing."""
    key = context.key(sender)
    with context.client(key) as client:
        _member_of(client, run, key.public)
        client.send(contract_of("leave"), "leave", run=run)
    context.show({"member": False}, f"takes no part in {run}")


def _member_of(client: Client, run: str, account: bytes) -> tuple[dict[Key, Value], Json]:
    """The plan of a run that lists the account, and the account's group."""
    plan = client.state(CONTRACT, "runs", run)
    members = plan["members"] if isinstance(plan, dict) else None
    if not isinstance(plan, dict) or not isinstance(members, list):
        raise InvalidInput(Code.NOT_FOUND, f"there is no run {run}")
    rows = [row for row in members if isinstance(row, list) and row[0] == account]
    if not rows:
        raise InvalidInput(
            Code.NOT_A_MEMBER,
            f"{account.hex()[:16]} is no member of run {run}",
            hint="the owner names the members when it creates the run",
        )
    return plan, value_to_json(rows[0][1])


@fl_command.command("run")
@click.argument("run")
@click.option("--train", required=True, help="Your training: module:function.")
@click.option("--from", "sender", default="operator", show_default=True, help="Key or role.")
@click.option("--journal", type=click.Path(path_type=Path), help="Folder; keep it private.")
@click.pass_obj
def run_plant(context: Context, *, run: str, train: str, sender: str, journal: Path | None) -> None:
    """Take part in RUN until it ends; says why whenever it waits. Killed? Start it again."""
    key = context.key(sender)
    folder = journal or context.home / "federated" / run / key.public.hex()[:16]
    take_part: TakePart = from_checkout(ENGINE).take_part

    async def work() -> str:
        async with TrainingLedger(context.endpoints(), key, genesis=_genesis(context)) as ledger:
            return await take_part(
                ledger, run, key.public, folder=folder, train=train, report=context.note
            )

    _finish(context, asyncio.run(work()))


fl_command.add_command(run_plant, "resume")


@fl_command.command("adopt")
@click.argument("run")
@click.argument("model")
@click.option("--from", "sender", default="modeler", show_default=True, help="Key or role.")
@click.pass_obj
def adopt(context: Context, *, run: str, model: str, sender: str) -> None:
    """As the owner of RUN, say that MODEL (0x id or alias) was made from it."""
    key = context.key(sender)
    with context.client(key) as client:
        identity = _model(client, model)
        words: dict[str, Value] = {"run": run, "model_id": identity}
        client.send(contract_of("adopt"), "adopt", **words)
    text = f"model {identity.hex()[:16]} was made from run {run}"
    context.show({"run": run, "model_id": to_hex(identity)}, text)


@fl_command.command("lineage")
@click.argument("model")
@click.pass_obj
def lineage(context: Context, *, model: str) -> None:
    """Show the rounds that made MODEL (0x id or alias), once its run's owner adopted it."""
    with context.client() as client:
        identity = _model(client, model)
        wanted: dict[str, Value] = {"model_id": identity, "after": 0, "count": ROUNDS_SHOWN}
        found = client.call(contract_of("lineage"), "lineage", wanted)
    assert isinstance(found, dict)
    lines = [f"model {identity.hex()[:16]} of run {found['run']!s}"]
    for row in found["rounds"] if isinstance(found["rounds"], list) else []:
        assert isinstance(row, list)
        number, state, score, kept, members, height = row
        assert isinstance(state, bytes)
        assert isinstance(members, list)
        word = "kept" if kept else "rolled back"
        lines.append(
            f"round {number!s}: state {state.hex()[:16]}, score {score!s}, {word}, "
            f"{len(members)} members, height {height!s}"
        )
    context.show(value_to_json(found), "\n".join(lines))


def _model(client: Client, reference: str) -> bytes:
    if reference.startswith("0x"):
        return from_hex(reference)
    found = client.state("models", "aliases", reference)
    if not isinstance(found, bytes):
        raise InvalidInput(Code.NOT_FOUND, f"no model has the alias {reference}")
    return found


@fl_command.command("attest")
@click.argument("run")
@click.option("--from", "sender", required=True, help="The validator's key file.")
@click.pass_obj
def attest(context: Context, *, run: str, sender: str) -> None:
    """As a validator, recompute every aggregate of RUN and attest it until the run ends."""
    key = context.key(sender)
    recompute: Recompute = from_checkout(ENGINE).recompute_rounds

    async def work() -> str:
        async with TrainingLedger(context.endpoints(), key, genesis=_genesis(context)) as ledger:
            return await recompute(ledger, run, key.public, report=context.note)

    _finish(context, asyncio.run(work()))


def _finish(context: Context, reason: str) -> None:
    context.show({"ended": reason}, reason)


def _genesis(context: Context) -> Genesis:
    genesis = context.genesis()
    if genesis is None:
        raise Misuse(
            Code.BAD_CONFIG,
            "a federated run needs the genesis file: shares are revealed only for what its "
            "validators have finalised",
            hint="use --home with a folder that holds genesis.json",
        )
    return genesis
