"""The training loop: AdamW with a warm-up and cosine decay, and averaged weights at the end.

A run is a function of (config, data, seed): the same three give the same floats on one machine
and jaxlib. What validators run is the certified integer package, whose id settles any doubt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.train.checkpoint import load_checkpoint, save_checkpoint
from models.train.devices import Spread
from models.train.progress import Bar
from models.train.step import (
    Augment,
    Loss,
    Network,
    State,
    StepConfig,
    Tree,
    make_judge,
    make_step,
    start,
)

Inputs = NDArray[np.int8]
Floats = NDArray[np.float32]
EPOCHS_MAX = 100_000
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """Hyperparameters; every field goes into the lineage of a package."""

    epochs: int = 15
    batch: int = 256
    rate: float = 2e-3
    weight_decay: float = 1e-4
    noise: float = 0.02
    average: float = 0.995
    seed: int = 0
    precision: str = "float32"
    """Of the products of a step: "float32" or "bfloat16"; weights and moments are float32."""
    patience: int = 0
    """Epochs without a better validation loss before training stops; 0: never."""
    is_fake_quantised: bool = False
    """Train on rounded operands (`models.train.fake_quant`)."""

    def lineage(self) -> dict[str, str]:
        """Every field as text; the later three only where they differ from their default."""
        plain, fields = asdict(FitConfig()), asdict(self)
        later = ("precision", "patience", "is_fake_quantised")
        kept = {k: v for k, v in fields.items() if k not in later or v != plain[k]}
        return {f"fit.{name}": str(value) for name, value in kept.items()}

    def optimiser(self, batches: int) -> optax.GradientTransformation:
        """AdamW with a warm-up over a twentieth of the steps and a cosine to zero."""
        steps = max(2, self.epochs * batches)  # the schedule has two phases
        schedule = optax.warmup_cosine_decay_schedule(0.0, self.rate, max(1, steps // 20), steps)
        return optax.adamw(schedule, weight_decay=self.weight_decay)

    def check(self, rows: int, *, has_validation: bool) -> None:
        """Raises: InvalidInput: BAD_REQUEST for settings that cannot be."""
        problems = {
            "no rows to train on": rows < 1,
            f"epochs {self.epochs}": not 1 <= self.epochs <= EPOCHS_MAX,
            f"batch {self.batch}": self.batch < 1,
            f"precision {self.precision!r}": self.precision not in PRECISIONS,
            "patience without validation rows": self.patience > 0 and not has_validation,
            f"patience {self.patience}": self.patience < 0,
        }
        for problem, is_wrong in problems.items():
            if is_wrong:
                raise InvalidInput(
                    Code.BAD_REQUEST, f"training: {problem}",
                    hint="precision is one of " + ", ".join(PRECISIONS),
                )  # fmt: skip


def huber(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """Quadratic near zero, linear beyond 0.1: targets are scaled to about one."""
    return jnp.mean(optax.losses.huber_loss(predicted, target, delta=0.1))


def squared(predicted: jax.Array, target: jax.Array) -> jax.Array:
    """Mean squared error."""
    return jnp.mean((predicted - target) ** 2)


def bernoulli(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Mean binary cross-entropy of log-odds, the rarer class weighted up within the batch."""
    positive = jnp.clip(target.mean(), 0.02, 0.98)
    weight = jnp.where(target > 0.5, 0.5 / positive, 0.5 / (1 - positive))
    return jnp.mean(weight * optax.losses.sigmoid_binary_cross_entropy(logits, target))


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """Mean softmax cross-entropy of integer labels `target: [batch, 1]`."""
    labels = target[:, 0].astype(jnp.int32)
    return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels))


@dataclass(frozen=True, slots=True)
class History:
    """Mean training loss of each epoch, validation loss where there was one, and what was kept.

    `kept` is the epoch (from 0) whose weights the model has; `resumed` says how many epochs came
    from a checkpoint.
    """

    losses: tuple[float, ...]
    validation: tuple[float, ...]
    kept: int
    resumed: int


