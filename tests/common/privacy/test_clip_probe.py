"""The probe of gradient norms: bins, sensitivity, noise, and the median that is read from the sum."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.ledger.budget import BudgetAccount, Permit
from fedward.common.privacy.accounting import Gaussian, PrivacyEvent
from fedward.common.privacy.clip_probe import (
    EDGES,
    EVENT,
    FALLBACK_CLIP,
    NUM_BINS,
    SENSITIVITY,
    histogram,
    is_clip,
    median_norm,
    monotone,
    release,
)
from fedward.common.privacy.noise import Entropy


def permit_for(event: PrivacyEvent = EVENT, clip_norm: float = SENSITIVITY) -> Permit:
    account = BudgetAccount(epsilon_cap=100.0, delta=1e-5)
    return account.reserve(event, clip_norm=clip_norm, purpose="clip_probe")


def counts(*norms: float) -> NDArray[np.float64]:
    return histogram(np.asarray(norms, np.float64))


def test_there_are_34_bins_of_half_an_octave() -> None:
    assert (NUM_BINS, EDGES[0], EDGES[-1]) == (34, 2.0**-12, 2.0**4)
    assert np.diff(np.log2(EDGES)) == pytest.approx([0.5] * 32)


@pytest.mark.parametrize(
    ("norm", "index"),
    [
        (0.0, 0),
        (2.0**-12, 0),
        (np.nextafter(2.0**-12, 1), 1),
        (1.0, 24),
        (1.001, 25),
        (16.0, 32),
        (16.001, 33),
        (math.inf, 33),
        (math.nan, 33),
        (-math.inf, 33),
    ],
)
def test_a_norm_is_in_its_bin(norm: float, index: int) -> None:
    assert counts(norm).tolist() == [float(i == index) for i in range(NUM_BINS)]


any_norm = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(st.lists(any_norm, max_size=30), any_norm)
@settings(deadline=None, derandomize=True)
def test_one_unit_moves_the_histogram_by_one(norms: list[float], one_more: float) -> None:
    moved = counts(*norms, one_more) - counts(*norms)
    assert np.linalg.norm(moved) == SENSITIVITY
    assert np.abs(moved).sum() == 1.0


def test_a_site_without_units_releases_noise_all_the_same() -> None:
    assert counts().tolist() == [0.0] * NUM_BINS
    out = release(np.empty(0), permit=permit_for(), entropy=Entropy.system())
    assert out.shape == (NUM_BINS,)
    assert out.dtype == np.float32
    assert np.abs(out).max() > 1.0


def test_the_noise_has_the_booked_deviation() -> None:
    entropy = Entropy.seeded(b"a seed of sixteen bytes")
    norms = np.full(50, 0.9)
    noise = np.concatenate(
        [release(norms, permit=permit_for(), entropy=entropy) - histogram(norms) for _ in range(300)]
    )
    assert noise.std() == pytest.approx(20.0, rel=0.03)  # four standard errors of 10 200 draws
    assert abs(noise.mean()) < 4 * 20 / math.sqrt(noise.size)


def test_noise_is_drawn_afresh_for_every_release() -> None:
    entropy = Entropy.system()
    first, second = (release(np.ones(3), permit=permit_for(), entropy=entropy) for _ in range(2))
    assert not (first == second).any()


@pytest.mark.parametrize(
    "permit",
    [
        permit_for(Gaussian(noise_multiplier=2.0, num_releases=1)),
        permit_for(Gaussian(noise_multiplier=20.0, num_releases=2)),
        permit_for(clip_norm=2.0),
    ],
    ids=["less noise", "two releases", "another sensitivity"],
)
def test_a_permit_for_something_else_is_refused(permit: Permit) -> None:
    with pytest.raises(PrivacyError, match="not reserved for a probe"):
        release(np.ones(3), permit=permit, entropy=Entropy.system())


# ---------------------------------------------------------------------------------------------------- the median


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
@settings(deadline=None, derandomize=True)
def test_isotonic_regression_grows_and_is_the_nearest_that_does(values: list[float]) -> None:
    fitted = monotone(values)
    assert (np.diff(fitted) >= 0).all()
    again = monotone(fitted)
    assert again == pytest.approx(fitted)
    # Optimality (Robertson et al. 1988): residuals sum to zero, and the fit is orthogonal to them.
    residual = np.asarray(values) - fitted
    scale = max(1.0, float(np.abs(values).max()))
    assert abs(residual.sum()) <= 1e-9 * scale * len(values)
    assert abs(residual @ fitted) <= 1e-9 * scale**2 * len(values)
    assert (np.cumsum(residual) >= -1e-9 * scale * len(values)).all()


def test_isotonic_regression_has_its_known_answer() -> None:
    assert monotone([1.0, 3.0, 2.0, 4.0, 0.0]).tolist() == pytest.approx([1.0, 2.25, 2.25, 2.25, 2.25])


@pytest.mark.parametrize("centre", [0.01, 0.7, 5.0])
def test_without_noise_the_median_is_found_within_a_bin(centre: float) -> None:
    norms = centre * 2.0 ** np.random.default_rng(3).normal(0, 0.7, 5001)  # noqa: TID251 - test data
    found = median_norm(histogram(norms))
    assert abs(math.log2(found / np.median(norms))) < 0.1


def test_with_the_noise_of_four_sites_a_thousand_units_are_enough() -> None:
    rng = np.random.default_rng(5)  # noqa: TID251 - test data
    off = []
    for _ in range(200):
        norms = 0.7 * 2.0 ** rng.normal(0, 0.7, 1000)
        total = histogram(norms) + rng.normal(0, 20 * math.sqrt(4), NUM_BINS)
        off.append(abs(math.log2(median_norm(total) / np.median(norms))))
    assert np.quantile(off, 0.95) < 0.5  # octaves


def bins(**at: float) -> NDArray[np.float64]:
    total = np.zeros(NUM_BINS)
    for name, value in at.items():
        total[int(name.removeprefix("b"))] = value
    return total


def test_a_median_between_two_edges_is_interpolated_on_their_logarithm() -> None:
    assert median_norm(bins(b24=10.0)) == pytest.approx(2.0**-0.25)  # half of the way from 2^-0.5 to 1
    assert median_norm(bins(b24=2.0, b25=6.0)) == pytest.approx(2.0 ** (0.5 / 3))


@pytest.mark.parametrize(
    ("total", "clip"),
    [
        (bins(b0=100.0), EDGES[0]),
        (bins(b33=100.0), EDGES[-1]),
        (np.zeros(NUM_BINS), FALLBACK_CLIP),
        (np.full(NUM_BINS, -50.0), FALLBACK_CLIP),
    ],
    ids=["all below", "all above", "nobody", "drowned"],
)
def test_the_ends_and_the_empty_sum_give_a_clip_that_can_be_used(total: NDArray[np.float64], clip: float) -> None:
    assert median_norm(total) == clip


@given(st.lists(st.floats(-1e9, 1e9), min_size=NUM_BINS, max_size=NUM_BINS))
@settings(deadline=None, derandomize=True)
def test_whatever_the_sum_the_clip_is_one_that_sites_accept(total: list[float]) -> None:
    assert is_clip(median_norm(np.asarray(total)))


@pytest.mark.parametrize("total", [np.zeros(33), np.full(NUM_BINS, math.nan), np.full(NUM_BINS, math.inf)])
def test_a_sum_that_cannot_be_is_refused(total: NDArray[np.float64]) -> None:
    with pytest.raises(ConfigError, match="34 finite counts"):
        median_norm(total)


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        (1.0, True),
        (2.0**-12, True),
        (16.0, True),
        (16.1, False),
        (0.0, False),
        (-1.0, False),
        (math.nan, False),
        (math.inf, False),
    ],
)
def test_only_what_a_probe_can_give_is_a_clip(value: float, holds: bool) -> None:
    assert is_clip(value) is holds
