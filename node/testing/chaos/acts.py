"""What organisations decide during a run: who validates, which models serve. Drawn from a seed.

An act begins at its time and is pursued through the faults until it is final; acts follow each
other. Never drawn: what would leave the network with more faults than it bears, since a run that
then stands still shows nothing.
"""

from __future__ import annotations

import random
from enum import Enum

import msgspec

VALIDATORS_MIN = 3
"""Members that removals leave."""
ACTS_MAX = 16
WEIGHTS = (1, 2, 3)
CHANGE_SHARE = 0.6
MODEL_SHARE = 0.4
SERVES = "turbofan-rul"
"""The alias that models are activated under: what `maintenance` of a local network asks."""
PACKAGES = ("rul-demo", "turbofan-fd001")
WORKERS = 4
"""Validators of runs with models: four workers are what a small machine can bear."""


class Deed(Enum):
    """What is decided."""

    REMOVE = "remove"
    """`node` leaves the set of validators."""
    RETURN = "return"
    """`node` comes back, with a weight of `amount`."""
    WEIGH = "weigh"
    """`node` has a weight of `amount` from now on."""
    ACTIVATE = "activate"
    """`package` is published, checked by the validators and given the alias."""
    ROLL_BACK = "roll-back"
    """The alias names the package that it named before."""


SET_DEEDS = (Deed.REMOVE, Deed.RETURN, Deed.WEIGH)


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One decision, pursued from `at_ms` after the start of the load."""

    deed: Deed
    at_ms: int
    node: str = ""
    amount: int = 1
    package: str = ""

    def __str__(self) -> str:
        what = self.package or self.node
        amount = f" {self.amount}" if self.deed in (Deed.RETURN, Deed.WEIGH) else ""
        return f"{self.at_ms / 1000:5.1f} s             {self.deed.value} {what}{amount}".rstrip()


def draw_acts(seed: int, names: tuple[str, ...], faults_ms: int, *, lies: bool) -> tuple[Act, ...]:
    """Draw acts for these validators. With a lying worker the set stays: it is the one fault."""
    draw = random.Random(f"acts {seed}")  # noqa: S311 - no secret
    acts: list[Act] = []
    if draw.random() < CHANGE_SHARE and not lies:
        acts += _draw_changes(draw, names, faults_ms)
    if len(names) == WORKERS and draw.random() < MODEL_SHARE:
        acts += _draw_models(draw, faults_ms)
    return tuple(sorted(acts, key=lambda act: act.at_ms))


def _draw_changes(draw: random.Random, names: tuple[str, ...], faults_ms: int) -> list[Act]:
    members, out = list(names), list[str]()
    acts = []
    for at_ms in _times(draw, draw.randint(1, 3), faults_ms):
        choices = [Deed.WEIGH]
        if len(members) > VALIDATORS_MIN:
            choices += [Deed.REMOVE, Deed.REMOVE]
        if out:
            choices += [Deed.RETURN, Deed.RETURN]
        deed = draw.choice(choices)
        node = draw.choice(out if deed is Deed.RETURN else members)
        if deed is Deed.REMOVE:
            members.remove(node)
            out.append(node)
        elif deed is Deed.RETURN:
            out.remove(node)
            members.append(node)
        acts.append(Act(deed=deed, at_ms=at_ms, node=node, amount=draw.choice(WEIGHTS)))
    return acts


def _draw_models(draw: random.Random, faults_ms: int) -> list[Act]:
    count = draw.randint(1, 3)
    deeds = (
        (Deed.ACTIVATE, PACKAGES[0]),
        (Deed.ACTIVATE, PACKAGES[1]),
        (Deed.ROLL_BACK, ""),
    )
    times = _times(draw, count, faults_ms)
    return [
        Act(deed=deed, at_ms=at_ms, package=package)
        for at_ms, (deed, package) in zip(times, deeds, strict=False)
    ]


def _times(draw: random.Random, count: int, faults_ms: int) -> list[int]:
    return sorted(draw.sample(range(0, faults_ms - 2_000, 100), count))


def weights_after(names: tuple[str, ...], acts: tuple[Act, ...]) -> dict[str, int]:
    """Weights of the members once all acts are done, by name of the node."""
    weights = dict.fromkeys(names, 1)
    for act in acts:
        match act.deed:
            case Deed.REMOVE:
                weights.pop(act.node, None)
            case Deed.RETURN:
                weights[act.node] = act.amount
            case Deed.WEIGH:
                if act.node in weights:
                    weights[act.node] = act.amount
            case Deed.ACTIVATE | Deed.ROLL_BACK:
                pass
    return weights


def packages_after(acts: tuple[Act, ...]) -> tuple[str, ...]:
    """Packages that the alias has named once all acts are done, oldest first; the last serves."""
    serving: list[str] = []
    for act in acts:
        if act.deed is Deed.ACTIVATE:
            serving.append(act.package)
        elif act.deed is Deed.ROLL_BACK and len(serving) > 1:
            serving.pop()
    return tuple(serving)


def check_acts(names: tuple[str, ...], acts: tuple[Act, ...], until_ms: int) -> str:
    """What is impossible in a list of acts; empty if nothing is."""
    if len(acts) > ACTS_MAX:
        return f"at most {ACTS_MAX} acts"
    for place, act in enumerate(acts):
        before = acts[:place]
        members = weights_after(names, before)
        is_possible = {
            Deed.REMOVE: act.node in members and len(members) > VALIDATORS_MIN,
            Deed.RETURN: act.node in names and act.node not in members,
            Deed.WEIGH: act.node in members,
            Deed.ACTIVATE: act.package in PACKAGES and act.package not in published(before),
            Deed.ROLL_BACK: len(packages_after(before)) > 1,
        }[act.deed]
        if not is_possible or not 0 <= act.at_ms < until_ms or act.amount < 1:
            return f"not possible: '{act}'"
    return ""


def published(acts: tuple[Act, ...]) -> tuple[str, ...]:
    """Packages that acts publish."""
    return tuple(act.package for act in acts if act.deed is Deed.ACTIVATE)
