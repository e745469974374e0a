import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.core.errors import InvalidInput
from models.federated.privacy import (
    ORDER_MAX,
    Mechanism,
    Noise,
    advantage_bound,
    budget_micro_rho,
    clip_rows,
    cost_micro_rho,
    epsilon_of,
    epsilon_of_steps,
    mechanism_for,
    noisy_sum,
    order_of,
    renyi,
)

DELTA = 1e-5
VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "accountant.json"


def test_without_sampling_the_cost_is_the_gaussian_mechanisms() -> None:
    assert renyi(Mechanism(clip=3.0, noise=2.0, rate=1.0), 10) == pytest.approx(10 / 8)
    assert cost_micro_rho(Mechanism(clip=1.0, noise=2.0, rate=1.0), 4) == 500_000


def test_sampling_agrees_with_a_numeric_integral() -> None:
    q, sigma, order = 0.1, 1.3, 5
    x = np.linspace(-40, 45, 2_000_001)
    base = np.exp(-(x**2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
    shifted = np.exp(-((x - 1) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2)
    ratio = (1 - q) + q * shifted / np.maximum(base, 1e-300)
    step = x[1] - x[0]
    expected = np.log((base * ratio**order).sum() * step) / (order - 1)
    assert renyi(Mechanism(clip=1.0, noise=sigma, rate=q), order) == pytest.approx(expected)


def test_the_whole_curve_matches_the_published_accountants_figure() -> None:
    # Reference 5.2: 10,000 records, batch 256, 50 epochs, noise 1.0 is epsilon 8.03 (RDP).
    mechanism = Mechanism(clip=1.0, noise=1.0, rate=256 / 10_000)
    assert epsilon_of_steps(mechanism, 50 * 39, DELTA) == pytest.approx(8.03, rel=0.03)


def test_both_epsilons_are_never_below_an_independent_accountants_and_the_curve_is_close() -> None:
    # scripts/accountant_vectors.py: `pld` is a close upper bound of the true epsilon.
    rows = json.loads(VECTORS.read_text("utf-8"))["rows"]
    assert len(rows) > 80
    for row in rows:
        mechanism = Mechanism(clip=1.0, noise=row["noise"], rate=row["rate"])
        curve = epsilon_of_steps(mechanism, row["steps"], row["delta"])
        assert row["pld"] <= curve, row
        assert abs(curve - row["rdp"]) <= 0.1 * row["rdp"], row
        declared = epsilon_of(cost_micro_rho(mechanism, row["steps"]), row["delta"])
        assert declared >= curve - 1e-9, row


def test_the_declared_budget_is_never_below_the_curve() -> None:
    for noise, rate, steps in ((1.0, 0.02, 1000), (2.0, 0.1, 200), (5.0, 1.0, 10)):
        mechanism = Mechanism(clip=1.0, noise=noise, rate=rate)
        spent = cost_micro_rho(mechanism, steps)
        for order in range(2, ORDER_MAX + 1):
            assert steps * renyi(mechanism, order) <= spent / 1e6 * order * (1 + 1e-9)
        assert epsilon_of(spent, DELTA) >= epsilon_of_steps(mechanism, steps, DELTA) - 1e-9


def test_a_budget_and_its_epsilon_are_inverse() -> None:
    for epsilon in (1.0, 2.0, 8.0):
        budget = budget_micro_rho(epsilon, DELTA)
        assert epsilon_of(budget, DELTA) <= epsilon < epsilon_of(budget + 20, DELTA) + 1e-3
    assert epsilon_of(0, DELTA) == 0.0


def test_the_chosen_noise_spends_the_budget_and_hardly_less() -> None:
    for epsilon, rate, steps in ((8.0, 0.05, 400), (2.0, 0.1, 100), (8.0, 1.0, 30)):
        found = mechanism_for(epsilon, DELTA, clip=3.0, rate=rate, steps=steps)
        spent = cost_micro_rho(found, steps)
        assert 0.98 * epsilon < epsilon_of(spent, DELTA, found.order) <= epsilon
        assert spent <= budget_micro_rho(epsilon, DELTA)
        # In steps of a round each, rounding up does not add more than a millionth each.
        assert steps * cost_micro_rho(found, 1) <= spent + steps


def test_a_cost_at_one_order_is_below_an_independent_accountants_epsilon_at_none() -> None:
    for row in json.loads(VECTORS.read_text("utf-8"))["rows"]:
        for order in (2, 4, 10, ORDER_MAX):
            mechanism = Mechanism(clip=1.0, noise=row["noise"], rate=row["rate"], order=order)
            spent = cost_micro_rho(mechanism, row["steps"])
            assert epsilon_of(spent, row["delta"], order) >= row["pld"], row


def test_the_order_of_a_budget_saves_noise_where_high_orders_are_dear() -> None:
    found = mechanism_for(8.0, DELTA, clip=1.0, rate=0.1, steps=100)
    assert (found.order, order_of(budget_micro_rho(2.0, DELTA), DELTA)) == (4, 10)
    everywhere = replace(found, order=0)
    assert cost_micro_rho(everywhere, 100) > 5 * budget_micro_rho(8.0, DELTA)
    with pytest.raises(InvalidInput, match="an order"):
        renyi(replace(found, order=1), 2)


def test_noise_is_normal_with_the_asked_deviation() -> None:
    draws = Noise().normal(200_001)
    assert abs(draws.mean()) < 0.02
    assert draws.std() == pytest.approx(1.0, abs=0.02)
    assert (np.abs(draws) > 3).mean() == pytest.approx(0.0027, abs=0.001)
    assert np.isfinite(draws).all()


def test_noise_is_fresh_for_every_instance_and_never_repeats_within_one() -> None:
    # optax uses key(0) when no key is given: whoever knows that subtracts the noise.
    assert not np.array_equal(Noise().normal(8), Noise().normal(8))
    one = Noise(b"\x01" * 32)
    assert not np.array_equal(one.normal(8), one.normal(8))


def test_sampling_takes_about_the_rate() -> None:
    taken = Noise(b"\x02" * 32).chosen(100_000, 0.1)
    assert taken.mean() == pytest.approx(0.1, abs=0.005)


def test_no_record_moves_the_sum_by_more_than_the_clip() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 100, (20, 7)).astype(np.float32)
    clipped = clip_rows(rows, 2.0)
    assert np.linalg.norm(clipped, axis=1).max() <= 2.0 + 1e-5
    mechanism = Mechanism(clip=2.0, noise=0.5, rate=1.0)
    with_all = noisy_sum(rows, mechanism, Noise(b"\x03" * 32))
    without = noisy_sum(rows[1:], mechanism, Noise(b"\x03" * 32))
    assert np.linalg.norm(with_all - without) <= 2.0 + 1e-5


def test_the_deviation_is_multiplier_times_clip_not_a_variance() -> None:
    # The FedDC reference code passes sigma^2 S^2 as a standard deviation.
    zeros = np.zeros((1, 50_000), np.float32)
    noisy = noisy_sum(zeros, Mechanism(clip=2.0, noise=0.01, rate=1.0), Noise(b"\x04" * 32))
    assert noisy.std() == pytest.approx(0.02, rel=0.03)


def test_mechanisms_out_of_bounds_are_refused() -> None:
    for clip, noise, rate in ((0.0, 1.0, 0.5), (1.0, 0.0, 0.5), (1.0, 1.0, 0.0), (1.0, 1.0, 1.1)):
        with pytest.raises(InvalidInput):
            renyi(Mechanism(clip=clip, noise=noise, rate=rate), 2)


def test_membership_advantage_is_bounded_by_epsilon() -> None:
    assert advantage_bound(0.0, 0.0) == 0.0
    assert advantage_bound(1.0, 0.0) == pytest.approx(0.4621, abs=1e-4)
