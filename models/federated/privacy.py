"""Differential privacy in the silo: noise that nobody can guess, and what it costs.

Unit: one training record of one plant (add or remove). A plant clips every record's gradient,
adds Gaussian noise to their sum, and samples records independently (Poisson). Cost is Renyi DP
of the subsampled Gaussian at integer orders, declared as one number rho with
`RDP(order) <= rho * order` for every order up to ORDER_MAX, which adds up over rounds: the
contract sums it in integers (micro-rho) and refuses what exceeds the budget.

Below a noise multiplier of 2 high orders cost far more than low ones. A run with a budget needs the
one order alone at which its whole budget gives the smallest epsilon (`order_of`): a mechanism that
carries it declares its cost there, which also adds up, and `epsilon_of` must be told.

Noise comes from a ChaCha20 stream over a seed of `secrets`: a seed from configuration, round or
chain could be subtracted by anybody. Source: Mironov et al. 1908.10530; Bun and Steinke 2016;
reference 5.2 and pitfalls 8 and 9.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from math import ceil, comb, exp, expm1, log, log1p, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from andon.core.errors import Code, InvalidInput
from models.federated.masks import derive, keystream

ORDER_MAX = 16
CURVE_ORDERS: tuple[int, ...] = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512)
"""Of the whole curve: high ones tell small epsilons apart."""

MICRO = 1_000_000
SEED_BYTES = 32
_WORDS_MAX = 2**18

Tier = Literal["strong", "standard", "none"]
TIERS: dict[Tier, float] = {"strong": 2.0, "standard": 8.0, "none": float("inf")}
"""Largest epsilon of a whole run, by tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """One step of noisy training: records are taken with probability `rate`.

    `noise` is the noise multiplier: standard deviation over `clip`, the bound on one record's
    gradient norm, which is the sensitivity of the sum. The two are never set apart. The cost is
    declared at `order`; 0: so that it holds at every order to ORDER_MAX.
    """

    clip: float
    noise: float
    rate: float
    order: int = 0

    def deviation(self) -> float:
        """Standard deviation of the noise on the sum of clipped gradients."""
        return self.noise * self.clip


def check_mechanism(mechanism: Mechanism) -> None:
    """Require a positive clip and noise and a rate in (0, 1].

    Raises:
        InvalidInput: BAD_ARGUMENTS.
    """
    if not (mechanism.clip > 0 and mechanism.noise > 0 and 0 < mechanism.rate <= 1):
        raise InvalidInput(
            Code.BAD_ARGUMENTS, "clip and noise must be positive and the rate in (0, 1]"
        )
    if mechanism.order and not 2 <= mechanism.order <= ORDER_MAX:
        raise InvalidInput(Code.BAD_ARGUMENTS, f"an order is 2 to {ORDER_MAX}, or 0")


def renyi(mechanism: Mechanism, order: int) -> float:
    """Renyi divergence of one step at an integer order of at least 2."""
    check_mechanism(mechanism)
    q, sigma = mechanism.rate, mechanism.noise
    if q == 1:
        return order / (2 * sigma**2)
    # log of sum_k C(order, k) (1-q)^(order-k) q^k exp((k^2 - k) / (2 sigma^2)), stably.
    terms = [
        log(comb(order, k)) + (order - k) * log1p(-q) + k * log(q) + (k * k - k) / (2 * sigma**2)
        for k in range(order + 1)
    ]
    top = max(terms)
    return (top + log(sum(exp(term - top) for term in terms))) / (order - 1)


def cost_micro_rho(mechanism: Mechanism, steps: int) -> int:
    """What `steps` steps cost, in micro-rho, rounded up: at the mechanism's order, or at all."""
    orders = [mechanism.order] if mechanism.order else range(2, ORDER_MAX + 1)
    return ceil(steps * max(renyi(mechanism, order) / order for order in orders) * MICRO)


def epsilon_of(micro_rho: int, delta: float, order: int = 0) -> float:
    """The (epsilon, delta) that follows from costs declared at `order` (0: at all); an upper bound.

    Source: Canonne, Kamath, Steinke 2004.00010, proposition 12, at integer orders.
    """
    if micro_rho == 0:
        return 0.0
    orders = [order] if order else range(2, ORDER_MAX + 1)
    return max(0.0, min(_epsilon_at(one, micro_rho, delta) for one in orders))


def _epsilon_at(order: int, micro_rho: int, delta: float) -> float:
    rho = micro_rho / MICRO
    return rho * order + log1p(-1 / order) + (log(1 / delta) - log(order)) / (order - 1)


