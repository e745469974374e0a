"""SCAFFOLD over the contract: plants whose data disagree meet at the common optimum."""

from pathlib import Path

import numpy as np
import pytest

from andon.core.codec import Key
from andon.core.errors import Corrupt, Misuse
from models.federated.control import Variate
from models.federated.journal import Journal
from models.federated.plant import Plant
from models.federated.strategies import model_from_fine, scaffold
from models.federated.trained import Floats, Trained
from tests.models.federated.ledger import Chain, act, attest, create, plants, sight

CURVES = (0.2, 1.0, 1.8, 0.6)
TARGETS = (4.0, -1.0, 0.5, 2.0)
OPTIMUM = sum(a * t for a, t in zip(CURVES, TARGETS, strict=True)) / sum(CURVES)
SIZE, STEPS, RATE = 3, 10, 0.1
NAMES = plants(4)


class Site:
    """A plant whose loss is a parabola; it forgets nothing that it has on disk."""

    def __init__(self, index: int, folder: Path) -> None:
        self.index = index
        self.name = NAMES[index]
        self.folder = folder / self.name.hex()[:8]
        self.plant = self.start()

    def start(self) -> Plant:
        return Plant(self.name, Journal(self.folder), self.train)

    def train(self, model: Floats, number: int, correction: Floats | None = None) -> Trained:
        del number
        shift = np.zeros_like(model) if correction is None else correction
        found = model.copy()
        for _ in range(STEPS):
            gradient = np.float32(CURVES[self.index]) * (found - np.float32(TARGETS[self.index]))
            found = found - np.float32(RATE) * (gradient + shift)
        return Trained(update=found - model, travel=RATE * STEPS)

    def variate(self, chain: Chain) -> np.ndarray:
        seen = sight(chain, taker=self.name, pending=self.plant.pending)
        own = Variate(self.folder)
        return own.before(seen.progress.number, SIZE, has_counted=seen.has_counted)


def opened(strategy: str, mode: str = "plain", **changes: object) -> Chain:
    chain = Chain.make(NAMES)
    chosen = scaffold()
    recipe: dict[Key, object] = {
        "strategy": [strategy, chosen.rate, 0, 0, 0],
        "validation": bytes(32),
    }
    elements = 2 * SIZE if strategy == "scaffold" else SIZE
    create(chain, NAMES, elements, mode=mode, rounds_max=99, recipe=recipe, **changes)  # type: ignore[arg-type] # values
    return chain


def rounds(chain: Chain, members: list[Site], count: int, mode: str = "plain") -> Floats:
    for _ in range(count):
        for _ in range(1 if mode == "plain" else 4):
            for site in members:
                act(chain, site.name, site.plant)
        attest(chain)
    return model_from_fine(sight(chain).base.model, 24)


@pytest.mark.parametrize("mode", ["plain", "full"])
def test_plants_that_disagree_meet_where_all_together_would_go(mode: str, tmp_path: Path) -> None:
    drifted = rounds(opened("average", mode), [Site(k, tmp_path / "a") for k in range(4)], 30, mode)
    members = [Site(k, tmp_path / "s") for k in range(4)]
    chain = opened("scaffold", mode)
    met = rounds(chain, members, 30, mode)
    assert np.abs(met - OPTIMUM).max() < 1e-3
    # Many local steps alone end somewhere else.
    assert np.abs(drifted - OPTIMUM).min() > 0.05
    # The server's variate is the mean of the plants', unit by unit up to rounding.
    mean = np.mean([site.variate(chain) for site in members], axis=0)
    common = sight(chain).base.control / 2**8
    assert np.abs(common - mean).max() < 1.0


def test_a_variate_moves_only_with_what_counted_and_outlives_a_kill(tmp_path: Path) -> None:
    members = [Site(k, tmp_path) for k in range(4)]
    chain = opened("scaffold", tolerance=5)
    rounds(chain, members, 2)
    before = [site.variate(chain) for site in members]
    for site in members:
        act(chain, site.name, site.plant)
        site.plant = site.start()
    # Worse than the first by more than the tolerance: rolled back.
    attest(chain, lambda model: -100)
    assert [site.variate(chain).tolist() for site in members] == [b.tolist() for b in before]
    assert np.abs(rounds(chain, members, 30) - OPTIMUM).max() < 1e-3


def test_training_without_its_travel_or_of_another_shape_is_refused(tmp_path: Path) -> None:
    site = Site(0, tmp_path)
    for found, reason in (
        (Trained(update=np.zeros(SIZE, np.float32)), "travel"),
        (Trained(update=np.zeros(SIZE + 1, np.float32), travel=1.0), "the model has"),
    ):
        site.plant = Plant(site.name, Journal(site.folder), lambda *_, given=found: given)
        with pytest.raises(Misuse, match=reason):
            act(opened("scaffold"), site.name, site.plant)


def test_a_damaged_variate_is_noticed(tmp_path: Path) -> None:
    variate = Variate(tmp_path)
    assert variate.pending == 0
    variate.save(1, np.zeros(2, np.int64), np.ones(2, np.int64))
    assert Variate(tmp_path).pending == 1
    assert Variate(tmp_path).before(2, 2, has_counted=True).tolist() == [1, 1]
    assert Variate(tmp_path).before(1, 2, has_counted=True).tolist() == [0, 0]
    with pytest.raises(Corrupt, match="3 numbers"):
        Variate(tmp_path).before(2, 3, has_counted=True)
    (tmp_path / "control.state").write_bytes(b"nothing")
    with pytest.raises(Corrupt, match="damaged"):
        Variate(tmp_path).before(2, 2, has_counted=True)
    variate.wipe()
    assert Variate(tmp_path).before(2, 2, has_counted=True).tolist() == [0, 0]
