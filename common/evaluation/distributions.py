"""Normal and binomial probabilities with numpy and the standard library alone.

scipy stands behind dp-accounting and is no dependency of ours, and a bound must be recomputed on an installation
without it; the tests hold every function here to scipy's answers. Not handled here: intervals (``intervals``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedward.common.errors import ConfigError

MAX_TRIALS = 1_000_000
_STANDARD = NormalDist()
_FAR = -30.0
"""Below it the complementary error function nears underflow and the asymptotic series is exact to rounding."""


def normal_cdf(x: float) -> float:
    """Φ(x); by erfc, so that the lower tail keeps its relative precision."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def log_normal_cdf(x: float) -> float:
    """The logarithm of Φ(x), also where Φ(x) underflows (Abramowitz and Stegun 26.2.12)."""
    if x > _FAR:
        return math.log(normal_cdf(x))
    square = 1 / (x * x)
    series = -square * (1 - square * (3 - square * (15 - square * 105)))
    return -x * x / 2 - math.log(-x) - math.log(2 * math.pi) / 2 + math.log1p(series)


def normal_quantile(p: float) -> float:
    """Φ⁻¹(p) (Wichura, AS 241); infinite at 0 and 1.

    Raises:
        ConfigError: ``p`` is no probability.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"p = {p!r}: expected a probability")
    if p in (0, 1):
        return math.inf if p else -math.inf
    return _STANDARD.inv_cdf(p)


def two_sided_z(level: float) -> float:
    """How many standard errors a two-sided interval of ``level`` reaches.

    Raises:
        ConfigError: ``level`` is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ConfigError(f"level = {level!r}: expected a number between 0 and 1")
    return normal_quantile((1 + level) / 2)


@lru_cache(maxsize=64)
def _log_choose(trials: int) -> NDArray[np.float64]:
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    result: NDArray[np.float64] = factorials[-1] - factorials - factorials[::-1]
    result.setflags(write=False)
    return result


def binomial_tails(trials: int, p: float) -> NDArray[np.float64]:
    """(trials + 2,) P[B >= k] for k = 0 … trials + 1 and B ~ Bin(trials, p).

    Summed from the far end, so that small tails keep their relative precision.

    Raises:
        ConfigError: ``p`` is no probability, or too many trials.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"p = {p!r}: expected a probability")
    if not 0 <= trials <= MAX_TRIALS:
        raise ConfigError(f"trials = {trials}: expected 0 to {MAX_TRIALS}")
    if p in (0, 1):
        return np.where(np.arange(trials + 2) <= trials * p, 1.0, 0.0)
    k = np.arange(trials + 1)
    mass = np.exp(_log_choose(trials) + k * math.log(p) + (trials - k) * math.log1p(-p))
    tails: NDArray[np.float64] = np.minimum(1.0, np.append(np.cumsum(mass[::-1])[::-1], 0.0))
    tails[0] = 1.0
    return tails


def bisect_sign(positive_below: Callable[[float], bool], low: float, high: float, *, tolerance: float) -> float:
    """Where ``positive_below``, which holds at ``low`` and not at ``high``, ends to hold, from below."""
    while high - low > tolerance:
        middle = (low + high) / 2
        low, high = (middle, high) if positive_below(middle) else (low, middle)
    return low


__all__ = [
    "binomial_tails",
    "bisect_sign",
    "log_normal_cdf",
    "MAX_TRIALS",
    "normal_cdf",
    "normal_quantile",
    "two_sided_z",
]
