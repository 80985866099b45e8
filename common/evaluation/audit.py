"""One training run in, a lower bound on epsilon out; and what a claim of epsilon allows an attack.

Invariants: only fair coins may be counted (reserve, twins and control canaries never: with them the theorems are
void); scores are fixed before coins are looked at; ties go by index, never by coin; every registered fraction pays
for all of them (Bonferroni). Neighbours: add or remove one unit.
Sources: (epsilon, delta), Steinke, Nasr and Jagielski, arXiv 2305.08846; Gaussian DP, Mahloujifar, Melis and
Chaudhuri, arXiv 2410.22235. Not handled here: where scores come from, and the accountant's epsilon they are held to.

Conventions: m fair coins, r guesses of "in", v of them right, alpha the allowed error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedward.common.errors import ConfigError, DataError
from fedward.common.evaluation.distributions import (
    binomial_tails,
    bisect_sign,
    log_normal_cdf,
    normal_cdf,
    normal_quantile,
)

DELTA = 1e-5
"""Of the audit. The claim it is held to is the accountant's epsilon at this very delta."""
ALPHA = 0.05
FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.5)
EPSILON_CAP = 64.0
"""No number of canaries that anybody can afford reaches it; a bound at the cap reads "at least 64"."""
MIN_CANARIES = 20
MAX_CANARIES = 100_000
_MU_CAP = 32.0
_TOLERANCE = 1e-7


def p_value(m: int, r: int, v: int, epsilon: float, delta: float = DELTA) -> float:
    """Upper bound on P[at least v of r guesses right] under any (epsilon, delta) training on m fair coins.

    Raises:
        ConfigError: counts or parameters that cannot be.
    """
    _check_counts(m, r, v)
    _check_claim(epsilon, delta)
    # 1/(1 + e^-epsilon), not e^epsilon/(1 + e^epsilon), which overflows.
    tails = binomial_tails(r, 1 / (1 + math.exp(-epsilon)))
    tail = float(tails[v])
    if delta == 0 or v == 0:
        return tail
    i = np.arange(1, v + 1)
    slack = float(np.max((tails[v - i] - tail) / i))  # max over i of P[v - i <= B < v] / i
    return min(1.0, tail + 2 * m * delta * slack)


def epsilon_pure(m: int, r: int, v: int, delta: float = DELTA, alpha: float = ALPHA) -> float:
    """The largest epsilon that v right guesses of r reject at level alpha; 0.0 if they reject nothing.

    Raises:
        ConfigError: counts or parameters that cannot be.
    """
    _check_counts(m, r, v)
    _check_level(alpha)

    def rejected(epsilon: float) -> bool:
        return p_value(m, r, v, epsilon, delta) < alpha

    if 2 * v <= r or not rejected(0.0):
        return 0.0
    return EPSILON_CAP if rejected(EPSILON_CAP) else bisect_sign(rejected, 0.0, EPSILON_CAP, tolerance=_TOLERANCE)


def gdp_delta(mu: float, epsilon: float) -> float:
    """delta(epsilon) of mu-Gaussian DP (Dong, Roth and Su 2022, corollary 2.13)."""
    if mu <= 0:
        return 0.0
    second = epsilon + log_normal_cdf(-mu / 2 - epsilon / mu)
    return max(0.0, normal_cdf(mu / 2 - epsilon / mu) - math.exp(min(0.0, second)))


def gdp_epsilon(mu: float, delta: float = DELTA) -> float:
    """epsilon(delta) of mu-Gaussian DP.

    Raises:
        ConfigError: delta is not in (0, 1): without it no epsilon is finite.
    """
    if not 0 < delta < 1:
        raise ConfigError(f"delta = {delta!r}: the Gaussian curve needs a number between 0 and 1")
    if gdp_delta(mu, 0.0) <= delta:
        return 0.0
    high = mu * mu / 2 + 40 * mu  # beyond any delta of at least 1e-300
    return bisect_sign(lambda epsilon: gdp_delta(mu, epsilon) > delta, 0.0, high, tolerance=_TOLERANCE)


def gdp_mu(epsilon: float, delta: float = DELTA) -> float:
    """The mu of the Gaussian curve through (epsilon, delta)."""
    _check_claim(epsilon, delta)
    if not 0 < delta < 1:
        raise ConfigError(f"delta = {delta!r}: the Gaussian curve needs a number between 0 and 1")
    return bisect_sign(lambda mu: gdp_delta(mu, epsilon) <= delta, 0.0, 100.0, tolerance=1e-10)


