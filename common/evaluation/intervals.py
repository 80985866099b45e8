"""Intervals of shares, differences of shares and bootstrapped statistics.

Invariants: an interval always holds its estimate; nothing tried gives the whole range. Wilson's interval is that of
``common.desensitize.intervals``. Not handled here: AUCs (``membership``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedward.common.desensitize.intervals import wilson as _wilson
from fedward.common.errors import ConfigError, EmptyDataError
from fedward.common.evaluation.distributions import binomial_tails, bisect_sign, two_sided_z
from fedward.common.evaluation.draws import Draws

LEVEL = 0.95
BOOTSTRAP_DRAWS = 2_000
_TOLERANCE = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """An estimate between its ends."""

    value: float
    low: float
    high: float


def wilson(hits: int, total: int, level: float = LEVEL) -> Interval:
    """A share with Wilson's score interval.

    Raises:
        EmptyDataError: nothing was tried.
        ConfigError: the counts contradict each other.
    """
    if total == 0:
        raise EmptyDataError("a share of nothing has no value")
    low, high = _wilson(hits, total, two_sided_z(level))
    return Interval(value=hits / total, low=low, high=high)


def clopper_pearson(hits: int, total: int, level: float = LEVEL) -> Interval:
    """A share with its exact interval (Clopper and Pearson, Biometrika 26, 1934): never below its level.

    Raises:
        EmptyDataError: nothing was tried.
        ConfigError: the counts contradict each other.
    """
    if total == 0:
        raise EmptyDataError("a share of nothing has no value")
    if not 0 <= hits <= total:
        raise ConfigError(f"interval of a share: {hits} of {total} cannot be")
    return Interval(
        value=hits / total, low=_exact_low(hits, total, level), high=1 - _exact_low(total - hits, total, level)
    )


def _exact_low(hits: int, total: int, level: float) -> float:
    """The largest share under which ``hits`` or more are as rare as (1 - level) / 2."""
    two_sided_z(level)  # checks the level
    tail = (1 - level) / 2
    if hits == 0:
        return 0.0
    return bisect_sign(
        lambda share: bool(binomial_tails(total, share)[hits] <= tail), 0.0, hits / total, tolerance=_TOLERANCE
    )


def newcombe(hits_a: int, total_a: int, hits_b: int, total_b: int, level: float = LEVEL) -> Interval:
    """Difference of two shares, a minus b (Newcombe, Statistics in Medicine 17, 1998, method 10).

    Raises:
        EmptyDataError: one of the groups is empty: a leak rate without its control means nothing.
        ConfigError: the counts contradict each other.
    """
    if not total_a or not total_b:
        raise EmptyDataError(
            "a difference of shares needs both groups", hint="Members and never-inserted twins are both needed."
        )
    a, b = wilson(hits_a, total_a, level), wilson(hits_b, total_b, level)
    difference = a.value - b.value
    return Interval(
        value=difference,
        low=difference - math.hypot(a.value - a.low, b.high - b.value),
        high=difference + math.hypot(a.high - a.value, b.value - b.low),
    )


def mean_of_two(a: Interval, b: Interval) -> Interval:
    """The mean of two independent shares, by the square-and-add rule that Newcombe's difference rests on."""
    value = (a.value + b.value) / 2
    return Interval(
        value=value,
        low=max(0.0, value - math.hypot(a.value - a.low, b.value - b.low) / 2),
        high=min(1.0, value + math.hypot(a.high - a.value, b.high - b.value) / 2),
    )


Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""From (draws, units) indices to (draws,) values."""


def bootstrap(
    statistic: Statistic, num_units: int, *, draws: Draws, level: float = LEVEL, num_draws: int = BOOTSTRAP_DRAWS
) -> Interval:
    """Percentile bootstrap over units (Efron and Tibshirani 1993, chapter 13).

    Args:
        statistic: vectorised over draws; a draw that has no value is NaN and left out.
        num_units: how many units there are.
        draws: where the samples come from.
        level: two-sided.
        num_draws: samples.

    Raises:
        EmptyDataError: no unit, or the statistic has no value on the units as they are.
    """
    if num_units < 1:
        raise EmptyDataError("no unit to draw from")
    value = float(statistic(np.arange(num_units)[None, :])[0])
    if math.isnan(value):
        raise EmptyDataError("the statistic has no value on these units")
    two_sided_z(level)  # checks the level
    sample = np.concatenate([statistic(block) for block in draws.resamples(num_units, num_draws)])
    sample = sample[~np.isnan(sample)]
    tail = (1 - level) / 2
    low, high = np.quantile(sample, [tail, 1 - tail]) if sample.size else (value, value)
    return Interval(value=value, low=min(value, float(low)), high=max(value, float(high)))


__all__ = [
    "bootstrap",
    "BOOTSTRAP_DRAWS",
    "clopper_pearson",
    "Interval",
    "LEVEL",
    "mean_of_two",
    "newcombe",
    "Statistic",
    "wilson",
]
