"""NEU steel-surface defects: six classes of 64 x 64 grey images, a small convolutional network.

Split: numbers 1 to 240 of each class train, 241 to 300 test, as in the data set's description.
Orientation means nothing on a strip, so training flips, turns, shifts and relights images.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.convert import Options, certify
from models.package import Description
from models.quantiser import Quantiser, Regime
from models.recipes.report import Result, Say, card, values
from models.train.fit import FitConfig, cross_entropy, evaluate, fit
from models.train.networks import ConvNet2d

SIZE = 64
CONFIG = FitConfig(epochs=60, rate=3e-3, batch=64, noise=0.02, weight_decay=1e-2, average=0.99)
CONVENTION = "numbers 1-240 of each class train, 241-300 test (360 images); certified integers"
# A grey level g becomes g - 128, clipped at -127: one step a level.
LEVELS = Regime((), ("128",), ("1",))


def train(folder: Path, seed: int, say: Say, config: FitConfig = CONFIG) -> Result:
    """Train, certify and score on the fixed split.

    Raises:
        InvalidInput: BAD_DATASET when the images are not there.
    """
    path = folder / "neu_cls" / "neu_cls_64.npz"
    if not path.is_file():
        raise InvalidInput(
            Code.BAD_DATASET, f"{path} is not there", hint="point --data at the data sets' folder"
        )
    with np.load(path, allow_pickle=False) as archive:
        images, labels = archive["x"], archive["y"].astype(np.int64)
        is_test, classes = archive["is_test"].astype(bool), [str(c) for c in archive["classes"]]
    inputs = levels(images)
    model = ConvNet2d(SIZE, 1, len(classes), rngs=nnx.Rngs(seed))
    chosen = replace(config, seed=seed)
    fit(
        model,
        inputs[~is_test],
        labels[~is_test].astype(np.float32)[:, np.newaxis],
        chosen,
        loss=cross_entropy,
        augment=distort,
        report=lambda epoch, loss: say(f"epoch {epoch + 1}/{chosen.epochs}  loss {loss:.4f}"),
    )
    lineage = {
        "recipe": "models.recipes.vision",
        "data": "NEU-CLS, 64 px",
        "data_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "classes": ",".join(classes),
        **chosen.lineage(),
    }
    description = Description(
        name="neu-defects",
        version="1",
        task="classify",
        scale_num=1,
        scale_den=256,
        training=tuple(sorted(lineage.items())),
        card=card(
            "Steel-surface defects",
            "Log-odds of " + ", ".join(classes) + "; output / 256; the largest wins.",
            "NEU-CLS, 64 x 64 grey.",
            "Printed by the recipe; convention: " + CONVENTION + ".",
            "Six defect types of hot-rolled strip under one camera; there is no class for none.",
        ),
    )
    quantiser = Quantiser(("grey",), ("level",), (), (LEVELS,), (), 0)
    package = certify(model, inputs[~is_test], quantiser, description, Options())
    whole = values(package, inputs[is_test]).argmax(axis=1)
    rough = evaluate(model, inputs[is_test]).argmax(axis=1)
    figures = (
        ("certified accuracy", float((whole == labels[is_test]).mean())),
        ("float accuracy", float((rough == labels[is_test]).mean())),
        ("test images", float(is_test.sum())),
    )
    return Result(package=package, figures=figures, convention=CONVENTION)


def levels(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Grey images as int8 windows `[n, 64, 64, 1]`."""
    centred = np.clip(images.astype(np.int16) - 128, -127, 127).astype(np.int8)
    return centred[..., np.newaxis]


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
