"""Validation sets: the exact score of a model, and what is refused."""

import jax
import numpy as np
import pytest

from andon.core.errors import InvalidInput
from models.federated.strategies import model_to_fine
from models.federated.validation import (
    Conv,
    Dense,
    Flatten,
    Layer,
    Pool,
    Validation,
    check_validation,
    make_scorer,
    validation_from_bytes,
    validation_set,
    validation_to_bytes,
)

DRAWS = np.random.default_rng(7)
FINE = 24
PICTURES = DRAWS.normal(size=(40, 6, 6, 2)).astype(np.float32)
NETWORK: tuple[Layer, ...] = (
    Conv(4, (3, 3), (1, 1), ((1, 1), (1, 1))),
    Pool("max", (2, 2), (2, 2)),
    Conv(3, (2, 2), (1, 1), ((0, 0), (0, 0))),
    Pool("mean", (2, 2), (1, 1)),
    Flatten(),
    Dense(5, is_relu=False),
)
SHAPES = [(3, 3, 2, 4), (4,), (2, 2, 4, 3), (3,), (3, 5), (5,)]


def parameters() -> np.ndarray:
    parts = [DRAWS.normal(0, 0.4, size).astype(np.float32).ravel() for size in SHAPES]
    return np.concatenate(parts)


def floats(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The same network in float, by JAX."""
    parts, place = [], 0
    for size in SHAPES:
        count = int(np.prod(size))
        parts.append(weights[place : place + count].reshape(size))
        place += count
    axes = ("NHWC", "HWIO", "NHWC")
    conv = jax.lax.conv_general_dilated(x, parts[0], (1, 1), "SAME", dimension_numbers=axes)
    x = jax.nn.relu(conv + parts[1])
    x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    conv = jax.lax.conv_general_dilated(x, parts[2], (1, 1), "VALID", dimension_numbers=axes)
    x = jax.nn.relu(conv + parts[3])
    x = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 1, 1, 1), "VALID") / 4
    return np.asarray(x.reshape(len(x), -1) @ parts[4] + parts[5])


def test_a_picture_network_is_scored_as_its_floats_are() -> None:
    weights = parameters()
    said = floats(weights, PICTURES).argmax(axis=1)
    truths = np.where(np.arange(40) < 30, said, (said + 1) % 5)
    made = validation_set("classes", NETWORK, PICTURES, truths)
    assert check_validation(made) == len(weights)
    score = make_scorer(made, len(weights), FINE)
    assert score(model_to_fine(weights, FINE)) == 7500
    again = make_scorer(validation_from_bytes(validation_to_bytes(made)), len(weights), FINE)
    assert again(model_to_fine(weights, FINE)) == 7500


def line(task: str, truths: list[float], **changes: object) -> Validation:
    inputs = np.arange(len(truths), dtype=np.float32)[:, None]
    return validation_set(task, (Dense(1, is_relu=False),), inputs, np.array(truths), **changes)  # type: ignore[arg-type] # wrong ones too


def test_errors_are_in_thousandths_and_found_failures_in_ten_thousandths() -> None:
    # The model says x - 1 of x = 0, 1, 2, 3.
    model = model_to_fine(np.float32([1.0, -1.0]), FINE)
    assert make_scorer(line("regression", [-1, 0, 1, 4]), 2, FINE)(model) == -1000
    clipped = line("regression", [0, 0, 10, 20], gain=10, output_range=(0.0, 1.0))
    assert make_scorer(clipped, 2, FINE)(model) == -5000
    assert make_scorer(line("detection", [0, 1, 1, 1]), 2, FINE)(model) == 8000
    assert make_scorer(line("detection", [0, 0, 0, 0]), 2, FINE)(model) == 0


def test_no_model_breaks_the_score() -> None:
    score = make_scorer(line("regression", [0, 1, 2, 3]), 2, FINE)
    for value in (2**62, -(2**62), 2**63 - 1):
        assert score(np.full(2, value, np.int64)) < 0


@pytest.mark.parametrize(
    ("task", "layers", "shape", "reason"),
    [
        ("anything", (Dense(1),), (4, 3), "the task"),
        ("regression", (Dense(2),), (4, 3), "one output"),
        ("classes", (Dense(2),), (4, 3, 3), "one for each class"),
        ("classes", (), (4, 3), "1 to 32 layers"),
        ("classes", (Dense(0),), (4, 3), "1 to 1048576 elements"),
        ("classes", (Dense(1 << 20), Dense(2)), (4, 3), "depends on"),
        ("classes", (Conv(2, (3,), (1,), ((0, 0),)), Flatten()), (4, 2, 1), "does not fit 2"),
        ("classes", (Conv(2, (3,), (1,), ((0, 64),)), Flatten()), (4, 2, 1), "a pad is"),
        ("classes", (Pool("max", (2, 2), (1, 1)), Flatten()), (4, 3, 1), "over 2 axes"),
        ("classes", (Dense(1 << 12), Dense(1 << 12), Dense(1 << 12)), (1024, 3), "fewer records"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    task: str, layers: tuple[Layer, ...], shape: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(InvalidInput, match=reason):
        validation_set(task, layers, np.zeros(shape), np.zeros(shape[0]))  # type: ignore[arg-type] # wrong tasks too


def test_a_blob_of_something_else_and_another_number_of_parameters_are_refused() -> None:
    made = line("regression", [0, 1])
    with pytest.raises(InvalidInput, match="no validation set"):
        validation_from_bytes(b"anything")
    with pytest.raises(InvalidInput, match="network has 2 parameters, the model 3"):
        make_scorer(made, 3, FINE)
    for inputs, truths in (([2000.0], [0.0]), ([float("nan")], [0.0]), ([0.0], [2000.0])):
        with pytest.raises(InvalidInput, match="1024"):
            validation_set("regression", (Dense(1),), np.array([inputs]), np.array(truths))
