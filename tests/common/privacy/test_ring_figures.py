"""Counts and losses under noise in the ring: sensitivity, law of the noise, permits."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.common.errors import PrivacyError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy import ring_figures
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, PrivacyEvent
from fedward.common.privacy.noise import Entropy
from fedward.common.privacy.ring_figures import count_steps, loss_steps, noisy_loss_steps, sigma_steps

COUNT = Gaussian(noise_multiplier=20.0, num_releases=1)
LOSSES = PoissonGaussian(sample_rate=0.1, noise_multiplier=4.0, num_steps=1)
ANY_LOSS = st.floats(allow_nan=True, allow_infinity=True)


def permit_of(event: PrivacyEvent, clip_norm: float) -> Permit:
    return BudgetAccount(epsilon_cap=1e9, delta=1e-5).reserve(event, clip_norm=clip_norm, purpose="test")


def dice(seed: int = 0) -> Entropy:
    return Entropy.seeded(seed.to_bytes(16, "big"))


# ---------------------------------------------------------------------------------------------------- sensitivity


@given(st.lists(ANY_LOSS, max_size=20), ANY_LOSS, st.integers(4, 16), st.floats(1e-3, 1e3))
def test_one_unit_more_moves_the_sum_by_at_most_the_clamp(
    losses: list[float], more: float, steps_log2: int, clamp: float
) -> None:
    steps = 1 << steps_log2
    before = loss_steps(np.array(losses, float), clamp=clamp, steps=steps)
    after = loss_steps(np.array([*losses, more], float), clamp=clamp, steps=steps)
    assert 0 <= after - before <= steps


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 8.0, 1e300])
def test_a_loss_that_is_no_number_counts_as_the_clamp(loss: float) -> None:
    assert loss_steps(np.array([loss]), clamp=8.0, steps=1024) == 1024


@pytest.mark.parametrize(
    ("loss", "steps"), [(0.0, 0), (-3.0, 0), (4.0, 512), (7.999, 1024), (1 / 256, 0), (1 / 128, 1)]
)
def test_a_loss_is_rounded_to_its_steps(loss: float, steps: int) -> None:
    assert loss_steps(np.array([loss]), clamp=8.0, steps=1024) == steps


def test_no_unit_at_all_is_zero() -> None:
    assert loss_steps(np.empty(0), clamp=8.0, steps=1024) == 0


# ---------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("noise", "steps", "sigma"), [(20.0, 1, 21), (0.01, 1, 5), (3.0, 1, 5), (4.0, 1024, 4097), (0.5, 16, 9)]
)
def test_noise_is_the_booked_one_and_sixteen_more_in_variance(noise: float, steps: int, sigma: int) -> None:
    assert sigma_steps(noise, steps) == sigma
    assert sigma**2 - 16 >= (noise * steps) ** 2 > (sigma - 1) ** 2 - 16


@pytest.mark.parametrize(("noise", "steps"), [(0.3, 1), (1.0, 1), (20.0, 1), (0.5, 16), (2.0, 16)])
def test_the_noise_gives_away_no_more_than_the_booked_gaussian(noise: float, steps: int) -> None:
    """The exact hockey-stick divergence of two neighbours against that of the booked mechanism, at many epsilons."""
    sigma = sigma_steps(noise, steps)
    reach = np.arange(-14 * sigma - steps, 14 * sigma + steps + 1)
    law = np.exp(-0.5 * (reach / sigma) ** 2)
    moved = np.exp(-0.5 * ((reach - steps) / sigma) ** 2)
    law, moved = law / law.sum(), moved / moved.sum()
    normal = NormalDist()
    for epsilon in (0.0, 0.05, 0.2, 0.5, 1.0, 2.0, 4.0):
        exact = np.maximum(moved - math.exp(epsilon) * law, 0).sum()
        booked = normal.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * normal.cdf(
            -0.5 / noise - epsilon * noise
        )
        assert exact <= booked + 1e-12


def test_a_count_carries_the_noise_of_its_permit() -> None:
    drawn = [count_steps(500, permit=permit_of(COUNT, 1.0), entropy=dice(seed)) - 500 for seed in range(400)]
    assert abs(np.mean(drawn)) < 5 * 21 / math.sqrt(400)
    assert 0.8 * 21 < np.std(drawn) < 1.2 * 21


def test_a_sum_of_losses_carries_the_noise_of_its_permit() -> None:
    losses = np.array([4.0, 4.0])
    drawn = [
        noisy_loss_steps(losses, clamp=8.0, steps=64, permit=permit_of(LOSSES, 8.0), entropy=dice(seed)) - 64
        for seed in range(400)
    ]
    sigma = sigma_steps(4.0, 64)
    assert abs(np.mean(drawn)) < 5 * sigma / math.sqrt(400)
    assert 0.8 * sigma < np.std(drawn) < 1.2 * sigma


def test_without_privacy_both_are_exact() -> None:
    assert count_steps(17, permit=None, entropy=dice()) == 17
    assert noisy_loss_steps(np.array([2.0, 4.0]), clamp=8.0, steps=64, permit=None, entropy=dice()) == 48


def test_noise_comes_from_the_entropy_that_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes | None] = []

    def drawn(
        count: int, *, sigma_steps: float, key: bytes | None = None
    ) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        keys.append(key)
        return np.zeros(count, np.int32)

    monkeypatch.setattr(ring_figures, "discrete_gaussian", drawn)
    for _ in range(2):
        count_steps(5, permit=permit_of(COUNT, 1.0), entropy=Entropy.system())
    assert len(set(keys)) == 2
    assert all(key is not None and len(key) == 32 for key in keys)


# ---------------------------------------------------------------------------------------------------- permits


def test_a_count_uses_its_permit_up() -> None:
    permit = permit_of(COUNT, 1.0)
    count_steps(5, permit=permit, entropy=dice())
    with pytest.raises(PrivacyError, match="one use"):
        count_steps(5, permit=permit, entropy=dice())


@pytest.mark.parametrize(
    ("event", "clip_norm"), [(LOSSES, 1.0), (COUNT, 2.0), (Gaussian(noise_multiplier=20.0, num_releases=2), 1.0)]
)
def test_a_count_under_another_permit_is_refused(event: PrivacyEvent, clip_norm: float) -> None:
    with pytest.raises(PrivacyError, match="reserved"):
        count_steps(5, permit=permit_of(event, clip_norm), entropy=dice())


@pytest.mark.parametrize(
    ("event", "clip_norm"),
    [(COUNT, 8.0), (LOSSES, 7.0), (PoissonGaussian(sample_rate=0.1, noise_multiplier=4.0, num_steps=2), 8.0)],
)
def test_losses_under_another_permit_are_refused(event: PrivacyEvent, clip_norm: float) -> None:
    with pytest.raises(PrivacyError, match="reserved"):
        noisy_loss_steps(np.ones(2), clamp=8.0, steps=64, permit=permit_of(event, clip_norm), entropy=dice())
