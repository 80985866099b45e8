"""A whole patient's epsilon under record sampling: known answers, a direct integral, and the looser bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedward.common.errors import ConfigError, PrivacyError
from fedward.common.privacy import patients
from fedward.common.privacy.accounting import Gaussian, Laplace, PoissonGaussian, epsilon, merge
from fedward.common.privacy.patients import BoundMethod, patient_epsilon


def steps(sample_rate: float, noise: float, num_steps: int) -> PoissonGaussian:
    return PoissonGaussian(sample_rate=sample_rate, noise_multiplier=noise, num_steps=num_steps)


RUN = steps(0.01, 1.0, 1000)


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the points: still rounded upwards, and ten times faster."""
    monkeypatch.setattr(patients, "_POINTS", 2_500)


@pytest.mark.parametrize(
    ("max_records", "known"),
    [
        (1, 1.829),
        pytest.param(2, 3.979, marks=pytest.mark.slow),
        pytest.param(4, 8.899, marks=pytest.mark.slow),
        pytest.param(8, 20.895, marks=pytest.mark.slow),
        (16, 52.714),
    ],
)
def test_a_patient_with_k_records_has_its_known_epsilon(max_records: int, known: float) -> None:
    found = patient_epsilon([RUN], 1e-5, max_records)
    assert found.epsilon == pytest.approx(known, abs=1e-3)
    assert found.method is BoundMethod.PLD


def test_one_record_a_patient_costs_what_the_record_costs() -> None:
    assert patient_epsilon([RUN], 1e-5, 1).epsilon == epsilon([RUN], 1e-5)
    assert patient_epsilon([], 1e-5, 8).epsilon == 0.0


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(("rate", "noise", "k"), [(0.3, 2.0, 3), (0.05, 1.0, 5)])
def test_one_step_has_the_divergence_of_its_integral(rate: float, noise: float, k: int) -> None:
    delta = 1e-3
    found = patient_epsilon([steps(rate, noise, 1)], delta, k).epsilon
    assert integral_delta(rate, noise, k, found) <= delta
    assert integral_delta(rate, noise, k, found * 0.995) > delta


def integral_delta(rate: float, noise: float, k: int, eps: float) -> float:
    """The larger of both hockey-stick divergences of one step, on a fine grid."""
    x = np.linspace(-12 * noise, k + 12 * noise, 400_001)

    def normal(at: float) -> np.ndarray:
        return np.asarray(np.exp(-((x - at) ** 2) / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi)))

    without = normal(0.0)
    drawn = [math.comb(k, i) * rate**i * (1 - rate) ** (k - i) * normal(i) for i in range(k + 1)]
    with_patient = np.sum(drawn, axis=0)
    width = x[1] - x[0]
    one = np.maximum(with_patient - math.exp(eps) * without, 0).sum() * width
    other = np.maximum(without - math.exp(eps) * with_patient, 0).sum() * width
    return float(max(one, other))


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(("k", "delta"), [(2, 1e-5), (3, 1e-6)])
def test_the_looser_bounds_are_never_below(k: int, delta: float) -> None:
    history = merge([steps(0.02, 2.0, 100)])
    fine = patient_epsilon(history, delta, k)
    assert fine.method is BoundMethod.PLD
    assert patients._group(history, delta, k) >= fine.epsilon
    assert patients._all_records(history, delta, k) >= fine.epsilon


def test_a_release_on_all_records_has_k_times_the_sensitivity() -> None:
    probe = Gaussian(noise_multiplier=20.0, num_releases=1)
    alone = epsilon([Gaussian(noise_multiplier=5.0, num_releases=1)], 1e-5)
    assert patient_epsilon([probe], 1e-5, 4).epsilon == pytest.approx(alone, abs=1e-6)
    full = steps(1.0, 20.0, 1)
    assert patient_epsilon([full], 1e-5, 4).epsilon == pytest.approx(alone, abs=1e-6)
    laplace = Laplace(scale=8.0, num_releases=1)
    assert patient_epsilon([laplace], 1e-6, 4).epsilon == pytest.approx(0.5, abs=2e-3)


@pytest.mark.usefixtures("coarse")
def test_a_probe_and_a_run_are_composed_for_the_patient_too() -> None:
    run, probe = steps(0.1, 4.0, 20), Gaussian(noise_multiplier=20.0, num_releases=1)
    together = patient_epsilon([run, probe], 1e-5, 2)
    assert together.method is BoundMethod.PLD
    apart = [patient_epsilon([event], 1e-5, 2).epsilon for event in (run, probe)]
    assert max(apart) < together.epsilon < sum(apart)


def test_more_records_than_the_mixture_can_hold_are_bounded_all_the_same() -> None:
    many = patient_epsilon([steps(0.001, 8.0, 50)], 1e-5, 65)
    assert many.method in (BoundMethod.GROUP, BoundMethod.ALL_RECORDS)
    assert many.epsilon > epsilon([steps(0.001, 8.0, 50)], 1e-5)


def test_a_patient_who_is_not_private_at_all_is_told_so_at_once() -> None:
    loud = patient_epsilon([steps(0.5, 0.5, 100_000)], 1e-5, 64)
    assert loud.method is not BoundMethod.PLD
    assert loud.epsilon > 1000


def test_a_loud_step_is_accounted_for_at_its_whole_width() -> None:
    (loud, _), *_ = patients._parts((steps(0.01, 0.011, 1),), 8)[0]
    # All eight records and the tail of the noise; cut at e^700 the account once took ten million points and minutes.
    assert loud.loss_range() == pytest.approx(0.5 * (8 / 0.011) ** 2, rel=0.05)


def test_no_known_bound_is_infinite_and_not_a_number_made_up() -> None:
    # 1000 records move the sum by so many clips that the noise is none, and group privacy has no delta left.
    assert patient_epsilon([steps(0.5, 0.3, 1000)], 1e-5, 1000).epsilon == math.inf


@pytest.mark.parametrize("max_records", [0, -1, True, 2.0, 1_000_001])
def test_a_number_of_records_that_cannot_be_is_refused(max_records: int) -> None:
    with pytest.raises(ConfigError, match="max_records"):
        patient_epsilon([RUN], 1e-5, max_records)


@pytest.mark.parametrize("delta", [0.0, 1.0, math.nan])
def test_a_delta_that_cannot_be_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        patient_epsilon([RUN], delta, 2)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(PrivacyError, match="no privacy event"):
        patient_epsilon([(1.0, 1e-5)], 1e-5, 2)  # type: ignore[list-item]