def fit(
    model: Network,
    inputs: Inputs,
    targets: Floats,
    config: FitConfig,
    *,
    loss: Loss = huber,
    report: Callable[[int, float], None] | None = None,
    augment: Augment | None = None,
    validation: tuple[Inputs, Floats] | None = None,
    checkpoint: Path | None = None,
    devices: Sequence[jax.Device] = (),
) -> History:
    """Train `model` in place on `inputs: i8[n, ...]` (divided by 127) and `targets: f32[n, k]`.

    `report` is called with epoch and mean loss. `augment(key, batch)` may distort inputs. The
    weights that remain are the exponential average: of the best epoch by `validation` (same
    shapes) where that is given, else of the last. With `config.patience` training stops after so
    many epochs without a better one. A run whose `checkpoint` exists goes on from it, to the same
    bits as if it had never stopped. Batches are cut over `devices`.

    Raises:
        InvalidInput: BAD_REQUEST for settings that cannot be, BAD_DATASET for a checkpoint of
            another run.
    """
    config.check(len(inputs), has_validation=validation is not None)
    batches = max(1, len(inputs) // config.batch)
    optimiser = config.optimiser(batches)
    spread = Spread(devices, min(config.batch, len(inputs)))
    model.train()  # type: ignore[no-untyped-call] # untyped in flax
    structure, state = start(model, optimiser, config.seed)
    step = make_step(
        structure,
        optimiser,
        StepConfig(
            noise=config.noise,
            average=config.average,
            is_bfloat16=config.precision == "bfloat16",
            is_fake_quantised=config.is_fake_quantised,
            loss=loss,
            augment=augment,
        ),
    )
    judge = make_judge(structure, loss)
    run = run_name(config, inputs, targets, validation)
    course = _Course(
        state, state.mean, state.rest, np.zeros(config.epochs), np.zeros(config.epochs), np.int64(0)
    )
    found = load_checkpoint(checkpoint, run, course) if checkpoint is not None else None
    begun, course = found if found is not None else (0, course)
    course = course._replace(
        state=spread.copy(course.state),
        best=spread.copy(course.best),
        rest=spread.copy(course.rest),
    )
    order = np.random.default_rng(config.seed)
    for _ in range(begun):
        order.permutation(len(inputs))
    bar = Bar("training", config.epochs * batches, done=begun * batches)
    epoch = begun
    while epoch < config.epochs and not _is_over(course, epoch, config, validation is not None):
        shuffled = order.permutation(len(inputs))
        state, total = course.state, 0.0
        for index in range(batches):
            places = shuffled[index * config.batch : (index + 1) * config.batch]
            state, value = step(state, spread.cut(inputs[places]), spread.cut(targets[places]))
            total += float(value)
            bar.show(epoch * batches + index + 1, f"loss {total / (index + 1):.4f}")
        held = judge(state, *validation) if validation is not None else 0.0
        course = _after(course, epoch, state, (total / batches, held), validation is not None)
        epoch += 1
        if checkpoint is not None and jax.process_index() == 0:
            save_checkpoint(checkpoint, run, epoch, course)
        if report is not None:
            bar.clear()
            report(epoch - 1, total / batches)
    bar.clear()
    nnx.update(model, *spread.home((course.best, course.rest)))
    model.eval()  # type: ignore[no-untyped-call] # untyped in flax
    return History(
        tuple(course.losses[:epoch].tolist()),
        tuple(course.validation[:epoch].tolist()) if validation is not None else (),
        int(course.kept),
        begun,
    )


class _Course(NamedTuple):
    """A run so far: the state, what would be kept if it ended, and the losses by epoch."""

    state: State
    best: Tree
    rest: Tree
    losses: NDArray[np.float64]
    validation: NDArray[np.float64]
    kept: np.int64


def _after(
    course: _Course,
    epoch: int,
    state: State,
    losses: tuple[float, float],
    has_validation: bool,  # noqa: FBT001
) -> _Course:
    trained, held = np.array(course.losses), np.array(course.validation)
    trained[epoch], held[epoch] = losses
    is_best = not has_validation or epoch == 0 or losses[1] < held[int(course.kept)]
    if is_best:
        return _Course(state, state.mean, state.rest, trained, held, np.int64(epoch))
    return course._replace(state=state, losses=trained, validation=held)


def _is_over(course: _Course, epoch: int, config: FitConfig, has_validation: bool) -> bool:  # noqa: FBT001
    return has_validation and 0 < config.patience < epoch - int(course.kept)


def run_name(
    config: FitConfig, inputs: Inputs, targets: Floats, validation: tuple[Inputs, Floats] | None
) -> str:
    """Digest of what a run is a function of, but the network: its shapes are compared."""
    total = hashlib.sha256(repr(sorted(asdict(config).items())).encode())
    for array in (inputs, targets, *(validation or ())):
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def evaluate(model: Network, inputs: NDArray[np.int8], batch: int = 512) -> Floats:
    """Run the float model over `inputs: i8[n, ...]`."""
    structure, state = nnx.split(model)

    @jax.jit
    def run(current: Tree, x: jax.Array) -> jax.Array:
        return nnx.merge(structure, current)(x.astype(jnp.float32) / 127)

    starts = range(0, len(inputs), batch)
    return np.concatenate(
        [np.asarray(run(state, jnp.asarray(inputs[i : i + batch]))) for i in starts]
    )
