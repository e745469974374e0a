"""NEU steel-surface defects: six classes of 64 x 64 grey images.

Two models: "texture", a linear model on counts of local binary patterns (`models.recipes.texture`),
whose settings were chosen by five-fold validation on the training images alone, and "network", a
small convolutional network. Split: numbers 1 to 240 of each class train, 241 to 300 test, as in the
data set's description. Orientation means nothing on a strip, so training flips images, and the
network's also turns, shifts and relights them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.package import Description, build_package
from models.pictures import GREY
from models.quantiser import Quantiser, Regime
from models.recipes.learners import STEPS, Goal, Learner, NetworkLearner, lineage_of, tuned
from models.recipes.report import Result, Say, card, values
from models.recipes.scores import Figures
from models.recipes.settings import PLAIN, Settings
from models.recipes.texture import FLIPS, TextureLearner
from models.train.fit import FitConfig
from models.train.networks import ConvNet2d
from models.train.step import Network

MODELS = ("texture", "network")
SIZE = 64
CONFIG = FitConfig(epochs=60, rate=3e-3, batch=64, noise=0.02, weight_decay=1e-2, average=0.99)
CONVENTION = "numbers 1-240 of each class train, 241-300 test (360 images); certified integers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The images as windows `i8[n, 64, 64, 1]`, their classes, and the fixed split."""

    inputs: NDArray[np.int8]
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    classes: tuple[str, ...]
    sha256: str


def load(folder: Path) -> Task:
    """Raises: InvalidInput: BAD_DATASET when the images are not there."""
    path = folder / "neu_cls" / "neu_cls_64.npz"
    if not path.is_file():
        raise InvalidInput(
            Code.BAD_DATASET, f"{path} is not there", hint="point --data at the data sets' folder"
        )
    with np.load(path, allow_pickle=False) as archive:
        return Task(
            inputs=levels(archive["x"][..., np.newaxis]),
            labels=archive["y"].astype(np.int64),
            is_test=archive["is_test"].astype(bool),
            numbers=archive["number"].astype(np.int64),
            classes=tuple(str(c) for c in archive["classes"]),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )


def train(
    folder: Path, seed: int, say: Say, model: str = "texture", config: FitConfig = CONFIG,
    *, settings: Settings = PLAIN,
) -> Result:  # fmt: skip
    """Train, certify and score on the fixed split.

    Raises:
        InvalidInput: BAD_DATASET when the images are not there, BAD_REQUEST for another model.
    """
    if model not in MODELS:
        raise InvalidInput(
            Code.BAD_REQUEST, f"no model {model!r}", hint="models: " + ", ".join(MODELS)
        )
    task = load(folder)
    known = ~task.is_test
    inputs, labels = task.inputs[known], task.labels[known]
    network = NetworkLearner("network", _network(len(task.classes)), config, augment=distort)
    learner: Learner = TextureLearner(flips=FLIPS) if model == "texture" else network
    (learner,) = tuned((learner,), settings)
    goal = Goal(kind="classes", outputs=len(task.classes), low=0.0, high=1.0)
    say(f"{len(inputs)} images train, model {model}")
    part = learner.fit(inputs, labels.astype(np.float64), goal, seed)
    for line in part.notes:
        say(line)
    lineage = {
        "recipe": f"models.recipes.vision {model}",
        "data": "NEU-CLS, 64 px",
        "data_sha256": task.sha256,
        "classes": ",".join(task.classes),
        "seed": str(seed),
        **lineage_of([learner]),
    }
    description = Description(
        name="neu-defects",
        version="1",
        task="classify",
        scale_num=1,
        scale_den=STEPS["classes"],
        training=tuple(sorted(lineage.items())),
        card=card(
            "Steel-surface defects",
            "Share of each class, in this order: " + ", ".join(task.classes) + ".",
            "NEU-CLS, 64 x 64 grey.",
            "Printed by the recipe; convention: " + CONVENTION + ".",
            "Six defect types of hot-rolled strip under one camera; there is no class for none.",
        ),
    )
    quantiser = image_quantiser(GREY)
    package = build_package(description, part.graph, part.tensors, quantiser, inputs)
    whole = values(package, task.inputs[task.is_test]).argmax(axis=1)
    floats: Figures = ()
    if part.floats is not None:
        said = part.floats(task.inputs[task.is_test]).argmax(axis=1)
        floats = (("float accuracy", float((said == task.labels[task.is_test]).mean())),)
    figures = (
        ("certified accuracy", float((whole == task.labels[task.is_test]).mean())),
        *floats,
        ("test images", float(task.is_test.sum())),
    )
    return Result(package=package, figures=figures, convention=CONVENTION)


def _network(classes: int) -> Callable[[tuple[int, ...], nnx.Rngs], Network]:
    def build(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
        return ConvNet2d(shape[0], shape[-1], classes, rngs=rngs)

    return build


def image_quantiser(channels: tuple[str, ...]) -> Quantiser:
    """A level v of each channel becomes v - 128, clipped at -127: one step a level."""
    count = len(channels)
    regime = Regime((), ("128",) * count, ("1",) * count)
    return Quantiser(channels, ("level",) * count, (), (regime,), (), 0)


def levels(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Levels of `u8[n, size, size, channels]` as int8 windows."""
    return np.clip(images.astype(np.int16) - 128, -127, 127).astype(np.int8)


def distort(key: jax.Array, images: jax.Array) -> jax.Array:
    """Flip, turn, shift and relight each image of a batch."""
    flip, turn, shift, light = jax.random.split(key, 4)
    count = images.shape[0]
    sides = jax.random.bernoulli(flip, 0.5, (2, count, 1, 1, 1))
    images = jnp.where(sides[0], images[:, ::-1], images)
    images = jnp.where(sides[1], images[:, :, ::-1], images)
    turned = jax.random.bernoulli(turn, 0.5, (count, 1, 1, 1))
    images = jnp.where(turned, images.transpose(0, 2, 1, 3), images)
    offsets = jax.random.randint(shift, (count, 2), -6, 7)
    images = jax.vmap(lambda image, by: jnp.roll(image, by, axis=(0, 1)))(images, offsets)
    contrast, brightness = jax.random.uniform(light, (2, count, 1, 1, 1), minval=-1.0)
    return jnp.asarray(images * (1 + 0.25 * contrast) + 0.15 * brightness)
