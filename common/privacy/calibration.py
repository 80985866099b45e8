"""The smallest noise that keeps a target: found on a coarse grid of losses, proven on the fine one, rounded up."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

from fedward.common import _validate
from fedward.common.errors import CalibrationError
from fedward.common.privacy import accounting
from fedward.common.privacy.accounting import PoissonGaussian, PrivacyEvent

STEP = 1e-4
"""Noise multipliers are multiples of this."""
MIN_NOISE, MAX_NOISE = 0.2, 1e4
MIN_EPSILON = 1e-2
"""Below it the discretisation of the losses decides, not the noise."""
_COARSE = 1e-3
_FIRST_NOISE = 8.0
_BISECTIONS = 12


def calibrate(
    *,
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    num_steps: int,
    history: Iterable[PrivacyEvent] = (),
) -> float:
    """The noise multiplier, a multiple of 1e-4, with which ``history`` and the new steps stay within the target.

    The result satisfies ``epsilon(history + steps, delta) <= target_epsilon`` by the accountant itself, and the next
    smaller multiple does not, unless the result is ``MIN_NOISE``, below which none is offered.

    Raises:
        ConfigError: an argument that cannot be.
        CalibrationError: the history alone passes the target, or no noise up to 1e4 is enough.
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
    if not accounting.epsilon(history, delta) <= target:
        raise CalibrationError(f"epsilon {target:g} is already spent at delta {delta:g}")

    def with_steps(noise: float) -> tuple[PrivacyEvent, ...]:
        step = PoissonGaussian(sample_rate=sample_rate, noise_multiplier=noise, num_steps=num_steps)
        return accounting.merge((*history, step))

    def coarse(noise: float) -> float:
        return float(accounting.composed(with_steps(noise), _COARSE).get_epsilon_for_delta(delta))

    root = _coarse_root(coarse, target)
    slope = math.log(coarse(1.001 * root) / coarse(root)) / math.log(1.001)
    exponent = 1.0 / min(slope, -0.05)

    def fine(ticks: int) -> float:
        return accounting.epsilon(with_steps(ticks * STEP), delta)

    return _fine_root(fine, target, math.ceil(root / STEP), exponent) * STEP


def _coarse_root(epsilon_at: Callable[[float], float], target: float) -> float:
    """A noise whose coarse epsilon is near the target, approached from above: little noise costs much computing."""
    high = _FIRST_NOISE
    while not epsilon_at(high) <= target:
        high *= 8.0
        if high > MAX_NOISE:
            raise CalibrationError(f"no noise multiplier up to {MAX_NOISE:g} keeps epsilon {target:g}")
    low = high / 1.5
    while epsilon_at(low) <= target:
        if low <= MIN_NOISE:
            return MIN_NOISE
        high, low = low, max(low / 1.5, MIN_NOISE)
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if epsilon_at(middle) <= target else (middle, high)
    return high


def _fine_root(epsilon_at: Callable[[int], float], target: float, ticks: int, exponent: float) -> int:
    """The smallest number of ticks that fits; ``exponent`` is d log(noise) / d log(epsilon), for the jumps."""
    floor = round(MIN_NOISE / STEP)
    fails, fits = floor - 1, round(MAX_NOISE / STEP) + 1
    ticks = max(ticks, floor)
    while fits - fails > 1:
        value = epsilon_at(ticks)
        if value <= target:
            fits = ticks
        else:
            fails = ticks
        jump = math.ceil(ticks * (value / target) ** exponent) if 0 < value < math.inf else 2 * ticks
        ticks = min(max(jump, fails + 1), fits - 1)
    if fits * STEP > MAX_NOISE:
        raise CalibrationError(f"no noise multiplier up to {MAX_NOISE:g} keeps epsilon {target:g}")
    return fits


__all__ = ["calibrate", "MAX_NOISE", "MIN_EPSILON", "MIN_NOISE", "STEP"]
