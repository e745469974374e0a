"""Liveline multistage line: 15 measurements of each stage, one graph a stage.

Rows are shuffled seconds of one run, cut to the minute; split by minute, the first three quarters
train. A random split would leak neighbours. Figure: MAE over the MAE of the training median, mean
over the 15 outputs. The line drifts, so each output is a mix of recent levels and of trees
(`models.recipes.levels`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor

from models import graph as g
from models.certificate import certify_graph
from models.compile import evaluate_graph
from models.convert.assemble import Assembly
from models.data.tables import Table, read_table
from models.package import Description, build_package
from models.quantiser import edge_quantiser, quantise
from models.recipes.levels import LEVEL_MIN, TENTHS, Mix, fit_mix, recent_median
from models.recipes.report import Result, Say, card

OUTPUTS = 15
STEPS = 4096
TRAIN_SHARE = 0.75
CONVENTION = "first 75 % of minutes train, the rest tests; certified integers"


def train(folder: Path, stage: int, seed: int, say: Say) -> Result:
    """Fit one stage (1: 41 inputs; 2: 70, stage 1's actuals among them).

    Raises:
        InvalidInput: BAD_DATASET if the file is not there.
    """
    table = read_table(folder / "liveline" / "continuous_factory_process_sample4500.csv.gz")
    minutes = table.column(table.columns[0])
    order = np.argsort(minutes, kind="stable")
    minutes = minutes[order]
    channels = inputs_of(table, stage)
    readings = table.select(channels)[order]
    names = [f"Stage{stage}_Output_Measurement{i}_U_Actual" for i in range(OUTPUTS)]
    targets = table.select(names)[order]
    cut = int(TRAIN_SHARE * len(order)) + 16  # 3,391 rows, as in the data's description
    quantiser = edge_quantiser(channels, readings[:cut])
    inputs = quantise(quantiser, readings).values
    known, asked = inputs[:cut].astype(np.int64), inputs[cut:].astype(np.int64)
    assembly = Assembly((len(channels),))
    found, mixes = [], []
    for output in range(OUTPUTS):
        mix = fit_mix(known, targets[:cut, output], minutes[:cut], lambda: boosted(seed))
        mixes.append(mix)
        found.append(append_mix(assembly, mix))
        say(f"stage {stage}: output {output + 1}/{OUTPUTS}, tenths {mix.shares}")
    assembly.push(g.Concat(tuple(found), 0))
    certificate = certify_graph(assembly.graph(), assembly.tensors)
    whole = evaluate_graph(assembly.graph(), assembly.tensors, certificate, inputs[cut:]) / STEPS
    floats = np.stack([mix.forecast(asked) for mix in mixes], axis=1)
    recent = [recent_median(targets[:cut, i], minutes[:cut], LEVEL_MIN[-1]) for i in range(OUTPUTS)]
    truth, naive = targets[cut:], np.median(targets[:cut], axis=0)
    figures = (
        ("certified MAE / naive MAE", _over_naive(whole, naive, truth)),
        ("float MAE / naive MAE", _over_naive(floats, naive, truth)),
        ("levels of the last minutes alone", _over_naive(np.array(recent), naive, truth)),
        ("training rows", float(cut)),
        ("test rows", float(len(order) - cut)),
    )
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures)
    description = Description(
        name=f"liveline-stage{stage}",
        version="1",
        task="regress",
        scale_num=1,
        scale_den=STEPS,
        training=(
            ("data_sha256", table.sha256),
            ("learner.boosted", " ".join(repr(boosted(seed)).split())),
            ("recipe", f"models.recipes.line stage {stage}"),
            ("seed", str(seed)),
            *((f"tenths.{i:02}", "{} {} {}".format(*mix.shares)) for i, mix in enumerate(mixes)),
        ),
        card=card(
            f"Multistage line, stage {stage}",
            "15 measurements; output / 4096.",
            "Liveline continuous-flow line, a sample of 4,500 seconds of one run.",
            f"{lines}\n\nConvention: {CONVENTION}.",
            "One run of four hours; no other product or set-up was seen. Levels age: fit it again "
            "once the line has moved on.",
        ),
    )
    package = build_package(
        description, assembly.graph(), assembly.tensors, quantiser, inputs[:cut]
    )
    return Result(package=package, figures=figures, convention=CONVENTION)


def append_mix(assembly: Assembly, mix: Mix) -> int:
    """Append one output in `STEPS` a unit, for every example: `[1]`."""
    if mix.booster is not None:
        value = assembly.forest(mix.booster, 0, STEPS * mix.trees / TENTHS)
    else:
        # A constant alone has no example to belong to.
        value = assembly.push(g.Clip(assembly.push(g.Slice(0, (0,), (1,))), 0, 0))
    level = assembly.tensor("level", np.array([round(mix.level * STEPS)], np.int32))
    return assembly.push(g.Add(value, assembly.push(g.Constant(level))))


def _over_naive(
    forecast: NDArray[np.float64], naive: NDArray[np.float64], truth: NDArray[np.float64]
) -> float:
    """MAE over that of a constant `naive` for each output, mean over the outputs."""
    error, base = (np.abs(guess - truth).mean(axis=0) for guess in (forecast, naive))
    return float(np.mean(error / np.maximum(base, 1e-9)))


def boosted(seed: int) -> BaseEstimator:
    """The trees of one output, not fitted."""
    return HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=60, learning_rate=0.08, random_state=seed
    )


def inputs_of(table: Table, stage: int) -> tuple[str, ...]:
    """The columns that are known before a stage's outputs are measured."""
    before = [
        name
        for name in table.columns[1:]
        if name.startswith(("Ambient", "Machine1", "Machine2", "Machine3", "FirstStage"))
    ]
    if stage == 1:
        return tuple(before)
    later = [name for name in table.columns if name.startswith(("Machine4", "Machine5"))]
    actuals = [f"Stage1_Output_Measurement{i}_U_Actual" for i in range(OUTPUTS)]
    return (*before, *actuals, *later)
