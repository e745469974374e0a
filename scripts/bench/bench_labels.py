"""Labels saved by asking for what the model is unsure of, against labels drawn at random.

Both ways begin with the same few labels and grow by the same batches; the learner is trained from
nothing after every batch. A curve is the mean over seeds. The target is fixed beforehand: 99 % of
what the same learner reaches with every label of the pool (mean over seeds). "Labels" is the first
count at which the mean curve is at the target. Each data set is learned twice: by a float model,
and by a certified one, where the integers of the graph say what is unsure (`labels_certified`).
Reads the folder named by ANDON_DATA; without it, it says so and does nothing. ANDON_BENCH_LABELS
names the tasks to run, `neu-certified` for one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from models.data.tables import read_table
from models.environment import prepare_environment
from scripts.bench.conditions import print_conditions
from scripts.bench.labels_certified import Textures, fit_forest, machines

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Fit = Callable[[Floats, Ints, int], Callable[[Floats], Floats]]
"""(inputs, labels, seed) gives a function from inputs to the chances of the classes."""

TARGET_SHARE = 0.99
SEEDS = int(os.environ.get("SEEDS", "5"))
GOAL_PERCENT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Pool and test of one data set, how it is learned and how it is scored."""

    name: str
    figure: str
    x: Floats
    y: Ints
    x_test: Floats
    y_test: Ints
    first: int
    batch: int
    most: int
    fit: Fit
    score: Callable[[Floats, Ints], float]


def main() -> None:
    """Print both data sets."""
    folder = os.environ.get("ANDON_DATA")
    if folder is None:
        print("labels: needs the data sets; name their folder in ANDON_DATA")
        return
    # Before the first JAX call: the certificate holds under these flags only.
    prepare_environment("cpu")
    makers = {
        "neu": neu,
        "ai4i": ai4i,
        "neu-certified": neu_certified,
        "ai4i-certified": ai4i_certified,
    }
    wanted = os.environ.get("ANDON_BENCH_LABELS", ",".join(makers)).split(",")
    for name, make in makers.items():
        if name in wanted:
            report(make(Path(folder)))


def report(task: Task) -> None:
    """Run one task and print its curves in short."""
    classes = len(np.unique(task.y))
    full = float(
        np.mean(
            [task.score(task.fit(task.x, task.y, s)(task.x_test), task.y_test) for s in seeds()]
        )
    )
    target = TARGET_SHARE * full
    curves = {
        name: np.mean([curve(task, seed, is_active=name == "unsure") for seed in seeds()], axis=0)
        for name in ("random", "unsure")
    }
    print(
        f"{task.name}: pool {len(task.y)}, test {len(task.y_test)}, {classes} classes, "
        f"{SEEDS} seeds; {task.figure} with all labels {full:.4f}, target {target:.4f}"
    )
    counts = np.arange(task.first, task.most + 1, task.batch)
    needed: dict[str, int | None] = {}
    for name, values in curves.items():
        reached = np.flatnonzero(values >= target)
        needed[name] = int(counts[reached[0]]) if len(reached) else None
        shown = "  ".join(f"{counts[i]}:{values[i]:.3f}" for i in range(0, len(counts), 4))
        print(f"  {name:7} labels {needed[name] or f'more than {task.most}'}   {shown}")
    random, unsure = needed["random"], needed["unsure"]
    if unsure is None:
        print(f"  the target was not reached (goal: {GOAL_PERCENT} % fewer)")
        return
    fewer = 100 * (1 - unsure / (random or task.most))
    bound = "" if random else "at least "
    print(f"  {bound}{fewer:.0f} % fewer labels (goal: {GOAL_PERCENT} %)")


def seeds() -> range:
    """Seeds of the runs."""
    return range(SEEDS)