def order_of(budget: int, delta: float) -> int:
    """The order at which a whole budget, in micro-rho, gives the smallest epsilon."""
    return min(range(2, ORDER_MAX + 1), key=lambda order: _epsilon_at(order, budget, delta))


def epsilon_of_steps(mechanism: Mechanism, steps: int, delta: float) -> float:
    """The tighter (epsilon, delta) of the whole curve, for the model card."""
    return max(
        0.0,
        min(
            steps * renyi(mechanism, order)
            + log1p(-1 / order)
            + (log(1 / delta) - log(order)) / (order - 1)
            for order in CURVE_ORDERS
        ),
    )


def budget_micro_rho(epsilon: float, delta: float) -> int:
    """The largest budget whose epsilon at `delta` is not above `epsilon`."""
    low, high = 0, int(epsilon * MICRO) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon_of(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def mechanism_for(
    epsilon: float, delta: float, *, clip: float, rate: float, steps: int
) -> Mechanism:
    """The mechanism with the least noise (to 0.1 %) whose cost stays within the budget of epsilon.

    Its cost is declared at the budget's order.
    """
    budget = budget_micro_rho(epsilon, delta)
    order, low, high = order_of(budget, delta), 0.1, 1000.0
    while high / low > 1.001:
        middle = sqrt(low * high)
        tried = Mechanism(clip=clip, noise=middle, rate=rate, order=order)
        if cost_micro_rho(tried, steps) <= budget:
            high = middle
        else:
            low = middle
    return Mechanism(clip=clip, noise=high, rate=rate, order=order)


class Noise:
    """Gaussian numbers from a ChaCha20 stream. Every instance has a fresh secret seed."""

    def __init__(self, seed: bytes | None = None) -> None:
        """Take `seed` (32 bytes) in tests only."""
        self._seed = secrets.token_bytes(SEED_BYTES) if seed is None else seed
        self._blocks = 0

    def normal(self, count: int) -> NDArray[np.float64]:
        """Draw `count` standard normal numbers (Box-Muller on 53-bit uniforms)."""
        pairs = (count + 1) // 2
        first, second = self._uniform(pairs), self._uniform(pairs)
        radius = np.sqrt(-2 * np.log1p(-first))
        angle = 2 * np.pi * second
        both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
        return np.asarray(both[:count])

    def chosen(self, records: int, rate: float) -> NDArray[np.bool_]:
        """Poisson sampling: each of `records` is taken with probability `rate`."""
        return np.asarray(self._uniform(records) < rate)

    def _uniform(self, count: int) -> NDArray[np.float64]:
        parts = []
        for start in range(0, 2 * count, _WORDS_MAX):
            key = derive(self._seed, "noise", self._blocks.to_bytes(8, "big"))
            self._blocks += 1
            parts.append(keystream(key, min(_WORDS_MAX, 2 * count - start)))
        words = np.concatenate(parts).astype(np.uint64)
        whole = (words[0::2] << np.uint64(32)) | words[1::2]
        return (whole >> np.uint64(11)).astype(np.float64) * 2.0**-53


def clip_rows(gradients: NDArray[np.float32], clip: float) -> NDArray[np.float32]:
    """Shrink each row of `gradients: f32[n, d]` to norm `clip`."""
    norms = np.linalg.norm(gradients.astype(np.float64), axis=1)
    factors = np.minimum(1.0, clip / np.maximum(norms, 1e-12))
    return np.asarray(gradients * factors[:, None], np.float32)


def noisy_sum(
    gradients: NDArray[np.float32], mechanism: Mechanism, noise: Noise
) -> NDArray[np.float64]:
    """The sum of clipped rows plus noise; what leaves the records behind it protected."""
    clipped = clip_rows(gradients, mechanism.clip).astype(np.float64).sum(axis=0)
    return add_noise(clipped, mechanism, noise)


def add_noise(
    clipped_sum: NDArray[np.float32] | NDArray[np.float64], mechanism: Mechanism, noise: Noise
) -> NDArray[np.float64]:
    """Add the mechanism's noise to `f[d]`, a sum of gradients of norm at most `clip`."""
    draws = noise.normal(clipped_sum.size)
    return np.asarray(clipped_sum.astype(np.float64) + mechanism.deviation() * draws)


def advantage_bound(epsilon: float, delta: float) -> float:
    """The largest true positive rate minus false positive rate of any membership test."""
    return (expm1(epsilon) + 2 * delta) / (exp(epsilon) + 1)
