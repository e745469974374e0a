"""Rows of a table into examples: which columns are inputs, which rows are the test.

Split by group where there is one, else by time where there is one, else at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.data.tables import Table
from models.recipes.super_learner import group_folds

TASKS = ("regress", "classify", "rul", "forecast", "anomaly")
TEST_SHARE = 0.25
CLASSES_MAX = 64
FOLDS = 4
WINDOW_ROWS = 30
CAP = 125.0
CAP_LIVES = (50.0, 500.0)
"""Median lives for which `CAP` is a sensible cap: counts of cycles, as in C-MAPSS."""
CAP_SHARE = 0.6
CAP_MAX = 60_000.0
IDENTIFIER_SHARE = 0.5
"""A text column with more different texts than this share of the rows names rows."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to train; empty names mean "there is none"."""

    csv: Path
    task: str
    name: str
    target: str = ""
    group: str = ""
    time: str = ""
    ignore: tuple[str, ...] = ()
    window: int = 0
    """Rows in a window; 0 for WINDOW_ROWS, or fewer where the series are short."""
    cap: float = 0.0
    """Task rul: more life left than this is not told apart; 0 chooses from the data."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Readings (rows or windows), targets, groups for folds, and which rows are the test."""

    readings: Floats
    targets: Floats
    groups: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    convention: str
    cap: float = 0.0
    """The largest target of task rul; 0 for other tasks."""


def class_names(table: Table, request: Request) -> tuple[str, ...]:
    """The classes of `--target` in the order of their numbers; empty for other tasks.

    Raises:
        InvalidInput: BAD_DATASET when there are fewer than two classes or more than `CLASSES_MAX`.
    """
    if request.task != "classify":
        return ()
    found = np.unique(_target_column(table, request))
    if not 2 <= len(found) <= CLASSES_MAX:
        raise refuse(
            f"target {request.target!r} has {len(found)} classes",
            f"2 to {CLASSES_MAX} classes are supported",
        )
    texts = table.codes.get(request.target)
    return tuple(texts[int(value)] if texts else f"{value:g}" for value in found)


def input_columns(table: Table, request: Request) -> tuple[str, ...]:
    """The columns that vary and are not target, group, time or ignored."""
    reserved = {request.group, request.time, *request.ignore}
    if request.task != "forecast":
        reserved.add(request.target)
    else:
        table.column(request.target)
        return (request.target,)
    reserved.update(identifiers(table, request))
    constant = {name for name in table.columns if len(np.unique(table.column(name))) < 2}
    channels = tuple(n for n in table.columns if n not in reserved and n not in constant)
    if not channels:
        raise refuse("no input column is left", "leave at least one column that varies")
    return channels


def identifiers(table: Table, request: Request) -> tuple[str, ...]:
    """Text columns that differ in nearly every row (time stamps, serial numbers): no inputs."""
    named = {request.group, request.time, request.target, *request.ignore}
    rows_max = IDENTIFIER_SHARE * len(table.values)
    return tuple(
        name for name, texts in table.codes.items() if name not in named and len(texts) > rows_max
    )


def examples_of(table: Table, channels: Sequence[str], request: Request) -> Examples:
    """Sort, window and split the rows as the request asks.

    Raises:
        InvalidInput: BAD_DATASET.
    """
    if request.cap and (request.task != "rul" or not 0 < request.cap <= CAP_MAX):
        raise refuse(
            f"a cap of {request.cap:g} for task {request.task}",
            f"--cap is for task rul, above 0 and up to {CAP_MAX:g}",
        )
    rows = len(table.values)
    groups = (
        np.unique(table.column(request.group), return_inverse=True)[1].astype(np.int64)
        if request.group
        else np.zeros(rows, np.int64)
    )
    order = np.lexsort((table.column(request.time), groups)) if request.time else np.argsort(
        groups, kind="stable"
    )  # fmt: skip
    readings, groups = table.select(channels)[order], groups[order]
    is_windowed = request.task == "anomaly" and bool(request.time) and request.window != 1
    if request.task in ("rul", "forecast") or is_windowed:
        return _windows(table, readings, groups, order, request)
    if request.task == "anomaly":
        targets = np.zeros(rows)
        if request.target:
            targets = table.column(request.target)[order]
    else:
        targets = _target(table, request)[order]
    place = np.arange(rows) / rows
    if request.group:
        return _by_group(readings, targets, groups, request)
    if request.time:
        is_test = place >= 1 - TEST_SHARE
        folds = (place * FOLDS * 4).astype(np.int64)
        return Examples(
            readings=readings, targets=targets, groups=folds, is_test=is_test,
            convention="the last quarter of time is the test",
        )  # fmt: skip
    draw = np.random.default_rng(request.seed).permutation(rows)
    is_test = np.zeros(rows, bool)
    is_test[draw[: round(TEST_SHARE * rows)]] = True
    return Examples(
        readings=readings, targets=targets, groups=draw.astype(np.int64), is_test=is_test,
        convention=f"a random quarter of rows is the test, seed {request.seed}",
    )  # fmt: skip


