"""The smallest noise that keeps a target: guessed by a normal approximation, corrected and proven by the accountant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from statistics import NormalDist

from fedward.common import _validate
from fedward.common.errors import CalibrationError
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent

TICKS_PER_UNIT = 10_000
"""Noise multipliers are multiples of 1e-4."""
MIN_NOISE, MAX_NOISE = 0.3, 1e4
MIN_EPSILON = 1e-2
"""Below it the discretisation of the losses decides, not the noise."""
TOLERANCE = 2e-5
_COARSE = 1e-3
_NORMAL = NormalDist()


def calibrate(
    *,
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    num_steps: int,
    history: Iterable[PrivacyEvent] = (),
) -> float:
    """The noise multiplier, a multiple of 1e-4, with which ``history`` and the new steps stay within the target.

    The result satisfies ``epsilon(history + steps, delta) <= target_epsilon`` by the accountant itself. Either the next
    smaller multiple does not, or the two sides differ by less than 2e-5 of the target, or the result is ``MIN_NOISE``,
    below which none is offered.

    Raises:
        ConfigError: an argument that cannot be.
        CalibrationError: the history alone passes the target, or no noise up to ``MAX_NOISE`` is enough.
    """
    _validate.positive(target_epsilon=target_epsilon)
    accounting.check_delta(delta)
    PoissonGaussian(sample_rate=sample_rate, noise_multiplier=1.0, num_steps=num_steps)
    return _calibrate(target_epsilon, delta, sample_rate, num_steps, accounting.merge(history))


@lru_cache(maxsize=256)
def _calibrate(
    target: float, delta: float, sample_rate: float, num_steps: int, history: tuple[PrivacyEvent, ...]
) -> float:
    if target < MIN_EPSILON:
        raise CalibrationError(f"epsilon {target:g} is below what can be accounted for ({MIN_EPSILON:g})")
    spent = accounting.epsilon(history, delta)
    if not spent <= target:
        raise CalibrationError(f"epsilon {target:g} is already spent at delta {delta:g}")

    def with_steps(noise: float) -> tuple[PrivacyEvent, ...]:
        step = PoissonGaussian(sample_rate=sample_rate, noise_multiplier=noise, num_steps=num_steps)
        return accounting.merge((*history, step))

    def guess(epsilon: float) -> float:
        room = _normal_mu(epsilon, delta) ** 2 - (_normal_mu(spent, delta) ** 2 if spent > 0 else 0.0)
        return 1.0 / math.sqrt(math.log1p(max(room, 1e-12) / (sample_rate**2 * num_steps)))

    def coarse(noise: float) -> float:
        return accounting.epsilon_at(with_steps(noise), delta, _COARSE)

    def fine(ticks: int) -> float:
        return accounting.epsilon(with_steps(ticks / TICKS_PER_UNIT), delta)

    exponent = min(-0.05, math.log(guess(1.01 * target) / guess(target)) / math.log(1.01))
    noise = min(max(guess(target), MIN_NOISE), MAX_NOISE)
    value = coarse(noise)
    for _ in range(3):
        further = min(max(noise * _correction(value, target, exponent), MIN_NOISE), MAX_NOISE)
        before, noise, value = (noise, value), further, coarse(further)
        exponent = _exponent(before, (noise, value), exponent)
    noise = min(max(noise * _correction(value, target, exponent), MIN_NOISE), MAX_NOISE)
    return _fine_root(fine, target, math.ceil(noise * TICKS_PER_UNIT), exponent) / TICKS_PER_UNIT


def _fine_root(epsilon_at: Callable[[int], float], target: float, ticks: int, exponent: float) -> int:
    """The smallest number of ticks that fits, or one whose epsilon is within the tolerance below the target.

    Args:
        exponent: an estimate of d log(noise) / d log(epsilon), for the jumps; bisection takes over where it misleads.
    """
    fails, fits = round(MIN_NOISE * TICKS_PER_UNIT) - 1, round(MAX_NOISE * TICKS_PER_UNIT) + 1
    jumps = 0
    while fits - fails > 1:
        value = epsilon_at(ticks)
        if value <= target:
            fits = ticks
            if value >= target * (1.0 - TOLERANCE):
                break
        else:
            fails = ticks
        jumps += 1
        jump = math.ceil(ticks * _correction(value, target, exponent)) if jumps < 6 else (fits + fails) // 2
        ticks = min(max(jump, fails + 1), fits - 1)
    if fits > MAX_NOISE * TICKS_PER_UNIT:
        raise CalibrationError(f"no noise multiplier up to {MAX_NOISE:g} keeps epsilon {target:g}")
    return fits


def _correction(value: float, target: float, exponent: float) -> float:
    """By what to multiply the noise when it gives ``value`` instead of ``target``."""
    if not 0 < value < math.inf:
        return 4.0 if value > 0 else 0.25
    return float(min(max((target / value) ** exponent, 0.25), 4.0))


def _exponent(before: tuple[float, float], after: tuple[float, float], default: float) -> float:
    """The slope d log(noise) / d log(epsilon) from two points (noise, epsilon) that are far enough apart."""
    values = (before[1], after[1])
    if not (min(values) > 0 and max(values) < math.inf) or abs(math.log(after[1] / before[1])) < 1e-3:
        return default
    return min(-0.05, max(-4.0, math.log(after[0] / before[0]) / math.log(after[1] / before[1])))


def _normal_mu(epsilon: float, delta: float) -> float:
    """The mu of a Gaussian mechanism of that epsilon and delta (paper 1905.02383, corollary 2.13), by bisection.

    A first guess only: as an account it would be too low.
    """
    low, high = 0.0, 1.0

    def gives(mu: float) -> float:
        tail = _NORMAL.cdf(-epsilon / mu - mu / 2)
        return _NORMAL.cdf(-epsilon / mu + mu / 2) - (math.exp(min(epsilon, 700.0)) * tail if tail > 0 else 0.0)

    while gives(high) < delta and high < 1e3:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gives(middle) < delta else (low, middle)
    return high


__all__ = ["calibrate", "MAX_NOISE", "MIN_EPSILON", "MIN_NOISE", "TICKS_PER_UNIT", "TOLERANCE"]
