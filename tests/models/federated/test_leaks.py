"""What single updates, masked sums and noisy updates give away, by two attacks."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.federated import privacy, trial
from models.federated.attacks import recovered_inputs

Floats = NDArray[np.float32]
PLANTS = 10


def gradients_of(tasks: list[trial.Task], weights: Floats) -> Floats:
    """One step's gradient of each plant, `f32[plants, d]`."""
    x = np.stack([task.inputs for task in tasks])
    y = np.stack([task.labels for task in tasks])
    return trial.gradients(np.repeat(weights[None], len(tasks), axis=0), x, y)


def recovered_share(gradient: Floats, inputs: Floats) -> float:
    """The share of records that the gradient gives away to a thousandth of their size."""
    found = recovered_inputs(gradient)
    sizes = np.linalg.norm(inputs, axis=1)
    gaps = np.linalg.norm(found[None] - inputs[:, None], axis=2).min(axis=1)
    return float((gaps < 1e-3 * sizes).mean())


@pytest.mark.parametrize("batch", [1, 4])
def test_a_plants_gradient_shows_its_records_and_a_masked_sum_or_noise_does_not(batch: int) -> None:
    rng = np.random.default_rng(batch)
    generator = trial.Generator(1)
    single, summed, noisy = [], [], []
    for seed in range(20):
        weights = trial.initial_weights(seed)
        tasks = [generator.draw(batch, rng) for _ in range(PLANTS)]
        gradients = gradients_of(tasks, weights)
        everybody = np.concatenate([task.inputs for task in tasks])
        single.append(recovered_share(gradients[0], tasks[0].inputs))
        summed.append(recovered_share(gradients.mean(axis=0), everybody))
        each = gradients_of(
            [trial.Task(x[None], y[None]) for x, y in zip(tasks[0].inputs, tasks[0].labels)],  # noqa: B905 - a task's own columns
            weights,
        )
        mechanism = privacy.Mechanism(clip=1.0, noise=1.0, rate=1.0)
        released = privacy.noisy_sum(each, mechanism, privacy.Noise(bytes([seed]) * 32)) / batch
        noisy.append(recovered_share(released.astype(np.float32), tasks[0].inputs))
    # Reference 5.1: alone 100 % and 78 %; the sum of ten plants 10 to 17 % and 0 %; with noise 0.
    assert np.mean(single) > (0.95 if batch == 1 else 0.5)
    assert np.mean(summed) < (0.25 if batch == 1 else 0.05)
    assert np.mean(noisy) == 0.0


def advantage(weights: Floats, members: trial.Task, others: trial.Task) -> float:
    """The best true positive rate minus false positive rate of a test on the loss."""
    inside, outside = losses(weights, members), losses(weights, others)
    cuts = np.quantile(np.concatenate([inside, outside]), np.linspace(0, 1, 200))
    return float(max((inside <= cut).mean() - (outside <= cut).mean() for cut in cuts))


def losses(weights: Floats, task: trial.Task) -> Floats:
    scores = trial.logits_of(weights, task.inputs)
    scores = scores - scores.max(axis=1, keepdims=True)
    chosen = np.take_along_axis(scores, task.labels[:, None], axis=1)[:, 0]
    return np.asarray(np.log(np.exp(scores).sum(axis=1)) - chosen, np.float32)


def trained(members: trial.Task, steps: int, mechanism: privacy.Mechanism | None) -> Floats:
    weights = trial.initial_weights(3)
    noise = privacy.Noise(b"\x07" * 32)
    for _ in range(steps):
        rows = [trial.Task(x[None], y[None]) for x, y in zip(*columns(members), strict=True)]
        each = gradients_of(rows, weights)
        total = each.sum(axis=0) if mechanism is None else privacy.noisy_sum(each, mechanism, noise)
        weights = weights - np.float32(0.3) * (total / len(rows)).astype(np.float32)
    return weights


def columns(task: trial.Task) -> tuple[Floats, trial.Labels]:
    return task.inputs, task.labels


def test_a_loss_tells_members_of_an_overfitted_model_and_hardly_those_of_a_private_one() -> None:
    rng = np.random.default_rng(5)
    generator = trial.Generator(4, noise=2.0)
    members, others = generator.draw(100, rng), generator.draw(1000, rng)
    open_model = trained(members, 200, None)
    mechanism = privacy.mechanism_for(2.0, 1e-5, clip=1.0, rate=1.0, steps=60)
    private = trained(members, 60, mechanism)
    assert advantage(open_model, members, others) > 0.5
    assert advantage(private, members, others) < 0.25
    assert privacy.advantage_bound(2.0, 1e-5) < 0.8