def curve(task: Task, seed: int, *, is_active: bool) -> list[float]:
    """Score after each batch."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(task.y))
    known = first_labels(task, order)
    scores = []
    while True:
        chances = task.fit(task.x[known], task.y[known], seed)
        scores.append(task.score(chances(task.x_test), task.y_test))
        if len(known) + task.batch > task.most:
            return scores
        rest = order[~np.isin(order, known)]
        if is_active:
            rest = rest[np.argsort(margins(chances(task.x[rest])), kind="stable")]
        known = np.concatenate([known, rest[: task.batch]])


def first_labels(task: Task, order: Ints) -> Ints:
    """The same start for both ways: random, with two of each class so that it can learn."""
    heads = [order[task.y[order] == label][:2] for label in np.unique(task.y)]
    head = np.concatenate(heads)
    rest = order[~np.isin(order, head)]
    return np.concatenate([head, rest[: task.first - len(head)]])


def margins(chances: Floats) -> Floats:
    """Lead of the best class over the second: what `decide` compares with its margin."""
    ranked = np.sort(chances, axis=1)
    return np.asarray(ranked[:, -1] - ranked[:, -2], np.float64)


def neu(folder: Path) -> Task:
    """Steel defects: texture features and logistic regression, accuracy; split by number."""
    with np.load(folder / "neu_cls" / "neu_cls_64.npz", allow_pickle=False) as archive:
        images, labels = archive["x"], archive["y"].astype(np.int64)
        is_test = archive["is_test"].astype(bool)
    features = np.stack([texture(image.astype(np.int16)) for image in images])

    def fit(x: Floats, y: Ints, seed: int) -> Callable[[Floats], Floats]:
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.3, max_iter=500, random_state=seed)
        )
        model.fit(x, y)
        return lambda more: np.asarray(model.predict_proba(more), np.float64)

    return Task(
        name="NEU",
        figure="accuracy",
        x=features[~is_test],
        y=labels[~is_test],
        x_test=features[is_test],
        y_test=labels[is_test],
        first=24,
        batch=12,
        most=720,
        fit=fit,
        score=lambda chances, y: float((chances.argmax(axis=1) == y).mean()),
    )


def texture(image: NDArray[np.int16]) -> Floats:
    """Local binary patterns at two radii (rotation-invariant), grey levels, gradient strengths."""
    parts = []
    for radius in (1, 3):
        inner = image[radius:-radius, radius:-radius]
        height, width = inner.shape
        around = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)]
        code = np.zeros(inner.shape, np.int64)
        for bit, (down, right) in enumerate(around):
            top, left = radius + down * radius, radius + right * radius
            code |= (image[top : top + height, left : left + width] >= inner).astype(
                np.int64
            ) << bit
        turned = np.stack([((code << k) | (code >> (8 - k))) & 255 for k in range(8)]).min(axis=0)
        parts.append(np.bincount(turned.ravel(), minlength=256)[_TURNED] / turned.size)
    parts.append(np.quantile(image, [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]) / 255)
    slope_y, slope_x = np.gradient(image.astype(np.float64))
    strength = np.hypot(slope_y, slope_x)
    angle = (np.arctan2(slope_y, slope_x) % np.pi / np.pi * 8).astype(np.int64) % 8
    parts.append(np.bincount(angle.ravel(), strength.ravel(), minlength=8) / strength.size / 32)
    return np.concatenate(parts)


_TURNED = np.unique(
    [min(((code << k) | (code >> (8 - k))) & 255 for k in range(8)) for code in range(256)]
)


def ai4i(folder: Path) -> Task:
    """Machine failures: six inputs and three of physics, a forest, average precision."""
    table = read_table(folder / "ai4i2020" / "ai4i2020.csv.gz")
    names = (
        "Type", "Air temperature [K]", "Process temperature [K]",
        "Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]",
    )  # fmt: skip
    raw = table.select(names)
    gap, power, strain = raw[:, 2] - raw[:, 1], raw[:, 3] * raw[:, 4], raw[:, 4] * raw[:, 5]
    x = np.column_stack([raw, gap, power, strain])
    y = table.column("Machine failure").astype(np.int64)
    order = np.random.default_rng(0).permutation(len(y))
    test, pool = order[:2000], order[2000:]

    def fit(x: Floats, y: Ints, seed: int) -> Callable[[Floats], Floats]:
        model = RandomForestClassifier(
            100, class_weight="balanced_subsample", min_samples_leaf=2, random_state=seed
        )
        model.fit(x, y)
        return lambda more: np.asarray(model.predict_proba(more), np.float64)

    return Task(
        name="AI4I",
        figure="average precision",
        x=x[pool],
        y=y[pool],
        x_test=x[test],
        y_test=y[test],
        first=100,
        batch=100,
        most=4000,
        fit=fit,
        score=lambda chances, y: float(average_precision_score(y, chances[:, 1])),
    )


def neu_certified(folder: Path) -> Task:
    """Steel defects by the recipe's certified texture model; the pool is counted once.

    Batches are twice the float task's: a fit with its conversion takes seconds.
    """
    textures = Textures(folder)
    task = textures.task
    roots, is_test = textures.roots.astype(np.float64), task.is_test
    first = np.flatnonzero(~is_test)[:: len(task.labels) // 96]
    assert textures.is_whole(first, 0), "the split graph is not the recipe's"
    return Task(
        name="NEU, certified",
        figure="accuracy",
        x=roots[~is_test],
        y=task.labels[~is_test],
        x_test=roots[is_test],
        y_test=task.labels[is_test],
        first=24,
        batch=24,
        most=720,
        fit=textures.fit,
        score=lambda chances, y: float((chances.argmax(axis=1) == y).mean()),
    )


def ai4i_certified(folder: Path) -> Task:
    """Machine failures by a certified forest on int8 readings; the float task's pool and test."""
    x, y = machines(folder)
    order = np.random.default_rng(0).permutation(len(y))
    test, pool = order[:2000], order[2000:]
    return replace(
        ai4i(folder),
        name="AI4I, certified",
        x=x[pool],
        y=y[pool],
        x_test=x[test],
        y_test=y[test],
        fit=fit_forest,
    )


if __name__ == "__main__":
    print_conditions()
    main()
