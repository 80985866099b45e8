"""Mode ``distributed``: the booked epsilon between the exact one of its noise and two published bounds from above.

The bounds are those of the distributed discrete Gaussian (paper: Kairouz, Liu, Steinke 2021) and of any mechanism under
Poisson sampling (paper: Zhu, Wang 2019); written here from the papers' formulas, by nothing of the accountant.
"""

from __future__ import annotations

import math

import pytest

from fedward.common.privacy.accounting import epsilon
from fedward.common.privacy.distributed import RingMechanism, mechanism_for
from fedward.common.secagg.thresholds import Profile

DELTA = 1e-5
COHORTS = [(Profile.STRICT, 5, 0), (Profile.RESILIENT, 10, 2), (Profile.RESILIENT_MALICIOUS, 10, 2)]


def mechanism(profile: Profile, sites: int, dropouts: int, noise: float, coordinates: int) -> RingMechanism:
    return mechanism_for(
        profile,
        num_sites=sites,
        max_dropouts=dropouts,
        assumed_colluders=1,
        num_coordinates=coordinates,
        clip_norm=0.5,
        noise_multiplier=noise,
    )


def zcdp(made: RingMechanism) -> float:
    """ρ of one release without sampling, the distance of a sum of discrete Gaussians from one included."""
    variance = made.sigma_steps**2
    distance = 10 * math.fsum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, made.num_honest))
    move = made.sensitivity_steps / (math.sqrt(made.num_honest) * made.sigma_steps)
    return 0.5 * (move + distance * math.sqrt(made.num_coordinates)) ** 2


def from_renyi(divergence: float, order: float) -> float:
    """Epsilon from a Rényi divergence (paper: Canonne, Kamath, Steinke 2020, proposition 12)."""
    return divergence + math.log1p(-1 / order) - math.log(DELTA * order) / (order - 1)


def sampled_divergence(rho: float, rate: float, order: int) -> float:
    """The generic bound for Poisson sampling at a whole order (theorem 6), in logarithms."""
    first = (order - 1) * math.log1p(-rate) + math.log1p((order - 1) * rate)
    logs = [first]
    for k in range(2, order + 1):
        binomial = math.lgamma(order + 1) - math.lgamma(k + 1) - math.lgamma(order - k + 1)
        loss = (k - 1) * k * rho  # (k − 1) times the divergence of order k
        logs.append(
            (math.log(3) if k > 2 else 0.0) + binomial + (order - k) * math.log1p(-rate) + k * math.log(rate) + loss
        )
    top = max(logs)
    return (top + math.log(math.fsum(math.exp(value - top) for value in logs))) / (order - 1)


def below(x: float) -> float:
    """Of a standard normal, exact far down its tail too."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def exact_epsilon(multiplier: float) -> float:
    """Of one Gaussian release, by bisection of its exact delta (paper: Balle, Wang 2018)."""
    mean = 1 / multiplier

    def delta(value: float) -> float:
        return below(mean / 2 - value / mean) - math.exp(value) * below(-mean / 2 - value / mean)

    under, over = 0.0, 200.0
    for _ in range(100):
        middle = (under + over) / 2
        under, over = (middle, over) if delta(middle) > DELTA else (under, middle)
    return under


@pytest.mark.parametrize(("profile", "sites", "dropouts"), COHORTS)
@pytest.mark.parametrize("noise", [0.7, 2.0, 8.0])
@pytest.mark.parametrize("rounds", [1, 8])
def test_without_sampling_the_booked_epsilon_is_between_the_exact_one_and_the_zcdp_one(
    profile: Profile, sites: int, dropouts: int, noise: float, rounds: int
) -> None:
    made = mechanism(profile, sites, dropouts, noise, 10**6)
    booked = epsilon([made.event(1.0)] * rounds, DELTA)
    orders = [1 + 1.1**power for power in range(-40, 80)]
    bound = min(from_renyi(order * rounds * zcdp(made), order) for order in orders)
    # All the noise of the honest sites, the smoothing included: no account of these releases may be below.
    carried = math.sqrt(made.num_honest) * made.sigma_steps / made.sensitivity_steps
    least = exact_epsilon(carried / math.sqrt(rounds))
    # Where the accountant falls back on Rényi divergences it adds a little for their rounding.
    assert least <= booked <= bound * (1 + 1e-9)


@pytest.mark.parametrize(("profile", "sites", "dropouts"), COHORTS)
@pytest.mark.parametrize(
    ("rate", "noise", "rounds"), [(0.01, 0.8, 200), (0.1, 1.0, 20), (0.1, 2.0, 100), (0.5, 4.0, 50)]
)
def test_with_sampling_the_booked_epsilon_is_not_above_the_generic_bound(
    profile: Profile, sites: int, dropouts: int, rate: float, noise: float, rounds: int
) -> None:
    made = mechanism(profile, sites, dropouts, noise, 10**6)
    rho = zcdp(made)
    bound = min(from_renyi(rounds * sampled_divergence(rho, rate, order), order) for order in range(2, 200))
    booked = epsilon([made.event(rate)] * rounds, DELTA)
    assert 0 < booked <= bound


def test_the_distance_of_a_sum_of_shares_from_one_gaussian_is_no_part_of_the_bound() -> None:
    """The values of the protocol's page for five sites: at four steps, the least allowed, it is gone."""

    def distance(sigma: int) -> float:
        return 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, 5))

    assert [f"{distance(sigma):.1e}" for sigma in (1, 2, 4)] == ["5.4e-04", "7.2e-17", "2.6e-68"]