def rejects_mu(m: int, r: int, v: int, mu: float, alpha: float = ALPHA) -> bool:
    """Whether v right guesses of r, among m fair coins, reject mu-Gaussian DP at level alpha (algorithm 3).

    Raises:
        ConfigError: counts or parameters that cannot be.
    """
    _check_counts(m, r, v)
    _check_level(alpha)
    right, wrong = alpha * v / m, alpha * (r - v) / m
    for i in range(v - 1, -1, -1):
        moved = max(wrong, normal_cdf(normal_quantile(right) - mu))
        if moved == wrong:
            break  # a fixed point: neither can change any more
        right = min(1.0, right + i / (r - i) * (moved - wrong))
        wrong = moved
    return right + wrong > r / m


def epsilon_gdp(m: int, r: int, v: int, delta: float = DELTA, alpha: float = ALPHA) -> float:
    """epsilon(delta) of the largest mu that is rejected. It speaks only about claims of the Gaussian family.

    Raises:
        ConfigError: counts or parameters that cannot be.
    """
    _check_counts(m, r, v)
    smallest = 1e-3
    if 2 * v <= r or not rejects_mu(m, r, v, smallest, alpha):
        return 0.0
    if rejects_mu(m, r, v, _MU_CAP, alpha):
        return EPSILON_CAP
    mu = bisect_sign(lambda mu: rejects_mu(m, r, v, mu, alpha), smallest, _MU_CAP, tolerance=_TOLERANCE)
    return min(EPSILON_CAP, gdp_epsilon(mu, delta))


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """A lower bound and the guesses that it comes from."""

    epsilon: float
    guesses: int
    correct: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Power:
    """What a perfect attack would have shown: a bound of 0 means nothing without it."""

    pure: float
    gdp: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditResult:
    """Both bounds of one run.

    Args:
        m: fair coins.
        num_included: coins that came up "in".
        pure: for any mechanism.
        gdp: for the Gaussian family only.
        power: the largest bounds that the same m, fractions, delta and alpha allow.
    """

    m: int
    num_included: int
    pure: Bound
    gdp: Bound
    power: Power
    delta: float
    alpha: float


def audit(
    scores: ArrayLike,
    included: ArrayLike,
    *,
    fractions: Sequence[float] = FRACTIONS,
    delta: float = DELTA,
    alpha: float = ALPHA,
) -> AuditResult:
    """Guess "in" for the top fraction of the m scores, for each registered fraction; the largest bound counts.

    Args:
        scores: (m,) higher is more likely in; fair coins only.
        included: (m,) the coins.
        fractions: registered before training, each in (0, 0.5].
        delta: of the audit.
        alpha: allowed error of all fractions together.

    Raises:
        DataError: lengths differ, fewer than 20 canaries, or a score is not finite (named by its index).
        ConfigError: fractions, delta or alpha that cannot be.
    """
    values, coins = _checked_scores(scores, included)
    m = len(values)
    level = alpha / len(_guesses(m, fractions))
    order = np.argsort(-values, kind="stable")
    right = np.concatenate([[0], np.cumsum(coins[order])])
    pure, gdp = [], []
    for r in _guesses(m, fractions):
        v = int(right[r])
        pure.append(Bound(epsilon=epsilon_pure(m, r, v, delta, level), guesses=r, correct=v))
        gdp.append(Bound(epsilon=epsilon_gdp(m, r, v, delta, level), guesses=r, correct=v))
    return AuditResult(
        m=m,
        num_included=int(coins.sum()),
        pure=max(pure, key=_epsilon_of),
        gdp=max(gdp, key=_epsilon_of),
        power=power(m, fractions=fractions, delta=delta, alpha=alpha),
        delta=delta,
        alpha=alpha,
    )


def power(m: int, *, fractions: Sequence[float] = FRACTIONS, delta: float = DELTA, alpha: float = ALPHA) -> Power:
    """The largest bounds that m fair coins can show: every guess right.

    Raises:
        ConfigError: sizes, fractions, delta or alpha that cannot be.
    """
    return _power(m, tuple(fractions), delta, alpha)


