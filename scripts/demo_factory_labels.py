"""The labelling act of the factory demo: sealed images, inspectors who err, a third who decides."""

from __future__ import annotations

import hashlib

import numpy as np
from nacl.public import PrivateKey as SealKey
from nacl.public import SealedBox

from andon.core.codec import Key, Value
from andon.core.transaction import make_call
from scripts.demo_factory_data import Eye
from scripts.demo_factory_plant import GEARS, MOTORS, STEEL, Plant, table

MISTAKES = 0.1
"""Share of an inspector's answers that name another class than the right one."""


async def label_samples(plant: Plant, eye: Eye, wanted: list[bytes]) -> tuple[dict[int, int], int]:
    """Inspectors of two organisations label, of a third where they disagree.

    Gives the labels by place in the pool, and how many a third had to decide.
    """
    places = {hashlib.sha256(image.tobytes()).digest(): at for at, image in enumerate(eye.pool[0])}
    plant.view.step(f"sealing {len(wanted)} images to three organisations")
    seals = {org: SealKey.generate() for org in (GEARS, MOTORS, STEEL)}
    orders, blobs = [], {}
    for sample in wanted:
        image = eye.pool[0][places[sample]].tobytes()
        sealed: dict[Key, Value] = {}
        for org, seal in seals.items():
            blob = SealedBox(seal.public_key).encrypt(image)
            blobs[org, sample] = await plant.client.publish_blob(blob)
            sealed[org] = blobs[org, sample]
        args: dict[str, Value] = {"dataset": "surfaces", "sample": sample, "sealed": sealed}
        orders.append(make_call("labels", "seal", args))
    await plant.many(GEARS, "operator", orders)
    dice, disputed = np.random.default_rng(7), 0
    for org, seal in seals.items():
        still = [sample for sample in wanted if await _is_out(plant, sample)]
        disputed = len(still) if org == STEEL else 0
        plant.view.step(f"the inspector of {org} opens and labels {len(still)} images")
        answers = []
        for sample in still:
            opened = SealedBox(seal).decrypt(await plant.client.blob(blobs[org, sample]))
            at = places[hashlib.sha256(opened).digest()]
            given: dict[str, Value] = {
                "dataset": "surfaces",
                "sample": sample,
                "label": eye.classes[seen_as(int(eye.pool[1][at]), len(eye.classes), dice)],
            }
            answers.append(make_call("labels", "answer", given))
        await plant.many(org, "inspector", answers)
    found = {}
    for sample in wanted:
        entry = table(await plant.ask("labels.sample", dataset="surfaces", digest=sample))
        if entry["status"] == "LABELLED":
            found[places[sample]] = eye.classes.index(str(entry["label"]))
    return found, disputed


async def _is_out(plant: Plant, sample: bytes) -> bool:
    entry = await plant.ask("labels.sample", dataset="surfaces", digest=sample)
    return table(entry)["status"] == "OUT"


def seen_as(truth: int, classes: int, dice: np.random.Generator) -> int:
    """The class an inspector sees: the data set's truth, or now and then another one."""
    if dice.random() >= MISTAKES:
        return truth
    return (truth + int(dice.integers(1, classes))) % classes
