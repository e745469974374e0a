"""From a network to integers that lose little: train, convert, and train again where it cost much.

The figure that decides is the loss of the certified integers on rows that are held out (or on the
training rows, where nothing is). What costs more than 1 % is trained on with rounded operands
(`models.train.fake_quant`); the better of the two conversions is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.compile import evaluate_graph
from models.convert import Conversion, Options, convert
from models.train.fit import FitConfig, Floats, Inputs, evaluate, fit
from models.train.step import Augment, Loss, Network

LOSS_RATIO_MAX = 1.01
JUDGED_MAX = 2048


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
) -> Certified:
    """Train `model` in place as `fit` does, convert it, and train on rounded operands if need be.

    The model keeps the weights whose integers are returned.

    Raises:
        InvalidInput: as `models.train.fit.fit` and `models.convert.convert`.
    """
    held = validation if validation is not None else (inputs, targets)
    rows, wanted = held[0][:JUDGED_MAX], held[1][:JUDGED_MAX]

    def train(settings: FitConfig) -> tuple[Conversion, float]:
        fit(
            model, inputs, targets, settings,
            loss=loss, validation=validation, augment=augment, report=report,
        )  # fmt: skip
        found = convert(model, inputs, options)
        outputs = evaluate_graph(found.graph, found.tensors, found.certificate, rows)
        values = outputs.astype(np.float32) / np.float32(options.steps_per_unit * options.gain)
        return found, _loss(loss, values, wanted)

    rounded, rounded_loss = train(config)
    float_loss = _loss(loss, evaluate(model, rows), wanted)
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


def _loss(loss: Loss, values: Floats, targets: Floats) -> float:
    return float(loss(jnp.asarray(values), jnp.asarray(targets)))