@lru_cache(maxsize=256)
def _power(m: int, fractions: tuple[float, ...], delta: float, alpha: float) -> Power:
    guesses = _guesses(m, fractions)
    level = alpha / len(guesses)
    return Power(
        pure=max(epsilon_pure(m, r, r, delta, level) for r in guesses),
        gdp=max(epsilon_gdp(m, r, r, delta, level) for r in guesses),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimLimits:
    """The best attack that a claim still allows."""

    auc: float
    accuracy: float
    tpr_at_1_percent: float


def gaussian_limits(epsilon: float, delta: float = DELTA) -> ClaimLimits:
    """Of a tight Gaussian mechanism with this claim."""
    mu = gdp_mu(epsilon, delta)
    return ClaimLimits(
        auc=normal_cdf(mu / math.sqrt(2)),
        accuracy=normal_cdf(mu / 2),
        tpr_at_1_percent=normal_cdf(normal_quantile(0.01) + mu),
    )


def tpr_limit(fpr: ArrayLike, curve: Callable[[float], float], epsilons: Sequence[float]) -> NDArray[np.float64]:
    """The highest true-positive rates that a privacy curve allows.

    The least over e' of e^e' fpr + delta(e') and, for rates beyond the middle, of 1 - e^-e' (1 - delta(e') - fpr): the
    relation holds both ways (Kairouz, Oh and Viswanath 2015, theorem 2.1).

    Args:
        fpr: (n,) false-positive rates.
        curve: delta(e'), the accountant's own.
        epsilons: where the curve is read, each at least 0; more points make the limit tighter, never wrong.

    Raises:
        ConfigError: no point, or a point or value of the curve that cannot be.
    """
    rates = np.asarray(fpr, float)
    if not epsilons or any(not (0 <= e < math.inf) for e in epsilons):
        raise ConfigError("the curve must be read at one or more finite points of at least 0")
    best = np.ones_like(rates)
    for epsilon in epsilons:
        delta = curve(epsilon)
        if not 0 <= delta <= 1:
            raise ConfigError(f"delta({epsilon}) = {delta!r}: expected a probability")
        best = np.minimum(best, math.exp(min(epsilon, 700.0)) * rates + delta)
        best = np.minimum(best, 1 - math.exp(-epsilon) * np.maximum(0.0, 1 - delta - rates))
    return best


def accuracy_limit(curve: Callable[[float], float]) -> float:
    """The best balanced accuracy that a privacy curve allows: (1 + delta(0)) / 2."""
    return (1 + curve(0.0)) / 2


def _epsilon_of(bound: Bound) -> float:
    return bound.epsilon


def _guesses(m: int, fractions: Sequence[float]) -> list[int]:
    if not fractions or any(not 0 < fraction <= 0.5 for fraction in fractions):
        raise ConfigError("guess fractions must be one or more numbers above 0 and at most 0.5")
    # A list, not a set: what was registered is paid for, even where two fractions come to the same count.
    return [max(1, round(fraction * m)) for fraction in fractions]


def _checked_scores(scores: ArrayLike, included: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, coins = np.asarray(scores, float), np.asarray(included)
    if values.ndim != 1 or values.shape != coins.shape or coins.dtype != np.bool_:
        raise DataError("scores and coins must be two vectors of one length, the coins true or false")
    if not MIN_CANARIES <= values.size <= MAX_CANARIES:
        raise DataError(
            f"{values.size} canaries: an audit needs {MIN_CANARIES} to {MAX_CANARIES}",
            hint="`fedward audit plan` says how many a claim needs.",
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"the score of canary {bad[0]} is not finite", hint="Drop no canary: the bound would be void. Score again."
        )
    return values, coins


def _check_counts(m: int, r: int, v: int) -> None:
    if not 0 <= v <= r <= m or not 1 <= m <= MAX_CANARIES:
        raise ConfigError(f"need 0 <= right <= guesses <= canaries <= {MAX_CANARIES}; got {v}, {r}, {m}")


def _check_level(alpha: float) -> None:
    if not 0 < alpha <= 0.2:
        raise ConfigError(f"alpha = {alpha!r}: expected a number above 0 and at most 0.2")


def _check_claim(epsilon: float, delta: float) -> None:
    if not (0 <= epsilon < math.inf and 0 <= delta < 1):
        raise ConfigError(f"epsilon = {epsilon!r}, delta = {delta!r}: no such claim")


__all__ = [
    "accuracy_limit",
    "ALPHA",
    "audit",
    "AuditResult",
    "Bound",
    "ClaimLimits",
    "DELTA",
    "epsilon_gdp",
    "EPSILON_CAP",
    "epsilon_pure",
    "FRACTIONS",
    "gaussian_limits",
    "gdp_delta",
    "gdp_epsilon",
    "gdp_mu",
    "MAX_CANARIES",
    "MIN_CANARIES",
    "p_value",
    "Power",
    "power",
    "rejects_mu",
    "tpr_limit",
]