def _by_group(
    readings: Floats, targets: Floats, groups: NDArray[np.int64], request: Request
) -> Examples:
    fold = group_folds(groups, round(1 / TEST_SHARE), request.seed)
    if len(np.unique(groups)) < 2 * FOLDS:
        raise refuse(
            f"column {request.group!r} names {len(np.unique(groups))} groups",
            f"at least {2 * FOLDS} groups are needed to hold some out",
        )
    return Examples(
        readings=readings, targets=targets, groups=groups, is_test=fold == 0,
        convention=f"a quarter of the groups of {request.group!r} is the test",
    )  # fmt: skip


def _windows(
    table: Table, readings: Floats, groups: NDArray[np.int64], order: NDArray[np.intp],
    request: Request,
) -> Examples:  # fmt: skip
    """Windows within groups; the target is life left, the next value, or a column's last value."""
    size = request.window or _window_rows(groups, request.task)
    if request.task == "rul" and not request.group:
        raise refuse("task rul needs --group, the column that names the machine", "")
    given = table.column(request.target)[order] if request.target else None
    parts: list[Floats] = []
    targets: list[float] = []
    owners: list[int] = []
    places: list[float] = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        for end in range(size, len(rows) + (request.task != "forecast")):
            parts.append(readings[rows[end - size : end]])
            owners.append(int(group))
            places.append(end / len(rows))
            if request.task == "forecast":
                targets.append(float(readings[rows[end], 0]))
            elif given is not None:
                targets.append(float(given[rows[end - 1]]))
            else:
                targets.append(float(len(rows) - end))
    if len(parts) < 40:
        raise refuse(f"only {len(parts)} windows of {size} rows fit", "choose a smaller --window")
    stacked, wanted = np.stack(parts), np.array(targets)
    if request.task == "rul":
        found = _by_group(stacked, wanted, np.array(owners, np.int64), request)
        lives = [
            float(np.sum(groups == group) if given is None else given[groups == group].max())
            for group in np.unique(found.groups[~found.is_test])
        ]
        return _capped(found, float(np.median(lives)), request.cap)
    if request.task == "anomaly" and request.group:
        found = _by_group(stacked, wanted, np.array(owners, np.int64), request)
        return replace(found, convention=f"{found.convention}; windows of {size} rows")
    late = np.array(places) >= 1 - TEST_SHARE
    if late.all():
        raise refuse(
            f"windows of {size} rows leave nothing to train on before the last quarter of a series",
            "choose a smaller --window",
        )
    blocks = (np.array(places) * FOLDS * 4).astype(np.int64)
    ahead = "one step ahead of" if request.task == "forecast" else "windows of"
    return Examples(
        readings=stacked, targets=wanted, groups=blocks, is_test=late,
        convention=f"the last quarter of each series is the test; {ahead} {size} rows",
    )  # fmt: skip


def _capped(examples: Examples, median_life: float, asked: float) -> Examples:
    """Cap life left as asked, or by the lives of machines that train."""
    cap, why = (asked, "as asked") if asked else chosen_cap(median_life)
    if not 0 < cap <= CAP_MAX:
        raise refuse(
            f"a median life of {median_life:g} cannot be predicted",
            f"lives lie above 0; multiply or divide them so that the cap is at most {CAP_MAX:g}",
        )
    return replace(
        examples, targets=np.minimum(examples.targets, cap), cap=cap,
        convention=f"{examples.convention}; remaining life capped at {cap:g} ({why})",
    )  # fmt: skip


def chosen_cap(median_life: float) -> tuple[float, str]:
    """125 where lives are like counts of cycles, else six tenths of the median; and why."""
    if CAP_LIVES[0] <= median_life <= CAP_LIVES[1]:
        return CAP, "the default; --cap changes it"
    cap = CAP_SHARE * median_life
    return float(f"{cap:.2g}"), f"six tenths of the median life {median_life:g}; --cap changes it"


def _window_rows(groups: NDArray[np.int64], task: str) -> int:
    """WINDOW_ROWS; of short series a third (forecast), or what three quarters of them fill."""
    lengths = np.unique(groups, return_counts=True)[1]
    fit = np.median(lengths) / 3 if task == "forecast" else np.quantile(lengths, 0.25)
    return int(np.clip(fit, 2, WINDOW_ROWS))


def _target(table: Table, request: Request) -> Floats:
    values = _target_column(table, request)
    if request.task == "classify":
        class_names(table, request)
        return np.unique(values, return_inverse=True)[1].astype(np.float64)
    return values


def _target_column(table: Table, request: Request) -> Floats:
    if not request.target:
        raise refuse(f"task {request.task} needs --target", "columns: " + ", ".join(table.columns))
    values = table.column(request.target)
    if np.isnan(values).any():
        raise refuse(f"target {request.target!r} has missing cells", "drop those rows first")
    return values


def refuse(message: str, hint: str) -> InvalidInput:
    """The error for a table or request that cannot be trained on."""
    return InvalidInput(Code.BAD_DATASET, message, hint=hint)
