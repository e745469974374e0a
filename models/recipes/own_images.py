"""Bring your own images: a folder a class, a small convolutional network, an honest split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from models.data.images import Images, read_images
from models.package import Description, build_package
from models.pictures import COLOUR, GREY
from models.recipes.learners import Goal, Learner, NetworkLearner, lineage_of, predict, tuned
from models.recipes.own import Outcome
from models.recipes.own_data import TEST_SHARE, refuse
from models.recipes.report import Say, card
from models.recipes.scores import Figures, classification
from models.recipes.settings import PLAIN, Settings
from models.recipes.texture import TextureLearner
from models.recipes.vision import image_quantiser, levels
from models.train.fit import FitConfig
from models.train.networks import ConvNet2d
from models.train.step import Network

MODELS = ("network", "texture")
PER_CLASS_MIN = 8
SIZE_STEP = 8
EPOCHS = 40
FEW_IMAGES = 1000
"""Below so many to train on, counts of patterns are the better guess than a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRequest:
    """What to train on: images are shrunk to `size` pixels a side."""

    folder: Path
    name: str
    size: int = 64
    seed: int = 0
    model: str = ""
    """"network" (convolutions), "texture" (patterns; fast), or "": by the number of images."""
    is_colour: bool = False
    """Red, green and blue, for networks; patterns are of grey levels."""


def train_images(request: ImageRequest, say: Say, settings: Settings = PLAIN) -> Outcome:
    """Train on a folder of folders of images.

    Raises:
        InvalidInput: BAD_DATASET with what to change.
    """
    if request.model not in ("", *MODELS):
        raise refuse(f"no model {request.model!r} for images", "models: " + ", ".join(MODELS))
    if request.size % SIZE_STEP or not SIZE_STEP <= request.size <= 256:
        raise refuse(f"size {request.size}", f"a multiple of {SIZE_STEP} up to 256")
    if request.is_colour and request.model == "texture":
        raise refuse(
            "texture counts patterns of grey levels", "leave out --colour, or take network"
        )
    images = read_images(request.folder, request.size, is_colour=request.is_colour)
    is_test, convention = split(images)
    say(f"{len(images.labels)} images, {len(images.classes)} classes; {int(is_test.sum())} test")
    model = "network" if request.is_colour else request.model
    if not model:
        model = "texture" if int((~is_test).sum()) < FEW_IMAGES else "network"
        other = next(name for name in MODELS if name != model)
        say(f"model {model}, by the number of images; --model {other} trains the other")
    goal = Goal(kind="classes", outputs=len(images.classes), low=0.0, high=1.0)
    inputs, labels = levels(images.pixels), images.labels.astype(np.float64)
    config = FitConfig(
        epochs=EPOCHS, rate=3e-3, batch=min(64, int((~is_test).sum())),
        noise=0.02, weight_decay=1e-2, average=0.98, seed=request.seed,
    )  # fmt: skip

    def network(shape: tuple[int, ...], rngs: nnx.Rngs) -> Network:
        return ConvNet2d(shape[0], shape[-1], goal.outputs, rngs=rngs)

    learner: Learner = NetworkLearner("convolution", network, config, augment=nudge)
    if model == "texture":
        learner = TextureLearner()
    (learner,) = tuned((learner,), settings)
    part = learner.fit(inputs[~is_test], labels[~is_test], goal, request.seed)
    for line in part.notes:
        say(line)
    predicted, actual = predict(part, inputs[is_test], goal), labels[is_test]
    figures = classification(predicted, actual)
    trained = replace(request, model=model)
    package = build_package(
        _describe(
            trained, images, figures, convention=convention, learner=learner, steps=goal.steps
        ),
        part.graph, part.tensors,
        image_quantiser(COLOUR if request.is_colour else GREY), inputs[~is_test],
    )  # fmt: skip
    return Outcome(
        package=package, figures=figures, predicted=predicted, actual=actual,
        weights=((learner.name, 1.0),), convention=convention, classes=images.classes,
    )  # fmt: skip


def split(images: Images) -> tuple[NDArray[np.bool_], str]:
    """The folder's own split, or the last quarter of each class in order of file names.

    Names mostly count up in time: neighbours then stay on one side.
    """
    if images.is_test.any():
        is_test, convention = images.is_test, "the folders train and test"
    else:
        is_test = np.zeros(len(images.labels), bool)
        for number in range(len(images.classes)):
            mine = np.flatnonzero(images.labels == number)
            is_test[mine[len(mine) - round(TEST_SHARE * len(mine)) :]] = True
        convention = "the last quarter of each class, by file name, is the test"
    for number, name in enumerate(images.classes):
        mine = images.labels == number
        if (mine & ~is_test).sum() < PER_CLASS_MIN or not (mine & is_test).any():
            raise refuse(
                f"class {name!r} has {int(mine.sum())} images",
                f"at least {PER_CLASS_MIN} to train on and one to test",
            )
    return is_test, convention


def nudge(key: jax.Array, images: jax.Array) -> jax.Array:
    """Shift by up to a tenth and relight: which way up a part lies may mean something."""
    shift, light = jax.random.split(key)
    count, reach = images.shape[0], max(1, images.shape[1] // 10)
    offsets = jax.random.randint(shift, (count, 2), -reach, reach + 1)
    images = jax.vmap(lambda image, by: jnp.roll(image, by, axis=(0, 1)))(images, offsets)
    contrast, brightness = jax.random.uniform(light, (2, count, 1, 1, 1), minval=-1.0)
    return jnp.asarray(images * (1 + 0.2 * contrast) + 0.1 * brightness)


def _describe(
    request: ImageRequest, images: Images, figures: Figures, *, convention: str,
    learner: Learner, steps: int,
) -> Description:  # fmt: skip
    classes = ", ".join(images.classes)
    lines = "\n".join(f"- {name}: {value:.4g}" for name, value in figures)
    lineage = {
        "recipe": "models.recipes.own_images",
        "data": request.folder.name,
        "data_sha256": images.sha256,
        "classes": ",".join(images.classes),
        "seed": str(request.seed),
        "model": request.model,
        "channels": ",".join(COLOUR if request.is_colour else GREY),
        **lineage_of([learner]),
    }
    text = card(
        request.name,
        f"Share of each class, output / {steps}, in this order: {classes}.",
        f"{request.folder.name}, {len(images.labels)} images of {request.size} px, "
        + ("in colour." if request.is_colour else "grey."),
        f"{lines}\n\nConvention: {convention}; certified integer model.",
        "There is no class for none of these; other cameras and light were never seen.",
    )
    return Description(
        name=request.name, version="1", task="classify", scale_num=1, scale_den=steps,
        training=tuple(sorted(lineage.items())), card=text,
    )  # fmt: skip
