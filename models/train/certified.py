"""From a network to integers that lose little: train, convert, and train again where it cost much.

The figure that decides is the loss of the certified integers on rows that are held out (or on the
training rows, where nothing is). What costs more than 1 % is trained on with rounded operands
(`models.train.fake_quant`); the better of the two conversions is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.compile import evaluate_graph
from models.convert import Conversion, Options, convert
from models.train.fit import FitConfig, Floats, Inputs, evaluate, fit, run_name
from models.train.step import Augment, Loss, Network

Map = Callable[[jax.Array], jax.Array]
LOSS_RATIO_MAX = 1.01
JUDGED_MAX = 2048


@dataclass(frozen=True, slots=True)
class Link:
    """What turns a network's outputs into what is converted, and back for its loss."""

    apply: Map
    undo: Map


def _same(x: jax.Array) -> jax.Array:
    return x


IDENTITY = Link(_same, _same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """A conversion and the losses that led to it, in the unit of the loss.

    `float_loss` is the network's before any rounding; `rounded_loss` that of its integers;
    `tuned_loss` that of the integers after training on rounded operands, None where there was
    no need. The conversion is the one with the lesser loss.
    """

    conversion: Conversion
    float_loss: float
    rounded_loss: float
    tuned_loss: float | None

    def lines(self) -> list[str]:
        """What rounding cost, whole and by layer."""
        cost = 100 * (self.rounded_loss / max(self.float_loss, 1e-12) - 1)
        lines = [f"loss {self.float_loss:.5g} in floats, {self.rounded_loss:.5g} in integers"]
        lines[0] += f" ({cost:+.1f} %)"
        if self.tuned_loss is not None:
            lines.append(f"loss {self.tuned_loss:.5g} in integers, trained on rounded operands")
        return [*lines, *self.conversion.lines()]


def fit_certified(
    model: Network,
    inputs: Inputs,
    targets: Floats,
    config: FitConfig,
    options: Options,
    *,
    loss: Loss,
    validation: tuple[Inputs, Floats] | None = None,
    augment: Augment | None = None,
    report: Callable[[int, float], None] | None = None,
    link: Link = IDENTITY,
    checkpoints: Path | None = None,
    name: str = "network",
) -> Certified:
    """Train `model` in place as `fit` does, convert it, and train on rounded operands if need be.

    The model keeps the weights whose integers are returned. What is converted is the link of its
    outputs. `checkpoints` is a folder that may be there: a run that was killed goes on from it;
    `name` tells the network from others that train on the same data.

    Raises:
        InvalidInput: as `models.train.fit.fit` and `models.convert.convert`.
    """
    held = validation if validation is not None else (inputs, targets)
    # Spread, as rows may be sorted by class.
    places = np.linspace(0, len(held[0]) - 1, min(len(held[0]), JUDGED_MAX)).astype(int)
    rows, wanted = held[0][places], held[1][places]

    def train(settings: FitConfig) -> tuple[Conversion, float]:
        fit(
            model, inputs, targets, settings,
            loss=loss, validation=validation, augment=augment, report=report,
            checkpoint=checkpoint_of(checkpoints, name, settings, (inputs, targets), validation),
        )  # fmt: skip
        found = convert(lambda x: link.apply(model(x)), inputs, options)
        outputs = evaluate_graph(found.graph, found.tensors, found.certificate, rows)
        values = outputs.astype(np.float32) / np.float32(options.steps_per_unit * options.gain)
        return found, _loss(loss, link.undo(jnp.asarray(values)), wanted)

    rounded, rounded_loss = train(config)
    linked = link.apply(jnp.asarray(evaluate(model, rows)))
    float_loss = _loss(loss, link.undo(linked), wanted)
    if rounded_loss <= LOSS_RATIO_MAX * float_loss:
        return Certified(
            conversion=rounded, float_loss=float_loss, rounded_loss=rounded_loss, tuned_loss=None
        )
    before = jax.tree.map(jnp.copy, nnx.state(model))
    tuned, tuned_loss = train(replace(config, is_fake_quantised=True))
    is_better = tuned_loss < rounded_loss
    if not is_better:
        nnx.update(model, before)
    return Certified(
        conversion=tuned if is_better else rounded,
        float_loss=float_loss,
        rounded_loss=rounded_loss,
        tuned_loss=tuned_loss,
    )


def checkpoint_of(
    folder: Path | None,
    name: str,
    config: FitConfig,
    data: tuple[Inputs, Floats],
    validation: tuple[Inputs, Floats] | None,
) -> Path | None:
    """The file of one run in a folder of many: folds, learners, training on rounded operands."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    # The run's digest does not know the network, and a recipe may train two on the same rows.
    return folder / f"{name}-{run_name(config, *data, validation)[:16]}.checkpoint"


def _loss(loss: Loss, values: jax.Array, targets: Floats) -> float:
    return float(loss(values, jnp.asarray(targets)))
