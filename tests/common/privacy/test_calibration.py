"""Calibration: within the target, by the accountant itself, and hardly more noise than that takes."""

from __future__ import annotations

import math

import pytest

from fedward.common.errors import CalibrationError, ConfigError
from fedward.common.privacy.accounting import Gaussian, PoissonGaussian, PrivacyEvent, epsilon
from fedward.common.privacy.calibration import MIN_NOISE, TOLERANCE, calibrate


def cost(noise: float, delta: float, rate: float, steps: int, history: tuple[PrivacyEvent, ...] = ()) -> float:
    event = PoissonGaussian(sample_rate=rate, noise_multiplier=noise, num_steps=steps)
    return epsilon([*history, event], delta)


def test_the_known_answer_is_found() -> None:
    noise = calibrate(target_epsilon=3.0, delta=1e-5, sample_rate=0.01, num_steps=3000)
    assert noise == 1.0331
    assert cost(noise, 1e-5, 0.01, 3000) == pytest.approx(2.99954, abs=1e-4)


# Target, delta, rate, steps and the multiplier of the design's table (tolerance 1e-3).
TABLE = [
    (1.0, 1e-6, 0.1, 200, 6.140),
    (3.0, 1e-6, 0.05, 200, 1.400),
    (3.0, 1e-6, 0.1, 50, 1.480),
    (5.0, 1e-6, 0.25, 200, 3.618),
    (3.0, 1e-6, 1.0, 200, 21.83),
    (5.0, 1e-6, 0.02, 200, 0.731),
]


@pytest.mark.parametrize(("target", "delta", "rate", "steps", "expected"), TABLE)
def test_the_table_is_met(target: float, delta: float, rate: float, steps: int, expected: float) -> None:
    found = calibrate(target_epsilon=target, delta=delta, sample_rate=rate, num_steps=steps)
    assert found == pytest.approx(expected, rel=2e-3)
    assert cost(found, delta, rate, steps) <= target


@pytest.mark.parametrize(("target", "rate", "steps"), [(5.0, 0.1, 50), (0.5, 0.3, 20), (8.0, 0.5, 30)])
def test_the_noise_is_the_smallest_up_to_the_tolerance(target: float, rate: float, steps: int) -> None:
    found = calibrate(target_epsilon=target, delta=1e-5, sample_rate=rate, num_steps=steps)
    spent = cost(found, 1e-5, rate, steps)
    assert spent <= target
    assert round(found * 10_000) == pytest.approx(found * 10_000, abs=1e-6)
    assert spent >= target * (1 - TOLERANCE) or cost(found - 1e-4, 1e-5, rate, steps) > target


def test_what_was_spent_before_asks_for_more_noise() -> None:
    history = (
        PoissonGaussian(sample_rate=0.1, noise_multiplier=2.0, num_steps=50),
        Gaussian(noise_multiplier=20.0, num_releases=1),
    )
    fresh = calibrate(target_epsilon=3.0, delta=1e-5, sample_rate=0.1, num_steps=100)
    later = calibrate(target_epsilon=3.0, delta=1e-5, sample_rate=0.1, num_steps=100, history=history)
    assert later > fresh
    assert 2.99 < cost(later, 1e-5, 0.1, 100, history) <= 3.0


def test_a_generous_target_gets_the_least_noise_offered() -> None:
    assert calibrate(target_epsilon=50.0, delta=1e-5, sample_rate=0.001, num_steps=2) == MIN_NOISE


@pytest.mark.parametrize("target", [1e-6, 1e-3])
def test_a_target_below_the_accountants_resolution_is_refused(target: float) -> None:
    with pytest.raises(CalibrationError, match="below"):
        calibrate(target_epsilon=target, delta=1e-5, sample_rate=0.1, num_steps=10)


def test_a_target_that_no_noise_meets_is_refused() -> None:
    with pytest.raises(CalibrationError, match="no noise"):
        calibrate(target_epsilon=0.01, delta=1e-12, sample_rate=1.0, num_steps=10**8)


def test_a_target_that_is_spent_already_is_refused() -> None:
    spent = (Gaussian(noise_multiplier=1.0, num_releases=1),)
    with pytest.raises(CalibrationError, match="already spent"):
        calibrate(target_epsilon=1.0, delta=1e-5, sample_rate=0.1, num_steps=10, history=spent)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_target_that_cannot_be_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="target_epsilon"):
        calibrate(target_epsilon=value, delta=1e-5, sample_rate=0.1, num_steps=10)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="sample_rate"):
        calibrate(target_epsilon=1.0, delta=1e-5, sample_rate=math.nan, num_steps=10)
    with pytest.raises(ConfigError, match="delta"):
        calibrate(target_epsilon=1.0, delta=0.0, sample_rate=0.1, num_steps=10)
